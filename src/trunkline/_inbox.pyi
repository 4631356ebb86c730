from collections.abc import AsyncIterator, Awaitable, Coroutine
from typing import Any, Final, final

DONE: Final[Coroutine[Any, Any, None]]

@final
class Inbox:
    def __new__(cls, owner: object, loop: object, high: int | None, low: int | None) -> Inbox: ...

@final
class Batches(AsyncIterator[list[str | bytes]]):
    def __init__(self, inbox: Inbox) -> None: ...
    def __aiter__(self) -> Batches: ...
    def __anext__(self) -> Awaitable[list[str | bytes]]: ...
