"""What is kept of payloads that fit no type, and of the errors that ended links: what is counted, and no more."""

import gc
import sys
import types
from typing import Any

import pytest

from trunkline.manager.incoming.inbox import QUARANTINE_MESSAGES, QUARANTINE_REASON, QUARANTINE_SIZE, Quarantine
from trunkline.manager.policies import BatchPolicy
from trunkline.protocol.errors import DecodeError
from trunkline.protocol.traces import forget_frames

MIB = 2**20


SHARED = (type, types.ModuleType, types.FunctionType, types.CodeType)


def held_by(*roots: Any) -> list[Any]:
    """All that these hold, but for what they share with the whole program."""
    seen: dict[int, Any] = {}
    waiting = list(roots)
    while waiting:
        one = waiting.pop()
        if id(one) not in seen and not isinstance(one, SHARED):
            seen[id(one)] = one
            waiting += gc.get_referents(one)
    return list(seen.values())


def holds(root: Any, thing: Any) -> bool:
    return any(one is thing for one in held_by(root))


def size_of(*roots: Any) -> int:
    """Bytes of all that these hold."""
    return sum(sys.getsizeof(one) for one in held_by(*roots))


@pytest.mark.parametrize(
    ("payloads", "kept"),
    [
        ([b"x"] * 100, QUARANTINE_MESSAGES),
        ([b"x" * (QUARANTINE_SIZE // 4 - 200)] * 100, 4),
        (["x" * (QUARANTINE_SIZE // 4 - 200)] * 100, 4),
        (["\N{SNOWMAN}" * (QUARANTINE_SIZE // 8 - 200)] * 100, 4),  # two bytes a character, as it lies in memory
        ([b"x" * MIB] * 2, 1),
        ([b"x", b"x" * (QUARANTINE_SIZE + 1)], 0),
    ],
    ids=["many", "large", "large text", "large text of wide characters", "of the largest size", "too large"],
)
def test_the_quarantine_is_small(payloads: list[str | bytes], kept: int) -> None:
    quarantine = Quarantine()
    for payload in payloads:
        quarantine.put(DecodeError("does not fit", payload))
    assert (len(quarantine.contents()), quarantine.count) == (kept, len(payloads))


def test_the_quarantine_holds_on_to_nothing_but_the_payload_and_the_reason() -> None:
    quarantine = Quarantine()
    try:
        everything = bytearray(MIB)
        try:
            raise KeyError(everything)
        except KeyError as cause:
            raise DecodeError("does not fit", b"x") from cause
    except DecodeError as error:
        quarantine.put(error)
    (kept,) = quarantine.contents()
    assert (str(kept), kept.payload) == ("does not fit", b"x")
    assert kept.__traceback__ is kept.__cause__ is kept.__context__ is None
    assert not holds(quarantine, everything)


def test_of_what_is_a_part_of_something_a_copy_is_kept() -> None:
    quarantine, whole = Quarantine(), bytearray(MIB)
    quarantine.put(DecodeError("does not fit", memoryview(whole)[:10]))  # type: ignore[arg-type]
    assert quarantine.contents()[0].payload == bytes(10)
    assert not holds(quarantine, whole)


def test_a_reason_that_quotes_the_payload_is_cut() -> None:
    quarantine = Quarantine()
    quarantine.put(DecodeError("y" * MIB, b"x"))
    assert str(quarantine.contents()[0]) == "y" * QUARANTINE_REASON + "…"
    assert size_of(quarantine) < 10_000


@pytest.mark.anyio
async def test_large_envelopes_of_what_cannot_be_decoded_are_not_kept_for_one_part(make_line: Any, caplog: Any) -> None:
    """Sixteen of 1 MiB, whose one bad part has three characters."""
    line = make_line(batch=BatchPolicy(envelope=True))
    connection = await line.start()
    for _ in range(QUARANTINE_MESSAGES):
        filler = f'{{"text":"{"x" * MIB}"}}'
        line.net.link.deliver(f'{{"type":"batch","messages":[{filler},{{}},123],"timestamp":0}}')
        await line.clock.advance(0)
        await anext(connection)
    assert {error.payload for error in connection.quarantine} == {"{}", "123"}
    quarantine = connection._exchange.receiver.quarantine
    assert size_of(connection.quarantine) < quarantine.size + 20_000
    assert size_of(*[record.args for record in caplog.records if record.levelname == "WARNING"]) < 100_000


def nested() -> BaseException:
    """An exception with a cause, a context and parts, each with a traceback that holds a buffer."""

    def fail(kind: type[Exception], *arguments: Any) -> None:
        buffer = bytearray(MIB)
        raise kind(*arguments, len(buffer))

    caught: list[Exception] = []
    for kind in (KeyError, ValueError, IndexError):
        try:
            fail(kind)
        except Exception as error:
            caught.append(error)
    try:
        try:
            fail(LookupError)
        except LookupError as cause:
            raise ExceptionGroup("several", caught) from cause
    except ExceptionGroup as group:
        kept = group
    try:
        try:
            raise kept
        except ExceptionGroup:
            fail(OSError)
    except OSError as error:
        return error
    raise AssertionError


def test_exceptions_that_are_kept_hold_no_frames() -> None:
    error = nested()
    assert size_of(error) > 5 * MIB
    assert forget_frames(error) is error
    assert size_of(error) < 20_000
    assert isinstance(error.__context__, ExceptionGroup), "what it came from is still told"
    assert isinstance(error.__context__.__cause__, LookupError)


def test_exceptions_that_refer_to_each_other_are_no_endless_way() -> None:
    one, other = KeyError(), ValueError()
    one.__cause__, other.__context__ = other, one
    assert forget_frames(one) is one


@pytest.mark.anyio
async def test_what_ended_a_link_holds_neither_it_nor_what_it_brought(line: Any) -> None:
    connection = await line.start()
    link = line.net.link
    link.deliver('{"text":"a"}', '{"text":"b"}')
    await line.clock.advance(0)
    link.lose()
    await line.clock.advance(0)
    cause = connection._life.cause
    assert cause is not None
    assert cause.__traceback__ is None
    assert not holds(cause, link)
