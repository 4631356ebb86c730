"""Seeded streams of frames: valid, nearly valid and mutated, with settings and a split for each.

Theory of operation. A `Pool` holds a thousand units of one kind of line, each a message, a control frame or a fault as
it is on the wire. An input is one to three units, one in three with a few bytes changed. Making units is dear, drawing
from them is not; so there is a new pool every `BLOCK` inputs, and any block of any seed is made by itself.
"""

import zlib
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, NamedTuple

from rawframes import deflate

BLOCK = 20_000  # inputs
UNITS = 1024
RSV1 = 4
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
PLAIN, TAKEOVER, NO_TAKEOVER = "", "takeover", "no takeover"


class Stream(NamedTuple):
    """One input: what a connection is fed, and how it is set."""

    data: bytes
    client: bool  # who receives
    deflate: str  # PLAIN, TAKEOVER or NO_TAKEOVER
    cuts: tuple[int, ...]  # where a split of it cuts
    max_size: int | None = None
    max_fragments: int | None = None

    def chunks(self) -> list[bytes]:
        """The data, split."""
        ends = (*self.cuts, len(self.data))
        return [self.data[start:end] for start, end in zip((0, *self.cuts), ends, strict=True)]

    def to_json(self) -> dict[str, Any]:
        """For the corpus."""
        return {**self._asdict(), "data": self.data.hex()}

    @staticmethod
    def from_json(fields: dict[str, Any]) -> "Stream":
        """From the corpus."""
        return Stream(**{**fields, "data": bytes.fromhex(fields["data"]), "cuts": tuple(fields["cuts"])})


