"""What trunkline logs: one event name a message, and flat fields that formatters and filters pick up as they are.

The loggers are the standard library's, a tree a floor: `trunkline.net`, `trunkline.manager` and, for
changes of state, `trunkline.manager.state`. Nothing is logged for each
message or frame at INFO or above. A field is an attribute of the log record; one that does not apply is absent.
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["EVENTS", "FIELDS", "log_fields"]

# Every event that is logged, with what it means.
EVENTS: Final[dict[str, str]] = {
    "accept.paused": "the system is short of descriptors or memory: new connections wait",
    "accept.failed": "a connection ended before its opening handshake, mostly within TLS",
    "callback.failed": "a listener's callback raised; the connection is failed with 1011",
    "handshake.refused": "a server refused an opening handshake, and why",
    "handler.failed": "a connection's handler raised, and not the end of its connection; that is failed with 1011",
    "internal.fault": "a task or timer of trunkline's own raised; a connection that it hits is failed with 1011",
    "listener.failed": "a listener could not be made; the client gets 500",
    "request.failed": "process_request raised or gave no answer that can be sent; the client gets 500",
    "connection.connecting": "an attempt begins",
    "connection.connected": "a link is up",
    "connection.waiting": "the attempt failed or the link was lost; the next attempt has a time",
    "connection.suspended": "the same, and the next attempt is a slow probe; or the service is paused",
    "connection.failed": "the attempt failed or the link was lost, and there is no next attempt",
    "connection.closing": "the program closes the connection",
    "connection.closed": "the connection has ended",
    "connection.fault": "an exception that is no error of a line: a fault, and the link is dropped",
    "message.undecodable": "messages did not fit the service's type; they are in the quarantine",
    "message.discarded": "a link is closed, and the full inbox has no room for what it still holds",
    "manager.woke": "the machine was suspended: open links are asked for a sign of life, waiting ones dial",
    "manager.network_changed": "addresses or default routes of the machine changed: the same is done",
    "service.paused": "the program paused a service: its links are closed and none is dialled",
    "service.resumed": "the program resumed a service: all dial",
    "dashboard.action": "a viewer of the dashboard reconnected, closed, paused or resumed something",
    "message.refused": "a message could not be encoded or sent when its turn came",
    "undelivered.failed": "a service's on_undelivered raised",
    "subscriber.failed": "a subscriber of connection events raised",
}

# Every field, with what it holds.
FIELDS: Final[dict[str, str]] = {
    "event": "the name of the event",
    "connection": "id of the managed connection, values of secret parameters left out",
    "service": "name of its service",
    "attempt": "number of the retry that is made or comes next",
    "category": "ErrorCategory of what went wrong",
    "code": "close code, HTTP status or errno",
    "generation": "links that the connection has had, this one included",
    "status": "ConnectionStatus after the change",
    "delay": "seconds until the next attempt",
    "slept": "seconds that the machine was suspended",
    "downtime": "seconds without a link that have just ended",
    "path": "what a request asked for, without its query",
    "phase": "how far the attempt got",
    "initiator": "who closed: local or remote",
    "remote": "the peer's address",
    "count": "how many messages or connections it is about",
}


def log_fields(event: str, **more: Any) -> dict[str, Any]:
    """The `extra` of a log call. Raises KeyError for an event or a field that is not in the tables."""
    for name in more:
        FIELDS[name]
    EVENTS[event]
    return {"event": event, **{name: value for name, value in more.items() if value is not None}}
