"""One input of libFuzzer's through every decoder (`native/decoder.c` embeds this), and the inputs it begins with.

    python -m fuzz.guided DIRECTORY           writes those that libFuzzer begins with
    python -m fuzz.guided DIRECTORY --keep    keeps what is there, merged by libFuzzer, for all runs to come

Theory of operation. An input is `HEAD` bytes of settings and a stream. A mask would hide the stream from libFuzzer,
whose mutations know no key, so half of what goes towards a server is written without masks, and masked here. Inputs
stay short, since most of an input's time goes into feeding it byte by byte; what only large messages reach is reached
by streams whose messages are stretched here, and go through decoders whole and split.
"""

import argparse
import json
import sys
import zlib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

from fuzz import links, sides
from fuzz.check import Unexplained, check, headers, limited_drop_in, same_however_split
from fuzz.streams import BINARY, CLOSE, LIMITS, NO_TAKEOVER, PING, PLAIN, TAKEOVER, Stream, block

HEAD = 5  # bytes: flags, limits, and where it is cut
CLIENT, MASKED_HERE, STRETCHED = 1, 2, 64  # flags
DEFLATES, CUTS = 2, 4  # and between them two numbers of two bits
STRETCH = 1024  # times
KINDS = [PLAIN, TAKEOVER, NO_TAKEOVER, PLAIN]
ALL_LIMITS: list[tuple[int | None, int | None]] = [(None, None), *LIMITS]
CORPUS = Path(__file__).parent / "corpus"
FOUND, REACHED = CORPUS / "found.jsonl", CORPUS / "reached.txt"
# Compressed messages to be stretched, in stored blocks, each of which ends a stream (1) or not.
LARGE = [
    Stream(b"\xc2\x50" + (bytes((final,)) + b"\5\0\xfa\xffhello") * 8, True, deflate, ())
    for final in (0, 1)
    for deflate in (TAKEOVER, NO_TAKEOVER)
]


def one_input(data: bytes) -> None:
    """Raises for whatever decoders should not have made of it, and prints the stream, for the corpus."""
    stream = stream_of(data)
    try:
        if any(flags & STRETCHED for flags in data[:1]):
            same_if_large(stream)
        else:
            check(stream)
        same_on_a_link(stream)
        stays_dead(stream)
    except BaseException:
        print(json.dumps(stream.to_json()), file=sys.stderr, flush=True)
        raise


def stream_of(data: bytes) -> Stream:
    """What an input stands for; any bytes are one."""
    flags, limits, *cuts = data[:HEAD].ljust(HEAD, b"\0")
    client, body = bool(flags & CLIENT), data[HEAD:]
    max_size, max_fragments = ALL_LIMITS[limits % len(ALL_LIMITS)]
    if flags & STRETCHED:
        body, max_size = stretched(body), STRETCH * (2**20 if max_size is None else max_size)
    if not client and flags & MASKED_HERE:
        body = masked(body)
    places = sorted(cut * (len(body) + 1) >> 8 for cut in cuts[: flags >> CUTS & 3])
    return Stream(body, client, KINDS[flags >> DEFLATES & 3], tuple(places), max_size, max_fragments)


