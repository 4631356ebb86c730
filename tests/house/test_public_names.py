"""What people may import. A name comes or goes here first, on purpose; otherwise these tests fail."""

import collections.abc
import inspect
import socket
import sys
import types
import typing
from collections.abc import Iterator
from typing import Any

import pytest

import trunkline
import trunkline.manager
import trunkline.protocol
import trunkline.protocol.backends
import trunkline.testing

NAMES = {
    trunkline: """
        Agreement Broadcast Close ConnectError Connecting Connection ConnectionClosed ConnectionClosedError
        ConnectionClosedOK ConnectionHealth ConnectionIssue ConnectionManager ConnectionStatus
        CredentialsError DecodeError Deflate Delivery DeliveryOutcome ErrorCategory HandshakeError Headers
        Histogram HookError InvalidURI Listener LocalProtocolError MessageDropped MessageTooBig NotConnected
        OpenTimeout OutboxFull PeerLimitExceeded Pool ProxyError Received RemoteProtocolError ReplyTimeout
        Request Response SendInterrupted SendTimeout Server ServerHealth Service Serving Settings
        SlowConsumer StateChange Stats TrunklineError WaitTimeout WebSocket WrongThread broadcast connect
        serve
    """,
    trunkline.manager: """
        BatchPolicy BreakerPolicy Codec Connection ConnectionHealth ConnectionIssue ConnectionManager
        ConnectionStatus CredentialsError Delivery DeliveryOutcome Endpoint EnvelopeCodec EventStream
        GatePolicy Hint HookError JsonCodec MessageDropped MessagePackCodec NotConnected OutboxFull
        OutboxPolicy PeerLimitExceeded Pool PoolPolicy Rate RawCodec Received ReplyTimeout RetryBudget
        RetryPolicy Rule SendInterrupted Service ServiceHealth Session StateChange WaitTimeout categorize
    """,
    # wsproto's surface, so that a change of import is all it takes.
    trunkline.protocol: """
        AcceptConnection BytesMessage CLIENT CloseConnection CloseReason Connection ConnectionState ConnectionType
        Event Extension H11Handshake LocalProtocolError Message Opcode PerMessageDeflate Ping Pong ProtocolError
        RejectConnection RejectData RemoteProtocolError Request SERVER TextMessage WSConnection
    """,
    trunkline.testing: """
        Fault FaultProxy Incident Line Network Passage PeerGone Plan ScriptedPeer ScriptedServer SimServer SimSocket
        SimTransport VirtualLoop run_virtual script seeded_faults
    """,
}

MEMBERS = {
    trunkline.WebSocket: """
        abort agreement batches close close_code close_info close_reason data fail get_extra_info is_client
        is_writable is_writing_paused latency local_address logger moved ping ping_nowait recv
        remote_address request respond response send send_many send_nowait start_closing state stats
        subprotocol transport wait_closed wait_writable watch_latency
    """,
    trunkline.manager.Connection: """
        attempts close drain forget_peer_limit generation health last_change last_error latencies leases
        peer_limit pending position quarantine received reconnect release request send send_nowait state
        status wait_connected websocket
    """,
    trunkline.manager.ConnectionManager: """
        budget close connect connections endpoints events find get health is_paused lease network_changed
        pause pool pools resume service service_health subscribe subscribe_undelivered time
    """,
}
# What asyncio calls of a protocol, and applications do not.
CALLBACKS = {
    "buffer_updated",
    "connection_lost",
    "connection_made",
    "data_received",
    "eof_received",
    "get_buffer",
    "pause_writing",
    "resume_writing",
}


@pytest.fixture(params=NAMES, ids=lambda module: module.__name__)
def module(request: pytest.FixtureRequest) -> types.ModuleType:
    return request.param


def test_the_public_names_are_those_that_were_agreed_on(module: types.ModuleType) -> None:
    assert sorted(module.__all__) == NAMES[module].split()


