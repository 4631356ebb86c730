"""Events that were made without their `__init__` cannot be told from those that were called for."""

import copy
import dataclasses
import gc
import pickle
import sys
import weakref
from collections.abc import Generator

import pytest
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason

from rawframes import build
from trunkline.protocol import CLIENT, SERVER, Connection

CASES = {
    "bytes": (build(2, b"abc"), BytesMessage(b"abc")),
    "a part of bytes": (build(2, b"abc", fin=False), BytesMessage(b"abc", message_finished=False)),
    "a part of a frame": (build(2, b"abc")[:-1], BytesMessage(b"ab", frame_finished=False, message_finished=False)),
    "text": (build(1, "ž".encode()), TextMessage("ž")),
    "ping": (build(9, b"?"), Ping(b"?")),
    "pong": (build(10, b"!"), Pong(b"!")),
    "close": (build(8, b"\x03\xe8bye"), CloseConnection(CloseReason.NORMAL_CLOSURE, "bye")),
    "close without a code": (build(8), CloseConnection(CloseReason.NO_STATUS_RCVD, "")),
    "fault": (
        build(8, b"\x03"),
        CloseConnection(
            CloseReason.PROTOCOL_ERROR, "close frame with 1 byte of payload, a close code takes 2 (RFC 6455 5.5.1)"
        ),
    ),
    "loss": (None, CloseConnection(CloseReason.ABNORMAL_CLOSURE)),
}


def receive(data: bytes | None) -> Event:
    server = Connection(SERVER)
    server.receive_data(data)
    (event,) = server.events()
    return event


@pytest.mark.parametrize(("data", "wanted"), CASES.values(), ids=CASES)
def test_an_event_is_like_one_that_was_called_for(data: bytes | None, wanted: Event) -> None:
    event = receive(data)
    assert type(event) is type(wanted)
    assert event == wanted
    assert hash(event) == hash(wanted)
    assert repr(event) == repr(wanted)
    assert list(vars(event).items()) == list(vars(wanted).items())
    assert [type(value) for value in vars(event).values()] == [type(value) for value in vars(wanted).values()]
    assert pickle.dumps(event) == pickle.dumps(wanted)
    assert copy.copy(event) == copy.deepcopy(event) == dataclasses.replace(event) == wanted
    assert dataclasses.asdict(event) == dataclasses.asdict(wanted)
    assert sys.getsizeof(event) == sys.getsizeof(wanted)
    assert gc.is_tracked(event) == gc.is_tracked(wanted)
    assert weakref.ref(event)() is event


@pytest.mark.parametrize(("data", "wanted"), CASES.values(), ids=CASES)
def test_an_event_stays_frozen(data: bytes | None, wanted: Event) -> None:
    event = receive(data)
    for field in dataclasses.fields(wanted):  # type: ignore[arg-type]
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(event, field.name, None)
        with pytest.raises(dataclasses.FrozenInstanceError):
            delattr(event, field.name)
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.more = 1  # type: ignore[attr-defined]
    object.__setattr__(event, "more", 1)  # what a program can do to wsproto's, it can do to ours
    assert event.more == 1  # type: ignore[attr-defined]


def test_an_event_is_freed_with_what_it_holds() -> None:
    class Payload(bytes): ...

    event = receive(build(2, b"x" * 1000))
    payload = event.data  # type: ignore[attr-defined]
    held = sys.getrefcount(payload)
    del event
    assert sys.getrefcount(payload) == held - 1


def test_subclasses_of_events_are_sent_as_what_they_are() -> None:
    class Mine(BytesMessage): ...

    class MyPing(Ping): ...

    class MyClose(CloseConnection): ...

    for event, frame in [
        (Mine(b"a"), build(2, b"a", masked=False)),
        (MyPing(b"b"), build(9, b"b", masked=False)),
        (MyClose(1000), build(8, b"\x03\xe8", masked=False)),
    ]:
        assert Connection(SERVER).send(event) == frame


# The iteration


def test_an_iteration_is_a_generator() -> None:
    end = Connection(SERVER, None, build(9, b"1") + build(9, b"2") + build(9, b"3"))
    events = end.events()
    assert isinstance(events, Generator)
    assert events.send(None) == Ping(b"1")
    events.close()
    assert list(events) == []
    events = end.events()
    with pytest.raises(KeyError, match="mine"):
        events.throw(KeyError("mine"))
    assert list(events) == []
    with pytest.raises(KeyError):
        events.throw(KeyError)
    assert list(end.events()) == [Ping(b"2"), Ping(b"3")]


def test_an_iteration_that_is_over_stays_over() -> None:
    end = Connection(SERVER)
    events = end.events()
    assert list(events) == []
    end.receive_data(build(9, b"1"))
    assert list(events) == []
    assert list(end.events()) == [Ping(b"1")]


def test_an_iteration_goes_on_with_what_comes_meanwhile() -> None:
    end = Connection(CLIENT, None, build(9, b"1", masked=False))
    seen = []
    for event in end.events():
        seen.append(event)
        if len(seen) < 5:
            end.receive_data(build(9, b"%d" % len(seen), masked=False))
    assert len(seen) == 5
