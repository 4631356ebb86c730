"""Counters of one connection, as a frozen snapshot."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Stats"]


@dataclass(frozen=True, slots=True)
class Stats:
    """What one connection has moved since it opened. Bytes are counted on the wire after the opening handshake; under
    TLS, as plaintext.

    Attributes:
        messages_discarded: messages received after we had sent our close frame.
        messages_dropped: broadcasts that were not sent, because the peer read too slowly.
        writes: calls that handed bytes to the socket or the transport; messages_sent / writes is what batching gains.
        throttles: how often reading was delayed because the peer sent more control frames than `max_control_rate`.
        holds: how often the rest of a read waited for the next turn of the loop, because this connection had used up
            its part of one.
        errors: 1 if the peer broke the protocol.
        deflated_bytes_received, deflated_bytes_sent: payload of compressed messages, as on the wire.
        inflated_bytes_received, inflated_bytes_sent: the same payload, not compressed.
    """

    messages_received: int = 0
    messages_sent: int = 0
    messages_discarded: int = 0
    messages_dropped: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0
    frames_received: int = 0
    frames_sent: int = 0
    pings_received: int = 0
    pings_sent: int = 0
    pongs_received: int = 0
    pongs_sent: int = 0
    writes: int = 0
    throttles: int = 0
    holds: int = 0
    errors: int = 0
    deflated_bytes_received: int = 0
    inflated_bytes_received: int = 0
    deflated_bytes_sent: int = 0
    inflated_bytes_sent: int = 0
