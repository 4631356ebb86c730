"""Every row of the taxonomy: what is seen, and the category and hope that it gets."""

import errno
import pickle
import socket
import ssl
from dataclasses import dataclass
from typing import Any

import pytest
import wsproto.utilities

from issues import certificate_error
from trunkline.manager.failure.issues import CredentialsError, categorize
from trunkline.protocol.categories import ErrorCategory as Category
from trunkline.protocol.errors import (
    ConnectError,
    ConnectionClosedError,
    ConnectionClosedOK,
    DecodeError,
    HandshakeError,
    InvalidURI,
    LocalProtocolError,
    MessageTooBig,
    OpenTimeout,
    ProxyError,
    RemoteProtocolError,
    SlowConsumer,
    TrunklineError,
    connection_closed,
)

# code, initiator, category, recoverable
CLOSES: list[tuple[int, Any, Category, bool]] = [
    (1000, "local", Category.NORMAL_CLOSURE, False),
    (1000, "remote", Category.NORMAL_CLOSURE, False),
    (1001, "remote", Category.GOING_AWAY, True),
    (1002, "remote", Category.PROTOCOL_ERROR, True),
    (1003, "remote", Category.UNSUPPORTED_DATA, True),
    (1004, "remote", Category.RESERVED, True),
    (1005, "remote", Category.NO_STATUS, True),
    (1006, None, Category.NETWORK_ERROR, True),
    (1007, "remote", Category.INVALID_DATA, True),
    (1008, "remote", Category.POLICY_VIOLATION, False),
    (1009, "remote", Category.MESSAGE_TOO_BIG, True),
    (1010, "local", Category.EXTENSION_REQUIRED, True),
    (1011, "remote", Category.SERVICE_UNAVAILABLE, True),
    (1011, "local", Category.TIMEOUT, True),
    (1012, "remote", Category.SERVICE_RESTART, True),
    (1013, "remote", Category.OVERLOADED, True),
    (1014, "remote", Category.BAD_GATEWAY, True),
    (1015, None, Category.TLS_FAILED, True),
    (1016, "remote", Category.RESERVED, True),
    (2999, "remote", Category.RESERVED, True),
    (3000, "remote", Category.AUTHENTICATION_FAILED, True),
    (3001, "remote", Category.APPLICATION, True),
    (3003, "remote", Category.FORBIDDEN, False),
    (3008, "remote", Category.TIMEOUT, True),
    (3999, "remote", Category.APPLICATION, True),
    (4000, "remote", Category.APPLICATION, True),
    (4999, "remote", Category.APPLICATION, True),
]

STATUSES: list[tuple[int | None, Category, bool]] = [
    (None, Category.INVALID_UPGRADE, True),
    (101, Category.INVALID_UPGRADE, True),
    (200, Category.INVALID_UPGRADE, True),
    (300, Category.CONNECTION_FAILED, False),
    *[(status, Category.REDIRECT, False) for status in (301, 302, 303, 307, 308)],
    *[(status, Category.CONNECTION_FAILED, False) for status in (400, 405, 410, 418, 499, 501, 505)],
    (401, Category.AUTHENTICATION_FAILED, True),
    (403, Category.FORBIDDEN, False),
    (404, Category.NOT_FOUND, True),
    (407, Category.PROXY_AUTHENTICATION, False),
    (408, Category.TIMEOUT, True),
    (421, Category.MISDIRECTED, True),
    (425, Category.TOO_EARLY, True),
    (426, Category.INVALID_UPGRADE, True),
    (429, Category.THROTTLED, True),
    *[(status, Category.SERVICE_UNAVAILABLE, True) for status in (500, 502, 503, 504, 507, 599)],
    (799, Category.INVALID_UPGRADE, True),
]


