"""What compresses: zlib of the standard library, isal where it is installed, or another module with their surface.

A back end is looked up by its name, or is an object like those here. It makes compressors and decompressors of raw
DEFLATE (RFC 1951), with the methods that zlib's have. They may release the GIL while they work, and are used by one
thread at a time; they must not call back.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["BACKENDS", "Backend", "Compressor", "Decompressor", "find_backend"]

MIN_BITS: Final = 9  # zlib makes no raw stream with a window of 256 bytes, and reads one with a larger window as well


class Compressor(Protocol):
    """As zlib.compressobj gives."""

    def compress(self, data: Buffer, /) -> bytes:
        """Some of what the data becomes."""

    def flush(self, mode: int, /) -> bytes:
        """The rest of it. mode: zlib's Z_SYNC_FLUSH, or Z_FULL_FLUSH, after which nothing refers to what was before."""


class Decompressor(Protocol):
    """As zlib.decompressobj gives. It may have `copy()`; where it has, messages cut short are found at once."""

    unconsumed_tail: bytes
    unused_data: bytes
    eof: bool

    def decompress(self, data: Buffer, max_length: int, /) -> bytes:
        """At most max_length bytes, which is 1 or more. What of the data is not taken is `unconsumed_tail`; that may be
        empty while more is to come, but then max_length bytes are given. At a final block `eof` becomes true.
        """


class Backend(Protocol):
    """Makes compressors and decompressors."""

    @property
    def name(self) -> str:
        """Its name, for people."""

    @property
    def error(self) -> type[Exception]:
        """What decompressors raise for data that is no DEFLATE."""

    def compressor(self, level: int, bits: int, mem_level: int) -> Compressor:
        """level: 1, fast, to 9, small. bits: of the window, 9 to 15. mem_level: 1 to 9."""

    def decompressor(self, bits: int) -> Decompressor:
        """bits: of the window, 9 to 15."""


@dataclass(frozen=True, slots=True)
class ModuleBackend:
    """A module with zlib's surface. levels: its levels for zlib's, where they are others."""

    name: str
    module: Any
    levels: Mapping[int, int] = field(default_factory=dict)

    @property
    def error(self) -> type[Exception]:
        """What its decompressors raise."""
        error: type[Exception] = self.module.error
        return error

    def compressor(self, level: int, bits: int, mem_level: int) -> Compressor:
        """A compressor of raw DEFLATE."""
        made: Compressor = self.module.compressobj(self.levels.get(level, level), zlib.DEFLATED, -bits, mem_level)
        return made

    def decompressor(self, bits: int) -> Decompressor:
        """A decompressor of raw DEFLATE."""
        made: Decompressor = self.module.decompressobj(-max(bits, MIN_BITS))
        return made


# ISA-L has levels 0 to 3; its 0 compresses too little to be of use here.
_ISAL_LEVELS: Final = {level: min(3, 1 + level // 4) for level in range(1, 10)}
BACKENDS: Final = {"zlib": ("zlib", {}), "isal": ("isal.isal_zlib", _ISAL_LEVELS)}


@cache
def find_backend(name: str | None) -> Backend:
    """The back end of this name; None: the fastest that is installed. ValueError or ImportError if there is none."""
    if name is None:
        try:
            return find_backend("isal")
        except ImportError:
            return find_backend("zlib")
    if name not in BACKENDS:
        raise ValueError(f"backend is {name!r}, must be one of {', '.join(BACKENDS)}, or an object (backend)")
    module, levels = BACKENDS[name]
    return ModuleBackend(name, importlib.import_module(module), levels)
