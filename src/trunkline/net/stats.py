"""Counters of one connection, as a frozen snapshot."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Stats"]


@dataclass(frozen=True, slots=True)
class Stats:
    """What one connection has moved since it opened. Bytes are those of the wire after the opening handshake, under TLS
    its plaintext.

    writes: calls that handed bytes to the socket or the transport; messages_sent / writes is what batching gains.
    messages_dropped: broadcasts that were not sent, since the peer read too slowly.
    messages_discarded: messages received after we had sent our close frame.
    throttles: how often reading was put off, since the peer had sent more control frames than `max_control_rate`.
    holds: how often the rest of what was read waited for the next turn of the loop, since this connection had had its
    part of one.
    errors: 1 if the peer broke the protocol.
    deflated_bytes_received, deflated_bytes_sent: payload of compressed messages as it was on the wire;
    inflated_bytes_received, inflated_bytes_sent: what it was before it was compressed.
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