def test_every_public_name_is_there(module: types.ModuleType) -> None:
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_nothing_else_looks_public(module: types.ModuleType) -> None:
    visible = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert visible == {name for name in module.__all__ if not isinstance(getattr(module, name), types.ModuleType)}


@pytest.mark.parametrize("kind", MEMBERS, ids=lambda kind: kind.__name__)
def test_the_public_members_are_those_that_were_agreed_on(kind: type) -> None:
    assert sorted({name for name in dir(kind) if not name.startswith("_")} - CALLBACKS) == MEMBERS[kind].split()


HOMES = [*NAMES, trunkline.protocol.backends]  # where people may import from
PUBLIC = [getattr(home, name) for home in HOMES for name in home.__all__]
# What annotations name that is imported for type checkers alone.
FOR_TYPES: dict[str, Any] = {
    **vars(collections.abc),
    **{getattr(value, "__name__", ""): value for value in reversed(PUBLIC)},
    "Buffer": bytes,
    "Sends": Any,
    "Receives": Any,
    "socket": socket,
}


def classes_of(hint: Any) -> Iterator[type]:
    """The classes of trunkline that an annotation names."""
    if isinstance(hint, type) and hint.__module__.startswith("trunkline"):
        yield hint
    for part in typing.get_args(hint):
        yield from classes_of(part)


def returned(function: Any) -> Any:
    """What a function is annotated to return."""
    function = inspect.unwrap(function)
    hint = getattr(function, "__annotations__", {}).get("return")
    return eval(hint, FOR_TYPES | function.__globals__) if isinstance(hint, str) else hint


def given_by(kind: Any) -> Iterator[type]:
    """The classes of trunkline that a public class or function gives: what is returned, and attributes."""
    if not isinstance(kind, type):
        yield from classes_of(returned(kind))
        return
    for name, member in inspect.getmembers(kind):
        function = member.fget if isinstance(member, property) else member
        if not name.startswith("_") and isinstance(function, types.FunctionType):
            yield from classes_of(returned(function))
    for name, hint in typing.get_type_hints(kind, globalns=FOR_TYPES | vars(sys.modules[kind.__module__])).items():
        if not name.startswith("_"):
            yield from classes_of(hint)


def test_what_is_given_can_be_imported() -> None:
    given = {
        one for kind in PUBLIC if getattr(kind, "__module__", "").startswith("trunkline") for one in given_by(kind)
    }
    assert {trunkline.Stats, trunkline.Histogram, trunkline.manager.Endpoint} <= given
    assert sorted(one.__qualname__ for one in given if one not in PUBLIC) == []


@pytest.mark.parametrize("name", sorted(trunkline._MOVED))
def test_a_name_that_has_moved_says_where_to(name: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"trunkline.{name} is now trunkline.manager.{name}"):
        assert getattr(trunkline, name) is getattr(trunkline.manager, name)


def test_the_steps_of_a_script_are_those_that_were_agreed_on() -> None:
    steps = "Step accept answer close drop echo hang raw receive reset send stay wait"
    assert sorted(trunkline.testing.script.__all__) == steps.split()


def test_what_is_listed_has_a_docstring(module: types.ModuleType) -> None:
    ours = [name for name in module.__all__ if getattr(getattr(module, name), "__module__", "").startswith("trunkline")]
    assert ours
    assert [name for name in ours if not getattr(module, name).__doc__] == []


def test_what_may_be_called_or_asked_of_it_has_a_docstring(module: types.ModuleType) -> None:
    classes = [value for name in module.__all__ if inspect.isclass(value := getattr(module, name))]
    members = {
        f"{owner.__module__}.{owner.__qualname__}.{name}": member
        for owner in {base for value in classes for base in value.__mro__ if base.__module__.startswith("trunkline.")}
        for name, member in vars(owner).items()
        if not name.startswith("_") and isinstance(member, (types.FunctionType, property, classmethod, staticmethod))
    }
    assert members
    assert [name for name, member in members.items() if not inspect.getdoc(member)] == []
