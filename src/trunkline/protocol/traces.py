"""Drop the stack frames of exceptions that are kept."""

from __future__ import annotations

from typing import TypeVar

__all__ = ["forget_frames"]

Error = TypeVar("Error", bound=BaseException)


def forget_frames(error: Error) -> Error:
    """Remove the tracebacks of an exception and of all exceptions it is linked to; return the exception.

    A traceback keeps its frames alive, and with them every local variable: a buffer, a batch of messages, a connection.
    Call this on an exception that outlives the call that raised it. Suppressed contexts (`raise ... from ...`) are
    removed too.
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
