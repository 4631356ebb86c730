"""The messages of the terminal: the client sends Input and Resize, the server Output and Exit."""

import msgspec


class Input(msgspec.Struct, frozen=True, tag="input"):
    data: str


class Resize(msgspec.Struct, frozen=True, tag="resize"):
    rows: int
    columns: int


class Output(msgspec.Struct, frozen=True, tag="output"):
    data: str


class Exit(msgspec.Struct, frozen=True, tag="exit"):
    pass


Typed = Input | Resize
Shown = Output | Exit
