"""The exported metrics, for every monitoring system: their names, help texts and sources."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["BOUNDS", "CONNECTION_GAUGES", "SERVER_COUNTERS", "SERVICE_COUNTERS", "Instrument"]

# Seconds: from a machine in the same rack to the other side of the world, and what is too slow for either.
BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Instrument(NamedTuple):
    """One metric."""

    name: str  # as in Prometheus, without prefix and `_total`
    text: str
    source: str  # the field of the report
    unit: str = "{message}"  # UCUM, as OpenTelemetry requires


SERVICE_COUNTERS: Final = (
    Instrument("received_messages", "Messages received.", "messages_received"),
    Instrument("sent_messages", "Messages sent.", "messages_sent"),
    Instrument("received_bytes", "Bytes received; under TLS, the plaintext.", "bytes_received", "By"),
    Instrument("sent_bytes", "Bytes sent; under TLS, the plaintext.", "bytes_sent", "By"),
    Instrument("undecodable_messages", "Messages that match no type of the service.", "undecodable"),
    Instrument("discarded_messages", "Messages of a lost link for which the inbox had no room.", "discarded"),
    Instrument("faults", "Exceptions in callbacks and in trunkline itself, caught and logged.", "faults", "{fault}"),
    Instrument("dropped_messages", "Messages that were never written.", "dropped"),
    Instrument("unknown_messages", "Messages written to a link that was then lost, outcome unknown.", "unknown"),
    Instrument("reconnects", "Links after the first one of each connection.", "reconnects", "{link}"),
)

SERVER_COUNTERS: Final = (
    Instrument("opened_connections", "Connections opened.", "opened", "{connection}"),
    Instrument("turned_away_connections", "Connections turned away for lack of room.", "turned_away", "{connection}"),
    Instrument("refused_handshakes", "Opening handshakes refused for their content.", "refused", "{handshake}"),
    Instrument("expired_handshakes", "Opening handshakes not finished within open_timeout.", "expired", "{handshake}"),
    Instrument("failed_tls_handshakes", "Connections that ended in the TLS handshake.", "tls_failed", "{handshake}"),
    Instrument("received_messages", "Messages received.", "messages_received"),
    Instrument("sent_messages", "Messages sent.", "messages_sent"),
    Instrument("received_bytes", "Bytes received; under TLS, the plaintext.", "bytes_received", "By"),
    Instrument("sent_bytes", "Bytes sent; under TLS, the plaintext.", "bytes_sent", "By"),
    Instrument("protocol_errors", "Connections whose peer broke the protocol.", "errors", "{connection}"),
)

CONNECTION_GAUGES: Final = (
    Instrument(
        "messages_per_second", "Messages a second in both directions, over 10 s.", "messages_per_second", "{message}/s"
    ),
    Instrument("latency_seconds", "The last round trip of a ping.", "latency", "s"),
    Instrument("jitter_seconds", "EWMA of the difference between successive RTTs, weight 1/8.", "jitter", "s"),
    Instrument("availability_ratio", "Share of the time with a link, since the first link.", "availability", "1"),
    Instrument("phi", "How suspicious the current silence is.", "phi", "1"),
    Instrument("queue_messages", "Messages in the outbox.", "queue_depth"),
    Instrument("attempts", "Failures since the connection was last stable.", "attempts", "{attempt}"),
)
