"""How many links one service and set of parameters has, and which of them carries what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["PoolPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPolicy:
    """A pool of links.

    size: how many there may be; they are opened when they are needed.
    strategy: which one is taken. "least_pending": a link that is up and has the least under way, or a new one while
        all are busy and there are fewer than `size`. "round_robin": one after the other. "hash": always the same one
        for the same key, up or not, so that the messages of a key keep their order; the others promise none.
    idle_timeout: seconds after its last use in which a link that nobody has leased is closed; None: it stays.
    """

    size: int = 4
    strategy: Literal["least_pending", "round_robin", "hash"] = "least_pending"
    idle_timeout: float | None = None

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size is {self.size}, wanted 1 or more links")
        if self.strategy not in ("least_pending", "round_robin", "hash"):
            raise ValueError(f"strategy is {self.strategy!r}; wanted least_pending, round_robin or hash")
        if self.idle_timeout is not None and not self.idle_timeout > 0:
            raise ValueError(f"idle_timeout is {self.idle_timeout}, wanted more than 0 seconds, or None")
