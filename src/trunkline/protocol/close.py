"""Check the code and reason of a close frame (RFC 6455 5.5.1, 7.4)."""

from __future__ import annotations

from trunkline._control import may_be_sent
from trunkline._frame_writer import MAX_REASON, close_payload
from trunkline.protocol.errors import LocalProtocolError

__all__ = ["check_close", "close_payload"]


def check_close(code: int, reason: str) -> None:
    """Raise LocalProtocolError if a close frame must not carry this code (RFC 6455 7.4) or this reason."""
    if not may_be_sent(code):
        raise LocalProtocolError(f"close code {code} may not be sent (code, RFC 6455 7.4)")
    try:
        size = len(reason.encode())
    except UnicodeEncodeError as error:
        raise LocalProtocolError(f"close reason is not Unicode at index {error.start} (reason, RFC 6455 8.1)") from None
    if size > MAX_REASON:
        raise LocalProtocolError(f"close reason has {size} bytes, limit {MAX_REASON} (reason, RFC 6455 5.5)")
