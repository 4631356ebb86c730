"""What can be done to a line: faults, and plans that say which connection gets which."""

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
    """One thing that happens to one connection through a FaultProxy.

    kind: "cut" ends it with an end of file both ways, once what came before has been passed on; "reset" with a TCP
        reset. "half_open": the end that sends `toward` is gone without a word, and the other hears nothing more
        ("both": both wait). "stall": nothing is read or passed on. "delay": each byte comes `amount` seconds late.
        "split": pieces of `amount` bytes, one a turn of the loop. "throttle": `amount` bytes a second. "refuse": reset
        as soon as it is accepted. "blackhole": accepted, and never read or answered.
    toward: the direction whose bytes it acts on, or whose bytes are counted for `at_byte`: "server", what the client
        sends; "client", what the server sends; or "both".
    at_byte: begins when exactly so many bytes have been passed on in that direction. after: begins so many seconds
        after the connection was accepted. Without either it is there from the start.
    lasts: seconds until a stall, delay, split or throttle is over; None: as long as the connection.

    Raises ValueError for what cannot be.
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
            raise ValueError(f"at_byte is {self.at_byte} and after is {self.after}, may be one of them")
        if (self.at_byte or 0) < 0 or (self.after or 0) < 0:
            raise ValueError(f"at_byte is {self.at_byte} and after is {self.after}, must not be negative")
        if (self.kind in _AMOUNT) is not (self.amount is not None and self.amount > 0):
            raise ValueError(f"amount is {self.amount!r}, must be {_AMOUNT.get(self.kind, 'None')} for {self.kind!r}")
        if self.lasts is not None and (self.kind not in LASTING or not self.lasts > 0):
            raise ValueError(f"lasts is {self.lasts!r} for {self.kind!r}, must be None, or more than 0 for what ends")
        if self.kind in AT_THE_DOOR and (self.at_byte is not None or self.after is not None):
            raise ValueError(f"{self.kind!r} happens when a connection is accepted, at no byte or time")


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
    """A plan by chance: each connection meets one fault with probability `share`, at a random byte below
    `within_bytes` or at a random time below `within` seconds.

    What the connection of a number meets depends on the seed and the number alone, so that a run can be repeated
    whatever the order in which connections come. Give one of `within_bytes` and `within`. A delay is of up to 100 ms, a
    split of up to 16 bytes, a throttle of 1,000 to 100,000 bytes a second. Raises ValueError for bounds that are none.
    """
    if (within_bytes is None) is (within is None):
        raise ValueError(f"within_bytes is {within_bytes!r} and within is {within!r}, must be one of them")
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
