"""wsproto's types, by identity."""

from wsproto.typing import Headers

__all__ = ["Headers"]