def input_of(stream: Stream, flags: int = 0) -> bytes:
    """An input for a stream, with cuts and limits near to its own."""
    flags |= stream.client | KINDS.index(stream.deflate) << DEFLATES | len(stream.cuts[:3]) << CUTS
    cuts = bytes(min(-(-cut * 256 // (len(stream.data) + 1)), 255) for cut in stream.cuts[:3]).ljust(3, b"\0")
    limits = (stream.max_size, stream.max_fragments)
    return bytes((flags, ALL_LIMITS.index(limits) if limits in ALL_LIMITS else 1)) + cuts + stream.data


def masked(data: bytes) -> bytes:
    """The data with a mask on every frame that has none, each with a key of its own."""
    out, at = bytearray(), 0
    for start, body, end, _, _ in headers(data):
        frame, at = bytearray(data[start:body]), end
        key = b"" if frame[1] & 0x80 else zlib.crc32(bytes((start & 0xFF,))).to_bytes(4, "big")
        frame[1] |= 0x80
        out += frame + key
        out += bytes(byte ^ key[index & 3] for index, byte in enumerate(data[body:end])) if key else data[body:end]
    return bytes(out + data[at:])


def stretched(data: bytes) -> bytes:
    """The data with the payload of every message that has no mask repeated."""
    out, at = bytearray(), 0
    for start, body, end, first, length in headers(data):
        at = min(end, len(data))
        if first & 15 >= CLOSE or data[start + 1] & 0x80 or end > len(data) or not 0 < length * STRETCH >= 65536:
            out += data[start:at]
        else:
            out += bytes((first, 127)) + (length * STRETCH).to_bytes(8, "big") + data[body:end] * STRETCH
    return bytes(out + data[at:])


def same_if_large(stream: Stream) -> None:
    """What of `check` takes no step for each byte."""
    whole = sides.decode(stream, [stream.data], limited=True)
    same_however_split(stream, whole, limited=True)
    if stream.max_fragments is None:
        limited_drop_in(stream, whole)


def same_on_a_link(stream: Stream) -> None:
    """A link gives what its decoder gives, wherever that is received, and whoever inflates it."""
    expected, linked = sides.decode(stream, stream.chunks(), limited=True), links.decode(stream)
    expected = expected._replace(items=[item for item in expected.items if type(item) is not tuple or item[0] != PING])
    if stream.deflate:  # the words are zlib's, and say how far it had come: which of two faults is told, too
        expected, linked = (one._replace(words=None) for one in (expected, linked))
        if {linked.fault, expected.fault} == {1007, 1009}:
            linked = linked._replace(fault=expected.fault)
    if linked != expected:
        raise Unexplained("a Link and its Decoder disagree", linked=linked, expected=expected)


def stays_dead(stream: Stream) -> None:
    """A decoder that has failed, or seen a close frame, gives nothing for whatever comes."""
    more = bytes((0x80 | BINARY, 1, 0)) * 3
    more = more if stream.client else masked(more)
    under_test = sides.decoder(stream, limited=True)
    under_test.feed(stream.data)
    fault, received = under_test.fault, under_test.messages_received
    if (fault or under_test.closed) and (
        under_test.feed(more) or under_test.fault is not fault or under_test.messages_received != received
    ):
        raise Unexplained("a Decoder has come back to life", fault=fault, now=under_test.fault)
    side = sides.our_frames(stream)
    if sides.frames(side, [stream.data]).fault and sides.frames(side, [more]) != ([], None, 1):
        raise Unexplained("a FrameProtocol has come back to life")


def reached() -> list[bytes]:
    """The inputs that were kept: together they reach what libFuzzer has reached so far."""
    return [bytes.fromhex(line) for line in REACHED.read_text().splitlines()]


def seeds() -> Iterator[bytes]:
    """Inputs of the generator, all that were found, and all that were kept."""
    yield from reached()
    found = [json.loads(line) for line in FOUND.read_text().splitlines()]
    kept = (Stream.from_json({k: v for k, v in one.items() if k not in ("why", "divergences")}) for one in found)
    for stream in chain(kept, LARGE, block(1, 0, 3000)):
        if len(stream.data) <= 500:
            yield input_of(stream)
            if stream.client:
                yield input_of(stream._replace(client=False), MASKED_HERE)
                yield input_of(stream, STRETCHED)


def main() -> None:
    parser = argparse.ArgumentParser(prog="fuzz.guided")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    if options.keep:
        kept = sorted((path.read_bytes() for path in options.directory.iterdir()), key=lambda one: (len(one), one))
        REACHED.write_text("".join(one.hex() + "\n" for one in kept))
        return
    options.directory.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds()):
        (options.directory / f"{number:05}").write_bytes(seed)


if __name__ == "__main__":
    main()
