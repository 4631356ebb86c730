from typing import final

@final
class Backlog:
    @property
    def left(self) -> int: ...
