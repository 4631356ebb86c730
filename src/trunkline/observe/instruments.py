"""What is exported, whatever the system: names, words and where each figure comes from."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["BOUNDS", "CONNECTION_GAUGES", "SERVER_COUNTERS", "SERVICE_COUNTERS", "Instrument"]

# Seconds: from a machine of the same rack to the other side of the world, and what is too slow for either.
BOUNDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Instrument(NamedTuple):
    """name: as Prometheus has it, without prefix and `_total`. unit: UCUM, as OpenTelemetry wants it."""

    name: str
    text: str
    source: str  # the field of the report
    unit: str = "{message}"


SERVICE_COUNTERS: Final = (
    Instrument("received_messages", "Messages received.", "messages_received"),
    Instrument("sent_messages", "Messages sent.", "messages_sent"),
    Instrument("received_bytes", "Bytes received, under TLS its plaintext.", "bytes_received", "By"),
    Instrument("sent_bytes", "Bytes sent, under TLS its plaintext.", "bytes_sent", "By"),
    Instrument("undecodable_messages", "Messages that fitted no type of the service.", "undecodable"),
    Instrument("discarded_messages", "Messages of a lost link that a full inbox had no room for.", "discarded"),
    Instrument("faults", "Exceptions of callbacks, or of trunkline's own, that were survived.", "faults", "{fault}"),
    Instrument("dropped_messages", "Messages that were never written.", "dropped"),
    Instrument("unknown_messages", "Messages written to a link that was lost, whose fate is unknown.", "unknown"),
    Instrument("reconnects", "Links after a connection's first.", "reconnects", "{link}"),
)

SERVER_COUNTERS: Final = (
    Instrument("opened_connections", "Connections opened.", "opened", "{connection}"),
    Instrument("turned_away_connections", "Connections refused, there being too many.", "turned_away", "{connection}"),
    Instrument("refused_handshakes", "Opening handshakes refused for what stood in them.", "refused", "{handshake}"),
    Instrument("expired_handshakes", "Opening handshakes not done in open_timeout.", "expired", "{handshake}"),
    Instrument("failed_tls_handshakes", "Connections that ended within TLS's handshake.", "tls_failed", "{handshake}"),
    Instrument("received_messages", "Messages received.", "messages_received"),
    Instrument("sent_messages", "Messages sent.", "messages_sent"),
    Instrument("received_bytes", "Bytes received, under TLS its plaintext.", "bytes_received", "By"),
    Instrument("sent_bytes", "Bytes sent, under TLS its plaintext.", "bytes_sent", "By"),
    Instrument("protocol_errors", "Connections whose peer broke the protocol.", "errors", "{connection}"),
)

CONNECTION_GAUGES: Final = (
    Instrument("messages_per_second", "Messages a second both ways, over 10 s.", "messages_per_second", "{message}/s"),
    Instrument("latency_seconds", "The last round trip of a ping.", "latency", "s"),
    Instrument("jitter_seconds", "EWMA of the change from one round trip to the next.", "jitter", "s"),
    Instrument("availability_ratio", "Share of the time since the first link with a link.", "availability", "1"),
    Instrument("phi", "How suspicious the present silence is.", "phi", "1"),
    Instrument("queue_messages", "Messages in the outbox.", "queue_depth"),
    Instrument("attempts", "Failures since the line was last stable.", "attempts", "{attempt}"),
)
