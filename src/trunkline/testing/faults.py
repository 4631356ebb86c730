"""Faults of a connection, and plans that say which connection gets which."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

__all__ = ["Fault", "Plan", "seeded_faults"]

Kind = Literal["cut", "reset", "half_open", "stall", "delay", "split", "throttle", "refuse", "blackhole"]
Toward = Literal["server", "client", "both"]

LASTING: Final = frozenset({"stall", "delay", "split", "throttle"})
AT_THE_DOOR: Final = frozenset({"refuse", "blackhole"})

_AMOUNT: Final = {"delay": "seconds of delay", "split": "bytes a piece", "throttle": "bytes a second"}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of one connection through a FaultProxy.

    Args:
        kind: "cut" ends the connection with an end of file both ways, after the bytes before it; "reset" ends it with a
            TCP reset. "half_open": the side that sends `toward` disappears, and the other side does not notice ("both":
            both wait). "stall": nothing is read or passed on. "delay": each byte is `amount` seconds late. "split":
            pieces of `amount` bytes, one a turn of the loop. "throttle": `amount` bytes per second. "refuse": reset as
            soon as it is accepted. "blackhole": accepted, but never read or answered.
        toward: the direction that it affects and that `at_byte` counts: "server" for what the client sends, "client"
            for what the server sends, or "both".
        at_byte: begin after exactly this many bytes in that direction.
        after: begin this many seconds after the connection was accepted. Without `at_byte` and `after`, the fault is
            there from the start.
        amount: of a delay, split or throttle.
        lasts: seconds until a stall, delay, split or throttle ends; None for as long as the connection.

    Raises:
        ValueError: for arguments that do not fit together.
    """

    kind: Kind
    toward: Toward = "both"
    at_byte: int | None = None
    after: float | None = None
    amount: float | None = None
    lasts: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind is {self.kind!r}, must be one of {', '.join(get_args(Kind))}")
        if self.toward not in get_args(Toward):
            raise ValueError(f"toward is {self.toward!r}, must be one of {', '.join(get_args(Toward))}")
        if self.at_byte is not None and self.after is not None:
            raise ValueError(f"at_byte is {self.at_byte} and after is {self.after}, only one may be given")
        if (self.at_byte or 0) < 0 or (self.after or 0) < 0:
            raise ValueError(f"at_byte is {self.at_byte} and after is {self.after}, must not be negative")
        if (self.kind in _AMOUNT) is not (self.amount is not None and self.amount > 0):
            raise ValueError(f"amount is {self.amount!r}, must be {_AMOUNT.get(self.kind, 'None')} for {self.kind!r}")
        if self.lasts is not None and (self.kind not in LASTING or not self.lasts > 0):
            text = (
                f"lasts is {self.lasts!r} for {self.kind!r}, must be None, or above 0 for {', '.join(sorted(LASTING))}"
            )
            raise ValueError(text)
        if self.kind in AT_THE_DOOR and (self.at_byte is not None or self.after is not None):
            raise ValueError(f"{self.kind!r} happens when a connection is accepted; at_byte and after must be None")


Plan = Callable[[int], Sequence[Fault]]


def seeded_faults(
    seed: int | str,
    *,
    kinds: Sequence[Kind] = ("cut", "reset", "half_open", "stall"),
    share: float = 1.0,
    within_bytes: int | None = None,
    within: float | None = None,
    toward: Sequence[Toward] = ("server", "client"),
) -> Plan:
    """Return a random plan that can be repeated: a connection's fault depends only on the seed and its number.

    Args:
        seed: of the random generator.
        kinds: the kinds of faults to draw from. A delay takes up to 100 ms, a split makes pieces of up to 16 bytes, a
            throttle lets 1,000 to 100,000 bytes per second pass.
        share: the probability that a connection has a fault.
        within_bytes: draw the byte at which it begins below this. Give either this or `within`.
        within: draw the time at which it begins below this, in seconds.
        toward: the directions to draw from.

    Raises:
        ValueError: `share` is not between 0 and 1, or not exactly one of `within_bytes` and `within` is given.
    """
    if (within_bytes is None) is (within is None):
        raise ValueError(f"within_bytes is {within_bytes!r} and within is {within!r}, exactly one must be given")
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}, must be between 0 and 1")

    def plan(number: int) -> Sequence[Fault]:
        rng = random.Random(f"{seed}/{number}")
        if rng.random() >= share:
            return ()
        kind, direction = rng.choice(kinds), rng.choice(toward)
        amount = {"delay": rng.uniform(0.001, 0.1), "split": rng.randint(1, 16), "throttle": rng.uniform(1e3, 1e5)}
        if kind in AT_THE_DOOR:
            return (Fault(kind),)
        at_byte = None if within_bytes is None else rng.randrange(within_bytes)
        after = None if within is None else rng.uniform(0, within)
        return (Fault(kind, direction, at_byte, after, amount.get(kind)),)

    return plan