SIZES = [0, 0, 1, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64]
EDGES = [124, 125, 126, 127, 128, 255, 256, 300]
LENGTHS = [0, 1, 125, 126, 127, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**63 - 1, 2**63, 2**64 - 1]
CODES = [999, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 1015, 1016]
CODES += [0, 1, 1100, 1999, 2000, 2999, 3000, 3999, 4000, 4999, 5000, 65535]
CHARACTERS = ["a", "Z", "~", "\x7f", "\0", "é", "\x80", "߿", "ࠀ", "€", "퟿", "", "￿", "𐀀", "😀", "\U0010ffff"]
BAD_TEXTS = [
    b"\x80",
    b"\xbf",
    b"\xc0\x80",
    b"\xc1\xbf",
    b"\xc2",
    b"\xe0\x9f\xbf",
    b"\xe0\xa0",
    b"\xed\xa0\x80",
    b"\xff",
]
BAD_TEXTS += [b"\xf0\x8f\xbf\xbf", b"\xf0\x90\x80", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xfe", b"\xe2\x82a"]
LIMITS: list[tuple[int | None, int | None]] = [(size, None) for size in (0, 1, 2, 5, 16, 125, 126, 200, 1000)]
LIMITS += [(None, 1), (None, 2), (None, 3), (8, 2), (64, 3)]


class Pool:
    """Units of one kind of line: towards a client or a server, with or without compression."""

    def __init__(self, random: Random, *, client: bool, deflate: bool) -> None:
        self.random = random
        self.client = client
        self.deflate = deflate
        makers: list[Callable[[], bytes]] = [self.whole] * 6 + [self.fragmented] * 4 + [self.control] * 2
        makers += [self.close] * 2 + [self.fault] * 5 + [self.compressed] * (12 * deflate)
        self.units = [random.choice(makers)() for _ in range(UNITS - 1)]
        self.units.append(self.frame(BINARY, random.randbytes(random.choice((65535, 65536, 70000)))))

    def frame(self, opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0) -> bytes:
        """A frame as the peer sends it."""
        return self.header(fin << 7 | rsv << 4 | opcode, len(payload)) + self.masked(payload)

    def header(self, first: int, length: int, form: int = 0, mask: bool | None = None) -> bytes:
        """A header without its key. form: 0 for the shortest length, or 2 or 8 bytes."""
        form = form or (0 if length < 126 else 2 if length < 65536 else 8)
        short = {0: min(length, 125), 2: 126, 8: 127}[form]
        mask = not self.client if mask is None else mask
        return bytes((first, mask << 7 | short)) + (length % (1 << 8 * form)).to_bytes(form, "big")

    def masked(self, payload: bytes) -> bytes:
        """The payload as it follows a header: with a key before it if the peer is a client."""
        if self.client:
            return payload
        key = self.random.randbytes(4)
        wide = (key * (len(payload) // 4 + 1))[: len(payload)]
        return key + (int.from_bytes(payload, "big") ^ int.from_bytes(wide, "big")).to_bytes(len(payload), "big")

    def size(self) -> int:
        return self.random.choice(SIZES if self.random.random() < 0.93 else EDGES)

    def text(self) -> bytes:
        """A payload of text, now and then a bad one."""
        random, size = self.random, self.size()
        good = "".join(random.choices(CHARACTERS if random.random() < 0.5 else "abc ", k=size)).encode()
        if random.random() < 0.06:
            at = random.randint(0, len(good))
            return good[:at] + random.choice(BAD_TEXTS) + good[at:]
        return good

    def payload(self, opcode: int) -> bytes:
        return self.text() if opcode == TEXT else self.random.randbytes(self.size())

    def whole(self) -> bytes:
        opcode = self.random.choice((TEXT, BINARY))
        return self.frame(opcode, self.payload(opcode))

    def parts(self, opcode: int, payload: bytes, rsv: int = 0) -> bytes:
        """A message in fragments, with control frames between some of them."""
        random = self.random
        marks = sorted(random.choices(range(len(payload) + 1), k=random.randint(1, 3)))
        pieces = [payload[a:b] for a, b in zip((0, *marks), (*marks, len(payload)), strict=True)]
        out = b""
        for index, piece in enumerate(pieces):
            out += self.frame(
                CONTINUATION if index else opcode, piece, fin=index == len(marks), rsv=0 if index else rsv
            )
            if index < len(marks) and random.random() < 0.3:
                out += self.control()
        return out

    def fragmented(self) -> bytes:
        opcode = self.random.choice((TEXT, BINARY))
        return self.parts(opcode, self.payload(opcode))

    def control(self) -> bytes:
        return self.frame(self.random.choice((PING, PONG)), self.random.randbytes(self.size())[:125])

    def close(self) -> bytes:
        random = self.random
        if random.random() < 0.2:
            return self.frame(CLOSE, random.randbytes(random.choice((0, 0, 1, 2, 125))))
        return self.frame(CLOSE, (random.choice(CODES).to_bytes(2, "big") + self.text())[:125])

    def fault(self) -> bytes:
        """A frame, or the beginning of one, that most likely may not come."""
        random = self.random
        kind = random.randrange(8)
        if kind == 0:  # any first byte
            return self.frame(random.randrange(16), self.text(), fin=random.random() < 0.7, rsv=random.randrange(8))
        if kind == 1:  # any length, in any form
            opcode = random.choice((CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG))
            head = self.header(0x80 | opcode, random.choice(LENGTHS), random.choice((0, 2, 8)))
            return head + self.masked(random.randbytes(self.size()))
        if kind == 2:  # masked as the other role does
            return self.header(0x81, 3, mask=self.client) + random.randbytes(random.choice((0, 3, 7)))
        if kind == 3:  # continues what is not there, or does not end it
            return self.frame(CONTINUATION, self.text(), fin=random.random() < 0.5)
        if kind == 4:  # begins a message and leaves it so
            opcode = random.choice((TEXT, BINARY))
            return self.frame(opcode, self.payload(opcode), fin=False)
        if kind == 5:  # a control frame in fragments, or too long
            return self.frame(random.choice((CLOSE, PING, PONG)), bytes(random.choice((0, 126))), fin=False)
        if kind == 6:
            return self.frame(random.choice((TEXT, BINARY)), self.text(), rsv=random.choice((1, 2, 3, 4, 5, 7)))
        return random.randbytes(self.size())

    def compressed(self) -> bytes:
        """Compressed messages: good, corrupt, bombs, in one window, in fragments."""
        random = self.random
        kind = random.randrange(10)
        if kind == 0:  # several messages that share a window
            stream = zlib.compressobj(6, zlib.DEFLATED, -random.randint(9, 15))
            same = self.text() * 2
            payloads = [(stream.compress(same) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4] for _ in range(3)]
            return b"".join(self.frame(BINARY, payload, rsv=RSV1) for payload in payloads)
        if kind == 1:  # a bomb
            return self.frame(
                BINARY, deflate(bytes(random.choice((1000, 1000, 3000, 3000, 3000, 3000, 3000, 40_000)))), rsv=RSV1
            )
        opcode = random.choice((TEXT, BINARY))
        payload = self.deflated(opcode, kind)
        if random.random() < 0.3:
            return self.parts(opcode, payload, RSV1)
        return self.frame(opcode, payload, rsv=RSV1)

    def deflated(self, opcode: int, kind: int) -> bytes:
        random, good = self.random, deflate(self.payload(opcode), level=self.random.choice((0, 1, 6, 9)))
        if kind == 2:
            return random.randbytes(self.size())
        if kind == 3:  # cut short
            return good[: random.randint(0, len(good))]
        if kind == 4:  # final blocks, with what must follow them or without
            stream = zlib.compressobj(6, zlib.DEFLATED, -15)
            final = stream.compress(self.payload(opcode)) + stream.flush()
            return final * random.randint(1, 2) + random.choice((b"", b"\0", good, b"\x03\0"))
        if kind == 5:  # stored blocks, final or not, whose lengths may lie
            held, length = random.randint(0, 6), random.randint(0, 12)
            head = bytes((random.getrandbits(1),)) + length.to_bytes(2, "little")
            return head + (length ^ 0xFFFF).to_bytes(2, "little") + b"stored"[:held] + random.choice((b"", b"\0"))
        if kind == 6:
            at = random.randint(0, len(good))
            return good[:at] + random.randbytes(1) + good[at + random.getrandbits(1) :]
        return good


def mutated(random: Random, data: bytes) -> bytes:
    """The data with one to three things changed."""
    out = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        at = int(random.random() * (len(out) + 1))
        kind = int(random.random() * 6)
        if kind == 0:
            out[at:at] = random.randbytes(1)
        elif kind == 1:
            del out[at:]
        elif kind == 2:
            del out[at : at + 1 + int(random.random() * 4)]
        elif kind == 3:
            out[at:at] = out[at : at + 6]
        elif at < len(out):
            out[at] = out[at] ^ 1 << int(random.random() * 8) if kind == 4 else int(random.random() * 256)
    return bytes(out)


def block(seed: int, number: int, count: int = BLOCK) -> Iterator[Stream]:
    """The first inputs of a block."""
    random = Random(f"{seed}/{number}")
    pools = [
        [Pool(random, client=client, deflate=deflate).units for client in (False, True)] for deflate in (False, True)
    ]
    for _ in range(count):
        bits = random.getrandbits(64)
        client, compressed = bool(bits & 1), bits >> 1 & 7 < 2
        units = pools[compressed][client]
        data = units[bits >> 10 & 1023]
        for unit in range((0, 0, 1, 2)[bits >> 4 & 3]):
            data += units[bits >> 20 + 10 * unit & 1023]
        if bits >> 50 & 3 == 0 or bits >> 52 & 15 == 0:
            data = mutated(random, data)
        cuts = tuple(sorted(int(random.random() * (len(data) + 1)) for _ in range(bits >> 56 & 3)))
        limits = LIMITS[int(random.random() * len(LIMITS))] if bits >> 58 & 3 == 0 else (None, None)
        deflate = (TAKEOVER, NO_TAKEOVER)[bits >> 60 & 1] if compressed else PLAIN
        yield Stream(data, client, deflate, cuts, *limits)
