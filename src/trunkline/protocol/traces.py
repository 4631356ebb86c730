"""Exceptions that are kept: without the frames that they were raised through."""

from __future__ import annotations

from typing import TypeVar

__all__ = ["forget_frames"]

Error = TypeVar("Error", bound=BaseException)


def forget_frames(error: Error) -> Error:
    """Take the tracebacks from an exception and from all that it came from or holds, and give it back.

    A traceback holds its frames, and those every local variable: a buffer, a batch of messages, a connection. Call this
    on what outlives the call that raised it. Contexts that the program suppressed (`raise ... from ...`) go as well.
    """
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        one.__traceback__ = None
        if one.__suppress_context__:
            one.__context__ = None
        waiting += [link for link in (one.__cause__, one.__context__) if link is not None]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
    return error
