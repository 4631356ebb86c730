from typing import Any

from typing_extensions import Buffer

from trunkline._writer import Flusher, Writer

def fan_out(
    connections: list[Writer], flusher: Flusher, frame: bytes, message: str | Buffer, *, drops: bool
) -> tuple[int, list[Any], list[Any], list[Any]]: ...
