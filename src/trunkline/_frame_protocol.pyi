from collections.abc import Generator, Sequence

from typing_extensions import Buffer, disjoint_base
from wsproto.extensions import Extension
from wsproto.frame_protocol import Frame

from trunkline._frame_writer import FrameWriter

@disjoint_base
class FrameProtocol(FrameWriter):
    def __init__(
        self, client: bool, extensions: Sequence[Extension] | None = None, *, max_size: int | None = None
    ) -> None: ...
    @property
    def max_size(self) -> int | None: ...
    def receive_bytes(self, data: Buffer) -> None: ...
    def received_frames(self) -> Generator[Frame]: ...
