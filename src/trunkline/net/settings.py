"""The settings of a connection, checked once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypedDict

from trunkline.net.checks import check_seconds, check_whole, is_whole
from trunkline.protocol.deflate import Deflate
from trunkline.protocol.head import MAX_FIELDS, MAX_HEAD, MAX_LINE, HeadLimits

__all__ = ["HIGH_WATER", "LOW_WATER", "Limits", "Settings", "head_limits", "make_settings"]

Compression = Deflate | Literal["deflate"] | None

HIGH_WATER: Final = 64 * 1024  # bytes in the transport's buffer at which `send` waits
LOW_WATER: Final = 16 * 1024  # bytes at which it goes on


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Limits and timeouts of a connection; the same for `connect` and `serve`.

    Attributes:
        open_timeout: seconds from the name look-up to the end of the opening handshake; None for no limit.
        close_timeout: seconds that the peer has to answer a close frame; then the transport is aborted.
        ping_interval: seconds between keepalive pings; None to send none.
        ping_timeout: seconds after a ping within which a byte must arrive, or an upload in front of the ping must make
            progress; None for no deadline.
        max_line: bytes in the first line of an HTTP head, or in one field.
        max_head: bytes in an HTTP head.
        max_fields: fields in an HTTP head.
        max_size: bytes in a received message; None for no limit.
        max_fragments: frames in a received message; None for no limit.
        max_control_rate: control frames that a peer may send per second, after a first second's worth; None for no
            limit. A peer that sends more is not read for as long as they should have taken.
        max_queue: messages that wait to be taken at which reading pauses, or a pair (pause, resume); None for no limit.
        write_limit: bytes that may wait to be sent; past this, `send_nowait` raises SlowConsumer.
        send_timeout: seconds that `send` and `wait_writable` wait for room before they raise SendTimeout; None for no
            limit.
        compression: None; "deflate" for permessage-deflate (RFC 7692) with the defaults of `trunkline.Deflate`; or a
            Deflate.
        logger: where the connection logs; `trunkline.net` by default.
        clock: seconds, monotonic, to time round trips with; `connect` and `serve` do not take it.

    Raises:
        ValueError: a value is out of range.
        TypeError: the logger is not a logger.
    """

    open_timeout: float | None = 10
    close_timeout: float = 5
    ping_interval: float | None = 20
    ping_timeout: float | None = 20
    max_line: int = MAX_LINE
    max_head: int = MAX_HEAD
    max_fields: int = MAX_FIELDS
    max_size: int | None = 2**20
    max_fragments: int | None = 1024
    max_control_rate: int | None = 10_000
    max_queue: int | tuple[int, int] | None = 16
    write_limit: int = 2**20
    send_timeout: float | None = None
    compression: Compression = None
    logger: logging.Logger = field(default_factory=lambda: logging.getLogger("trunkline.net"))
    clock: Callable[[], float] = time.perf_counter

    def __post_init__(self) -> None:
        for name in ("open_timeout", "close_timeout", "ping_interval", "ping_timeout", "send_timeout"):
            value = getattr(self, name)
            if value is not None:
                check_seconds(name, value)
        if self.close_timeout is None:
            raise ValueError("close_timeout is None, must be a number of seconds: a peer need never answer a close")
        if self.max_size is not None:
            check_whole("max_size", self.max_size, 0, "0 or more bytes, or None for no limit")
        self._check_counts()
        check_whole("write_limit", self.write_limit, 1, "1 or more bytes")
        if self.compression == "deflate":
            object.__setattr__(self, "compression", Deflate())
        if self.compression is not None and not isinstance(self.compression, Deflate):
            raise ValueError(f'compression is {self.compression!r}, must be None, "deflate" or a trunkline.Deflate')
        if not isinstance(self.logger, (logging.Logger, logging.LoggerAdapter)):
            raise TypeError(f"logger is {type(self.logger).__name__}, must be a logging.Logger or LoggerAdapter")
        if not self._are_marks():
            raise ValueError(
                f"max_queue is {self.max_queue!r}, must be a number or a pair (pause, resume), pause >= resume >= 0"
            )

    def _are_marks(self) -> bool:
        """Return whether max_queue gives a high-water and a low-water mark."""
        marks: tuple[Any, ...] = self.max_queue if isinstance(self.max_queue, tuple) else (self.max_queue, 0)
        if self.max_queue is None or marks == (None, None):
            return True
        return len(marks) == 2 and all(is_whole(mark) for mark in marks) and 0 <= marks[1] <= marks[0]

    def _check_counts(self) -> None:
        for name in ("max_line", "max_head", "max_fields"):
            bound = getattr(self, name)
            if not is_whole(bound) or bound < 1:
                raise ValueError(f"{name} is {bound!r}, must be 1 or more: a stranger's head needs a limit")
        if self.max_line > self.max_head:
            raise ValueError(f"max_line is {self.max_line} bytes, must be at most max_head, {self.max_head}")
        for name in ("max_fragments", "max_control_rate"):
            most = getattr(self, name)
            if most is not None:
                check_whole(name, most, 1, "1 or more, or None for no limit")

    @property
    def deflate(self) -> Deflate | None:
        """The settings for permessage-deflate; None for no compression."""
        return self.compression if isinstance(self.compression, Deflate) else None

    @property
    def queue_marks(self) -> tuple[int | None, int | None]:
        """The high-water and low-water marks of the messages that wait to be taken."""
        if self.max_queue is None or isinstance(self.max_queue, tuple):
            return self.max_queue or (None, None)
        return self.max_queue, self.max_queue // 4

    @property
    def write_marks(self) -> tuple[int, int]:
        """The high-water and low-water marks of the bytes that wait to be sent."""
        high = min(HIGH_WATER, self.write_limit)
        return high, min(LOW_WATER, high // 4)


class Limits(TypedDict, total=False):
    """The keyword arguments that `connect` and `serve` share. `Settings` has their meanings and defaults."""

    open_timeout: float | None
    close_timeout: float
    ping_interval: float | None
    ping_timeout: float | None
    max_line: int
    max_head: int
    max_fields: int
    max_size: int | None
    max_fragments: int | None
    max_control_rate: int | None
    max_queue: int | tuple[int, int] | None
    write_limit: int
    send_timeout: float | None
    compression: Compression
    logger: logging.Logger | None


def head_limits(settings: Settings) -> HeadLimits:
    """Return the limits on the head of a request or an answer."""
    return HeadLimits(settings.max_line, settings.max_head, settings.max_fields)


def make_settings(function: str, limits: Limits) -> Settings:
    """Return the settings for the keyword arguments of `function`. Raise TypeError for one that it does not have."""
    unknown = limits.keys() - Limits.__annotations__.keys()
    if unknown:
        raise TypeError(f"{function}() got an unexpected keyword argument {min(unknown)!r}")
    chosen = dict(limits)
    if chosen.get("logger") is None:
        chosen.pop("logger", None)
    return Settings(**chosen)  # type: ignore[arg-type]  # the fields have the names and types of Limits
