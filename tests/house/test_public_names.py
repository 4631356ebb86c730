"""What people may import. A name comes or goes here first, on purpose; otherwise these tests fail."""

import inspect
import types

import pytest

import trunkline
import trunkline.protocol
import trunkline.testing

NAMES = {
    trunkline: """
        BatchPolicy BreakerPolicy Broadcast Close Codec ConnectError Connection ConnectionClosed
        ConnectionClosedError ConnectionClosedOK ConnectionHealth ConnectionIssue ConnectionManager
        ConnectionStatus CredentialsError DecodeError Deflate Delivery DeliveryOutcome EnvelopeCodec
        ErrorCategory GatePolicy HandshakeError Headers Hint HookError InvalidURI JsonCodec Listener
        LocalProtocolError MessageDropped MessagePackCodec MessageTooBig NotConnected OpenTimeout
        OutboxFull OutboxPolicy PeerLimitExceeded Pool PoolPolicy ProxyError RawCodec Received RemoteProtocolError
        ReplyTimeout Request Response RetryBudget RetryPolicy Rule SendInterrupted SendTimeout Server Service Session
        Settings SlowConsumer StateChange Stats TrunklineError
        WaitTimeout WebSocket WrongThread broadcast categorize connect serve
    """,
    # wsproto's surface, so that a change of import is all it takes.
    trunkline.protocol: """
        AcceptConnection BytesMessage CLIENT CloseConnection CloseReason Connection ConnectionState ConnectionType
        Event Extension H11Handshake LocalProtocolError Message Opcode PerMessageDeflate Ping Pong ProtocolError
        RejectConnection RejectData RemoteProtocolError Request SERVER TextMessage WSConnection
    """,
    trunkline.testing: """
        Fault FaultProxy Incident Line Network Passage PeerGone Plan ScriptedPeer ScriptedServer VirtualLoop
        run_virtual script seeded_faults
    """,
}

MEMBERS = {
    trunkline.WebSocket: """
        abort agreement batches close close_code close_info close_reason data fail get_extra_info is_client
        is_writable is_writing_paused latency local_address logger moved ping ping_nowait recv
        remote_address request respond response send send_many send_nowait start_closing state stats
        subprotocol transport wait_closed wait_writable watch_latency
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
