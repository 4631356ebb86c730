"""The events that trunkline logs: each has a name, and flat fields that formatters and filters can use as they are.

The loggers are the standard library's, one tree per floor: `trunkline.net`, `trunkline.manager` and, for changes of
state, `trunkline.manager.state`. Nothing is logged per message or frame at INFO or above. A field is an attribute of
the log record; one that does not apply is absent.
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
    "handler.failed": "a handler raised, and not because its connection had ended; the connection is failed with 1011",
    "internal.fault": "one of trunkline's own tasks or timers raised; a connection that it served is failed with 1011",
    "listener.failed": "a listener could not be made; the client gets 500",
    "request.failed": "process_request raised, or returned what cannot be sent; the client gets 500",
    "connection.connecting": "an attempt begins",
    "connection.connected": "a link is open",
    "connection.waiting": "the attempt failed or the link was lost; the next attempt is scheduled",
    "connection.suspended": "the same, and the next attempt is a slow probe; or the service is paused",
    "connection.failed": "the attempt failed or the link was lost, and there is no next attempt",
    "connection.closing": "the program closes the connection",
    "connection.closed": "the connection has ended",
    "connection.fault": "an unexpected exception (a fault); the link is dropped",
    "message.undecodable": "messages did not match the service's type; they are in the quarantine",
    "message.discarded": "a link was closed while the inbox was full; what it still held is discarded",
    "manager.woke": "the machine was suspended: open links are checked for a sign of life, waiting connections dial",
    "manager.network_changed": "addresses or default routes of the machine changed: the same is done",
    "service.paused": "the program paused a service: its links are closed and none is dialled",
    "service.resumed": "the program resumed a service: all its connections dial",
    "dashboard.action": "a viewer of the dashboard reconnected, closed, paused or resumed something",
    "message.refused": "a message could not be encoded or sent when its turn came",
    "undelivered.failed": "a service's on_undelivered raised",
    "subscriber.failed": "a subscriber of connection events raised",
}

# Every field, with what it holds.
FIELDS: Final[dict[str, str]] = {
    "event": "the name of the event",
    "connection": "id of the managed connection, without the values of secret parameters",
    "service": "name of its service",
    "attempt": "number of the retry that is made or comes next",
    "category": "ErrorCategory of what went wrong",
    "code": "close code, HTTP status or errno",
    "generation": "links that the connection has had, including this one",
    "status": "ConnectionStatus after the change",
    "delay": "seconds until the next attempt",
    "slept": "seconds that the machine was suspended",
    "downtime": "seconds without a link, which have just ended",
    "path": "what a request asked for, without its query",
    "phase": "how far the attempt got",
    "initiator": "who closed: local or remote",
    "remote": "the peer's address",
    "count": "how many messages or connections it is about",
}


def log_fields(event: str, **more: Any) -> dict[str, Any]:
    """Return the `extra` of a log call. Raise KeyError if the event or a field is not in the tables."""
    for name in more:
        FIELDS[name]
    EVENTS[event]
    return {"event": event, **{name: value for name, value in more.items() if value is not None}}