SYSTEM: list[tuple[OSError, Any, Category, bool]] = [
    (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "dns", Category.DNS_FAILED, True),
    (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), "dns", Category.DNS_FAILED, True),
    (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "tcp", Category.CONNECTION_REFUSED, True),
    (OSError(errno.EHOSTUNREACH, "no route"), "tcp", Category.UNREACHABLE, True),
    (OSError(errno.ENETUNREACH, "no network"), "tcp", Category.UNREACHABLE, True),
    (ConnectionResetError(errno.ECONNRESET, "reset"), "tcp", Category.NETWORK_ERROR, True),
    (BrokenPipeError(errno.EPIPE, "pipe"), "tls", Category.NETWORK_ERROR, True),
    (ConnectionResetError("end of file"), "tls", Category.NETWORK_ERROR, True),
    (ssl.SSLEOFError(8, "end of file"), "tls", Category.NETWORK_ERROR, True),
    (OSError("no number"), "tls", Category.TLS_FAILED, True),
    (OSError("no number"), "tcp", Category.NETWORK_ERROR, True),
    (OSError("no number"), "proxy", Category.PROXY_FAILED, True),
    (TimeoutError(), "tcp", Category.TIMEOUT, True),
    (OSError(errno.ETIMEDOUT, "timed out"), "tcp", Category.TIMEOUT, True),
    (certificate_error(62), "tls", Category.TLS_CERTIFICATE, False),
    (certificate_error(10), "tls", Category.TLS_CERTIFICATE, True),
    (ssl.SSLError(1, "wrong version number"), "tls", Category.TLS_FAILED, True),
    (FileNotFoundError(errno.ENOENT, "no such socket"), "tcp", Category.CONNECTION_REFUSED, True),
    (PermissionError(errno.EACCES, "not yours"), "tcp", Category.FORBIDDEN, False),
]

OTHERS: list[tuple[Exception, Category, bool]] = [
    (OpenTimeout("no connection after 10 s (open_timeout)"), Category.TIMEOUT, True),
    (ProxyError("the proxy answered 502", 502), Category.PROXY_FAILED, True),
    (ProxyError("the proxy answered 407", 407), Category.PROXY_AUTHENTICATION, False),
    (InvalidURI("scheme is 'http'"), Category.CONNECTION_FAILED, False),
    (LocalProtocolError("close code 1005"), Category.PROTOCOL_ERROR, False),
    (RemoteProtocolError("ping carries 130 bytes, limit 125 (RFC 6455 5.5)"), Category.PROTOCOL_ERROR, True),
    (RemoteProtocolError("text is not UTF-8 (RFC 6455 8.1)", code=1007), Category.INVALID_DATA, True),
    (MessageTooBig("2097152 bytes, limit 1048576 (max_size)"), Category.MESSAGE_TOO_BIG, True),
    (SlowConsumer(2_000_000, 1_048_576), Category.OVERLOADED, True),
    (DecodeError("not JSON", b"{"), Category.INVALID_DATA, True),
    (CredentialsError("the token server is down", recoverable=True), Category.AUTHENTICATION_FAILED, True),
    (CredentialsError("no such key", recoverable=False), Category.AUTHENTICATION_FAILED, False),
    (KeyError("a fault of the program"), Category.CONNECTION_FAILED, False),
]


@pytest.mark.parametrize(("code", "initiator", "category", "recoverable"), CLOSES)
def test_a_close(code: int, initiator: Any, category: Category, recoverable: bool) -> None:
    issue = categorize(connection_closed(code, "why", initiator))
    assert (issue.category, issue.recoverable) == (category, recoverable)
    assert (issue.code, issue.initiator, issue.phase, issue.details["reason"]) == (code, initiator, "open", "why")


def test_a_close_as_a_listener_gets_it() -> None:
    @dataclass(frozen=True)
    class Close:
        code: int
        reason: str
        clean: bool
        initiator: Any

    assert categorize(Close(1013, "busy", True, "remote")) == categorize(connection_closed(1013, "busy", "remote"))


@pytest.mark.parametrize(("status", "category", "recoverable"), STATUSES)
def test_an_answer(status: int | None, category: Category, recoverable: bool) -> None:
    issue = categorize(HandshakeError(status, [("Server", "x")], b"no"))
    assert (issue.category, issue.recoverable) == (category, recoverable)
    assert (issue.code, issue.phase, issue.details["body"]) == (status, "handshake", b"no")


@pytest.mark.parametrize(("cause", "phase", "category", "recoverable"), SYSTEM)
def test_what_the_system_says(cause: OSError, phase: Any, category: Category, recoverable: bool) -> None:
    error = ConnectError.wrap(cause, phase, "host.example:443")
    issue = categorize(error)
    assert (issue.category, issue.recoverable) == (category, recoverable)
    assert (issue.code, issue.phase) == (cause.errno, phase)
    assert error.__cause__ is cause
    assert "host.example:443" in issue.message


