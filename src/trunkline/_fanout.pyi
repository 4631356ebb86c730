from typing import Any

from typing_extensions import Buffer

from trunkline._writer import LoopState, Writer

def fan_out(
    connections: list[Writer],
    loop_state: LoopState,
    frame: bytes,
    message: str | Buffer,
    slow: tuple[int, float] | None,
) -> tuple[int, list[Any], list[Any], list[Any]]: ...
def put_late(outlet: Writer, message: str | bytes, slow: tuple[int, float]) -> bool: ...
