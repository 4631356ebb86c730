"""Compression back ends: the standard library's zlib, isal if it is installed, or your own.

A back end is given by name, or as an object with the methods of `Backend`. It makes compressors and decompressors of
raw DEFLATE (RFC 1951) with zlib's methods. They may release the GIL, are used by one thread at a time, and must not
call back into trunkline.
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

MIN_BITS: Final = 9  # zlib cannot write raw streams with a window of 256 bytes, but can read them with a larger one


class Compressor(Protocol):
    """An object like those of zlib.compressobj."""

    def compress(self, data: Buffer, /) -> bytes:
        """Compress data; return the output that is ready."""

    def flush(self, mode: int, /) -> bytes:
        """Return the rest of the output. mode: zlib's Z_SYNC_FLUSH, or Z_FULL_FLUSH to forget the window as well."""


class Decompressor(Protocol):
    """An object like those of zlib.decompressobj. With a `copy()` method, truncated messages are found at once."""

    unconsumed_tail: bytes
    unused_data: bytes
    eof: bool

    def decompress(self, data: Buffer, max_length: int, /) -> bytes:
        """Decompress to at most max_length bytes, 1 or more; leave the input that is not used in `unconsumed_tail`.

        It may be empty with output still to come, but only if this call returned max_length bytes. Set `eof` at a
        final block.
        """


class Backend(Protocol):
    """A factory for compressors and decompressors."""

    @property
    def name(self) -> str:
        """The name, for messages."""

    @property
    def error(self) -> type[Exception]:
        """The exception that decompressors raise if the data is not DEFLATE."""

    def compressor(self, level: int, bits: int, mem_level: int) -> Compressor:
        """Make a compressor.

        Args:
            level: from 1 (fastest) to 9 (smallest).
            bits: size of the window, 9 to 15.
            mem_level: 1 to 9, as in zlib.
        """

    def decompressor(self, bits: int) -> Decompressor:
        """Make a decompressor. bits: size of the window, 9 to 15."""


@dataclass(frozen=True, slots=True)
class ModuleBackend:
    """A module with zlib's functions. levels: maps zlib's levels to the module's, where they differ."""

    name: str
    module: Any
    levels: Mapping[int, int] = field(default_factory=dict)

    @property
    def error(self) -> type[Exception]:
        """The exception that its decompressors raise."""
        error: type[Exception] = self.module.error
        return error

    def compressor(self, level: int, bits: int, mem_level: int) -> Compressor:
        """Make a compressor of raw DEFLATE."""
        made: Compressor = self.module.compressobj(self.levels.get(level, level), zlib.DEFLATED, -bits, mem_level)
        return made

    def decompressor(self, bits: int) -> Decompressor:
        """Make a decompressor of raw DEFLATE."""
        made: Decompressor = self.module.decompressobj(-max(bits, MIN_BITS))
        return made


# ISA-L has levels 0 to 3; level 0 compresses too little to be useful.
_ISAL_LEVELS: Final = {level: min(3, 1 + level // 4) for level in range(1, 10)}
BACKENDS: Final = {"zlib": ("zlib", {}), "isal": ("isal.isal_zlib", _ISAL_LEVELS)}


@cache
def find_backend(name: str | None) -> Backend:
    """Return the back end with this name, or the fastest that is installed for None.

    Raises:
        ValueError: there is no back end of that name.
        ImportError: it is not installed.
    """
    if name is None:
        try:
            return find_backend("isal")
        except ImportError:
            return find_backend("zlib")
    if name not in BACKENDS:
        raise ValueError(f"backend is {name!r}, must be one of {', '.join(BACKENDS)}, or an object (backend)")
    module, levels = BACKENDS[name]
    return ModuleBackend(name, importlib.import_module(module), levels)
