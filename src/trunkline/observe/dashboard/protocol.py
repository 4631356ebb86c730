"""What a viewer sends: its token in the opening handshake, then requests, each a JSON object."""

from __future__ import annotations

from typing import Final

import msgspec

__all__ = ["OFFERED", "PROTOCOL", "Asked"]

PROTOCOL: Final = "trunkline.dashboard.v1"
OFFERED: Final = "token."  # prefix of the token, which a viewer sends as one of the subprotocols that it offers


class Asked(msgspec.Struct):
    """A request. kind: "details" of the connection with this id, or "action" to carry out an action on it."""

    kind: str
    id: str = ""
    action: str = ""
