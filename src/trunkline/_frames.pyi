from typing import Final, final

from typing_extensions import Buffer

from trunkline._control import Control, Fault
from trunkline._inflate import Inflater

OPCODE_CONTINUATION: Final[int]
OPCODE_TEXT: Final[int]
OPCODE_BINARY: Final[int]
OPCODE_CLOSE: Final[int]
OPCODE_PING: Final[int]
OPCODE_PONG: Final[int]
FIN: Final[int]
RSV1: Final[int]

@final
class Decoder:
    def __new__(
        cls,
        client: bool,
        *,
        max_size: int | None = 2**20,
        max_fragments: int | None = 1024,
        inflater: Inflater | None = None,
    ) -> Decoder: ...
    @property
    def inflater(self) -> Inflater | None: ...
    @property
    def client(self) -> bool: ...
    @property
    def max_size(self) -> int: ...
    @property
    def max_fragments(self) -> int: ...
    @property
    def fault(self) -> Fault | None: ...
    @property
    def closed(self) -> bool: ...
    @property
    def bytes_received(self) -> int: ...
    @property
    def frames_received(self) -> int: ...
    @property
    def messages_received(self) -> int: ...
    @property
    def pings_received(self) -> int: ...
    @property
    def pongs_received(self) -> int: ...
    @property
    def errors(self) -> int: ...
    @property
    def wide_bytes(self) -> int: ...
    def feed(self, data: Buffer) -> list[str | bytes | Control]: ...
