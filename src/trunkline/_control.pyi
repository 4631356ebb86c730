from typing import Final, final

from typing_extensions import Buffer

__pyx_capi__: Final[dict[str, object]]  # what the other compiled modules import

def utf8_fault(data: Buffer) -> int | None: ...

@final
class Control:
    @property
    def opcode(self) -> int: ...
    @property
    def payload(self) -> bytes: ...
    @property
    def code(self) -> int: ...
    @property
    def reason(self) -> str: ...

@final
class Fault:
    @property
    def code(self) -> int: ...
    @property
    def text(self) -> str: ...