def test_an_os_error_that_nobody_wrapped() -> None:
    assert categorize(ConnectionRefusedError(errno.ECONNREFUSED, "no")).category is Category.CONNECTION_REFUSED


@pytest.mark.parametrize(("error", "category", "recoverable"), OTHERS)
def test_everything_else(error: Exception, category: Category, recoverable: bool) -> None:
    issue = categorize(error)
    assert (issue.category, issue.recoverable) == (category, recoverable)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], None),
        ([("Retry-After", "4")], 4.0),
        ([("retry-after", " 0 ")], 0.0),
        ([("Retry-After", "-4")], None),
        ([("Retry-After", "soon")], None),
        ([("Retry-After", "²")], None),
        ([("Retry-After", "Wed, 21 Oct 2015 07:28:10 GMT"), ("Date", "Wed, 21 Oct 2015 07:28:00 GMT")], 10.0),
        ([("Retry-After", "Wed, 21 Oct 2015 07:27:00 GMT"), ("Date", "Wed, 21 Oct 2015 07:28:00 GMT")], 0.0),
        ([("Retry-After", "Wed, 21 Oct 2015 07:28:10 GMT")], None),
    ],
)
def test_retry_after(headers: list[tuple[str, str]], seconds: float | None) -> None:
    assert categorize(HandshakeError(503, headers)).retry_after == seconds


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (HandshakeError(503, [("Retry-After", "4")]), "503 with Retry-After 4"),
        (HandshakeError(404), "the server answered 404 Not Found, expected 101 (RFC 6455 4.1)"),
        (HandshakeError(None), "the server's answer is not HTTP, expected 101 (RFC 6455 4.1)"),
        (
            HandshakeError(101, detail="no Upgrade field"),
            "the server answered 101 Switching Protocols: no Upgrade field",
        ),
        (connection_closed(1001, "bye", "remote"), "received 1001 (going away) bye"),
        (connection_closed(4001, "a\x1b[2Jb\n", "remote"), "received 4001 (private use) a\\x1b[2Jb\\n"),
        (connection_closed(1006), "1006 (abnormal closure)"),
        (SlowConsumer(9, 8), "9 bytes are waiting to be sent, limit 8 (write_limit)"),
    ],
)
def test_the_words(error: TrunklineError, text: str) -> None:
    assert categorize(error).explain() == text
    assert categorize(error).explain(3, 4.21) == f"retry 3 in 4.2 s: {text}"


def test_errors_are_what_other_code_expects_them_to_be() -> None:
    assert isinstance(OpenTimeout("late"), TimeoutError)
    assert isinstance(ProxyError("no"), OSError)
    assert isinstance(InvalidURI("no"), ValueError)
    assert isinstance(RemoteProtocolError("no"), wsproto.utilities.RemoteProtocolError)
    assert isinstance(LocalProtocolError("no"), wsproto.utilities.LocalProtocolError)
    assert type(connection_closed(1001)) is ConnectionClosedOK
    assert type(connection_closed(1005)) is ConnectionClosedError


@pytest.mark.parametrize(
    "error",
    [
        connection_closed(1001, "bye", "remote"),
        RemoteProtocolError("bad", code=1007),
        MessageTooBig("big"),
        ConnectError.wrap(ConnectionRefusedError(errno.ECONNREFUSED, "no"), "tcp", "host:1"),
        OpenTimeout("late"),
        ProxyError("no", 407),
        HandshakeError(503, [("Retry-After", "4")], b"body"),
        SlowConsumer(9, 8),
        DecodeError("not JSON", b"{"),
    ],
)
def test_errors_survive_a_trip_to_another_process(error: TrunklineError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), vars(copy)) == (type(error), str(error), vars(error))
    assert getattr(copy, "errno", None) == getattr(error, "errno", None)


def test_no_repr_shows_what_was_received() -> None:
    assert "secret" not in repr(HandshakeError(401, [("Set-Cookie", "secret")], b"secret"))
    assert "secret" not in repr(DecodeError("does not fit", b"secret"))
