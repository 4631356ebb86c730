"""Bytes of frames, written out by hand: the tests do not ask the code under test what a frame looks like."""

import os
import struct
import zlib
from typing import Any
from unittest import mock

KEY = bytes((0x37, 0xFA, 0x21, 0x3D))  # the key of the examples in RFC 6455 5.7


def xor(data: bytes, key: bytes = KEY) -> bytes:
    return bytes(byte ^ key[index % 4] for index, byte in enumerate(data))


def build(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, masked: bool = True) -> bytes:
    """A frame as RFC 6455 5.2 draws it."""
    size = len(payload)
    short = size if size < 126 else 126 if size < 65536 else 127
    head = bytes((fin << 7 | rsv << 4 | opcode, masked << 7 | short))
    head += b"" if size < 126 else struct.pack("!H" if size < 65536 else "!Q", size)
    return head + (KEY + xor(payload) if masked else payload)


def is_text(data: bytes) -> bool:
    """Whether it is UTF-8, as Python decodes it."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def deflate(data: bytes, *, level: int = 6, bits: int = 15) -> bytes:
    """The payload of a message that is compressed by itself (RFC 7692 7.2.1)."""
    stream = zlib.compressobj(level, zlib.DEFLATED, -bits)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


def same_keys() -> Any:
    """A patch, to enter or to start, under which whoever asks for a masking key gets KEY."""
    return mock.patch.object(os, "urandom", lambda size: (KEY * (size // 4 + 1))[:size])
