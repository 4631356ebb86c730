from typing import final

@final
class Shelf: ...

@final
class Room: ...
