"""Read how long a peer asks us to wait, from a Retry-After field or a close reason.

The text comes from a peer, and the standard library parses dates in it. So its length is limited first, and anything
that cannot be read is ignored.
"""

from __future__ import annotations

import email.utils
import re
from typing import Final

__all__ = ["LONGEST_WAIT", "MAX_DATE", "read_close_reason", "read_retry_after"]

LONGEST_WAIT: Final = 2.0**31  # seconds; a larger number counts as this (RFC 9111 1.2.2)
MAX_DATE: Final = 64  # characters; an HTTP-date has 29 (RFC 9110 5.6.7)
_MOST_DIGITS: Final = 10  # 2 ** 31 has as many

_IN_REASON: Final = re.compile(r"\bretry[- ]after[:=]? ?([0-9]+)\b", re.IGNORECASE | re.ASCII)


def read_retry_after(value: str, date: str) -> float | None:
    """Return how many seconds a Retry-After field asks for (RFC 9110 10.2.3); None if it cannot be read.

    Args:
        value: a number of seconds, or a date.
        date: the Date field of the same answer; a date in `value` is compared with it, so clocks need not agree.
    """
    value = value.strip()
    if value.isascii() and value.isdigit():
        return _read_seconds(value)
    if len(value) > MAX_DATE or len(date) > MAX_DATE:
        return None
    try:
        then = email.utils.parsedate_to_datetime(value)
        return max(0.0, (then - email.utils.parsedate_to_datetime(date)).total_seconds())
    except Exception:  # the parser raises many kinds, such as OverflowError for a year
        return None


def read_close_reason(reason: str) -> float | None:
    """Return the seconds in "retry-after: 30", alone or within a longer close reason; None if there is none.

    No RFC defines this. A close frame has no fields, so a server that restarts has no other place to say when it will
    be back.
    """
    found = _IN_REASON.search(reason)
    return None if found is None else _read_seconds(found[1])


def _read_seconds(digits: str) -> float:
    digits = digits.lstrip("0")
    return LONGEST_WAIT if len(digits) > _MOST_DIGITS else min(LONGEST_WAIT, float(digits or "0"))
