"""A service carries what it says it sends, and nothing else."""

import collections
import enum
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, Protocol, TypedDict, TypeVar

import msgspec
import pytest

import trunkline
from trunkline.manager.kinds import kinds_of
from trunkline.manager.service import Service
from trunkline.protocol.errors import DecodeError

T = TypeVar("T")


class A(msgspec.Struct):
    text: str


class B(msgspec.Struct):
    text: str


class Child(A):
    pass


class Box(msgspec.Struct, Generic[T]):
    inside: T


class Point(NamedTuple):
    x: int


class Form(TypedDict):
    text: str


class Colour(enum.StrEnum):
    RED = "red"


class Speaks(Protocol):
    text: str


UserId = NewType("UserId", int)


@pytest.mark.parametrize(
    ("sends", "good", "bad"),
    [
        (A, [A("a"), Child("a")], [B("b"), {"text": "a"}, "a", None]),
        (A | B, [A("a"), B("b")], [{"text": "a"}, 1]),
        (typing.Optional[A], [A("a"), None], [B("b")]),  # noqa: UP045  # the old spelling is one of those that are met
        (Box[int], [Box(1)], [A("a"), 1]),
        (list[A], [[A("a")], []], [(A("a"),), A("a")]),
        (dict[str, A], [{}, collections.OrderedDict()], [[]]),
        (Sequence[A], [[], ()], [{}, 1]),
        (Mapping[str, int], [{}], [[]]),
        (tuple[int, ...], [(1,)], [[1]]),
        (Form, [{"text": "a"}], [A("a")]),
        (Point, [Point(1)], [(1,)]),
        (Colour, [Colour.RED], ["red"]),
        (Annotated[int, msgspec.Meta(ge=0)], [1], ["1"]),
        (Literal["a", 1], ["a", 1], [b"a"]),
        (UserId, [1], ["1"]),
        (float, [1.5, 1], ["1"]),
        (str, ["a"], [b"a", 1]),
        (bytes, [b"a", bytearray(b"a")], ["a"]),
        (str | bytes, ["a", b"a"], [1]),
    ],
    ids=str,
)
def test_what_is_taken_and_what_is_refused(sends: Any, good: list[Any], bad: list[Any]) -> None:
    service = Service("notes", "ws://h/", sends=sends, receives=A)
    for message in good:
        assert service.encode(message)
    for message in bad:
        with pytest.raises(TypeError, match=r"service notes sends .*, but was given a "):
            service.encode(message)


@pytest.mark.parametrize("sends", [Any, object, Speaks, A | Any, T, "A"], ids=str)
def test_what_cannot_be_told_is_left_to_the_codec(sends: Any) -> None:
    assert kinds_of(sends) is None


def test_the_error_names_what_was_expected_and_what_was_seen() -> None:
    service: Any = Service("notes", "ws://h/", sends=A, receives=A)
    with pytest.raises(TypeError, match=r"service notes sends A, but was given a B \(sends\)"):
        service.encode(B("b"))
    service = Service("notes", "ws://h/", sends=A | None, receives=A)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"sends .*A \| None, but was given a B"):
        service.encode(B("b"))


@pytest.mark.anyio
async def test_a_connection_refuses_it_too(make_line: Callable[..., Any]) -> None:
    line = make_line()
    connection = await line.start()
    for send in (connection.send_nowait, connection.send):
        with pytest.raises(TypeError, match="service notes sends Note, but was given a B"):
            await send(B("b"))
    assert line.net.link.sent == []


@pytest.mark.parametrize("make", [trunkline.manager.JsonCodec, trunkline.manager.MessagePackCodec])
@pytest.mark.parametrize("payload", ["no json", '{"text":1}', b"\xff", b"\xc1", "[" * 100_000, b"\x81"], ids=range(6))
def test_a_codec_raises_our_error_by_itself(make: Any, payload: Any) -> None:
    """As a server uses it, without a service."""
    with pytest.raises(DecodeError) as caught:
        make(A, A).decode(payload)
    assert caught.value.payload == payload
    service = Service("notes", "ws://h/", sends=A, receives=A, codec=make)
    with pytest.raises(DecodeError, match="notes: ") as named:
        service.decode(payload)
    assert type(named.value.__cause__) is type(caught.value.__cause__ or caught.value)
