"""Services: addresses that parameters cannot bend, and messages of one type."""

from typing import Any, Literal

import msgspec
import pytest

from trunkline.manager.service import Service
from trunkline.protocol.errors import DecodeError, InvalidURI


class Say(msgspec.Struct, tag="say"):
    room: str
    text: str


class Leave(msgspec.Struct, tag="leave"):
    room: str


class Positive(msgspec.Struct):
    number: int

    def __post_init__(self) -> None:
        if self.number < 0:
            raise KeyError("a fault in a type's own check")


def service(url: str = "wss://host.example/chat/{room}", receives: Any = Say, **options: Any) -> Service[Any, Any]:
    return Service("chat", url, sends=Say, receives=receives, **options)


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("lobby", "lobby"),
        (7, "7"),
        ("a b", "a%20b"),
        ("a/b", "a%2Fb"),
        ("../admin", "..%2Fadmin"),
        ("a?token=x#y", "a%3Ftoken%3Dx%23y"),
        ("100%", "100%25"),
        ("räume", "r%C3%A4ume"),
        ("{room}", "%7Broom%7D"),
        ("a\r\nHost: evil", "a%0D%0AHost%3A%20evil"),
        ("...", "..."),
    ],
)
def test_a_parameter_stays_in_its_place(value: str | int, quoted: str) -> None:
    assert service().locate({"room": value}) == f"wss://host.example/chat/{quoted}"


def test_a_parameter_in_the_query() -> None:
    assert service("ws://h/?a={a}&b={b}").locate({"a": "1&b=2", "b": "x"}) == "ws://h/?a=1%26b%3D2&b=x"


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_a_parameter_that_would_change_the_path(value: str) -> None:
    with pytest.raises(ValueError, match="not a path segment"):
        service().locate({"room": value})


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({}, "takes room; given none"),
        ({"romo": "x"}, "takes room; given romo"),
        ({"room": "x", "more": "y"}, "takes room; given more, room"),
        ({"room": None}, "room is a NoneType, wanted str or int"),
        ({"room": 1.5}, "room is a float, wanted str or int"),
    ],
)
def test_parameters_that_do_not_fit(parameters: dict[str, Any], text: str) -> None:
    with pytest.raises(TypeError, match=text):
        service().identify(parameters)


@pytest.mark.parametrize(
    "url",
    [
        "https://host.example/",
        "host.example",
        "ws:///nowhere",
        "ws://host.example/#part",
        "ws://{host}/",
        "ws://host.example/{}",
        "ws://host.example/{0}",
        "ws://host.example/{room!r}",
        "ws://host.example/{room:>80}",
        "ws://host.example/{room.__class__}",
        "ws://host.example/{room[0]}",
        "ws://host.example/{wait}",
        "ws://host.example/{room",
    ],
)
def test_a_url_that_is_none(url: str) -> None:
    with pytest.raises(InvalidURI):
        service(url)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"hook_timeout": 0}, "hook_timeout of chat is 0, must be more than 0 seconds"),
        ({"idle_timeout": -1}, "idle_timeout of chat is -1, must be more than 0 seconds"),
        ({"max_size": -1}, "max_size is -1"),
        ({"ping_interval": 0}, "ping_interval is 0"),
        ({"compression": "gzip"}, "compression is 'gzip'"),
    ],
)
def test_limits_and_timeouts_that_cannot_be(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        service(**options)


def test_an_option_that_there_is_not() -> None:
    with pytest.raises(TypeError, match="argument 'max_sise'"):
        service(max_sise=1)


def test_ids_are_equal_for_equal_parameters_only() -> None:
    pair = service("ws://h/{a}/{b}")
    assert pair.identify({"a": "1", "b": "2"}) == pair.identify({"b": "2", "a": "1"})
    assert pair.identify({"a": "1&b=2", "b": "3"}) != pair.identify({"a": "1", "b": "2&b=3"})
    assert service("ws://h/").identify({}) == "chat"
    assert service().identify({"room": "lobby"}) == "chat?room=lobby"


def test_a_message_goes_through_json_text() -> None:
    chat = service()
    assert chat.encode(Say("lobby", "héllo")) == '{"type":"say","room":"lobby","text":"héllo"}'
    assert chat.decode(chat.encode(Say("lobby", "héllo"))) == Say("lobby", "héllo")
    assert chat.decode(chat.encode(Say("lobby", "x")).encode()) == Say("lobby", "x")


def test_several_types_by_their_tag() -> None:
    both = service(receives=Say | Leave)
    assert both.decode('{"type":"leave","room":"lobby"}') == Leave("lobby")


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "{",
        "null",
        '{"type":"say","room":1,"text":"x"}',
        '{"type":"shout"}',
        b"\xff\xfe",
        '{"type":"say"}',
        "[" * 100_000,
    ],
)
def test_a_payload_that_does_not_fit(payload: str | bytes) -> None:
    with pytest.raises(DecodeError, match=r"^chat: ") as caught:
        service().decode(payload)
    assert caught.value.payload == payload


def test_a_type_that_fails_in_its_own_check() -> None:
    with pytest.raises(DecodeError, match="own check"):
        service(receives=Positive).decode('{"number":-1}')


def test_a_type_that_json_cannot_carry() -> None:
    with pytest.raises(TypeError):
        service(receives=Say | int | complex | Leave)


async def ask() -> dict[str, str]:
    return {"Authorization": "Bearer fresh"}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("headers", "asked", "refreshes"),
    [(None, {}, False), ({"A": "b"}, {"A": "b"}, False), (ask, {"Authorization": "Bearer fresh"}, True)],
)
async def test_headers(headers: Any, asked: dict[str, str], refreshes: bool) -> None:
    chat = service(headers=headers)
    assert await chat.ask_headers() == asked
    assert chat.refreshes_headers is refreshes


def test_a_payload_cannot_forge_a_line_of_the_log() -> None:
    with pytest.raises(DecodeError) as caught:
        service(receives=Literal["one", "two"]).decode('"three\\nERROR all is lost"')
    assert "\n" not in str(caught.value)
    assert "three" in str(caught.value)
