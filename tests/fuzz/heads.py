"""`make fuzz-heads`: heads of HTTP messages through llhttp and through h11; what nothing explains goes to reports/fuzz.

An input is what a client or a server may send: a request, or an answer with what follows it, from a grammar of good and
bad parts, damaged in three cases of ten, and cut at random. The same seed gives the same inputs in the same blocks.
`readers` says what both readers must agree on, and where they may not.
"""

import argparse
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

REPORTS = Path(__file__).parents[2] / "reports" / "fuzz"
BLOCK = 2500  # inputs that one process makes and checks at a time

METHODS = [b"GET"] * 40 + [b"HEAD", b"POST", b"OPTIONS", b"CONNECT", b"BREW", b"SOURCE", b"PRI", b"M-SEARCH"] * 3
METHODS += [b"get", b"G\xe9T", b"", b"G:T", b"GET "]
TARGETS = [b"/", b"/chat?room=1", b"*", b"http://a.example/x?y", b"ws://[::1]:80", b"a.example:443", b"//a", b"x"] * 4
TARGETS += [b"/a#b", b"/\xff", b"", b"/a b", b'/"<>\\^`{|}', b"http:///", b"/%zz", b"?", b"/\x7f", b"/" + b"a" * 300]
VERSIONS = [b"HTTP/1.1"] * 60 + [b"HTTP/1.0", b"HTTP/1.2", b"HTTP/0.9", b"HTTP/2.0"] * 3
VERSIONS += [b"HTTP/1.10", b"http/1.1", b"HTTP/11", b"ICE/1.0", b"RTSP/1.0", b"", b"HTTP/1.1 "]
STATUSES = [b"101"] * 20 + [b"100", b"103", b"200", b"204", b"304", b"400", b"403", b"426", b"503", b"599", b"999"] * 4
STATUSES += [b"000", b"99", b"1000", b"4o3", b""]
REASONS = [b" Switching Protocols", b" No", b" ", b"", b" caf\xe9", b" a\tb", b" \x01", b"  two"] * 4 + [b"x"]
NAMES = [b"X", b"Cookie", b"Connection", b"Upgrade", b"Content-Length", b"Transfer-Encoding", b"Content-Type"] * 10
NAMES += [b"Sec-WebSocket-Key", b"sec-websocket-version", b"Proxy-Connection", b"Keep-Alive", b"x" * 80] * 5
NAMES += [b"!#$%&'*+-.^_`|~", b"transfer-ENCODING", b"Hos", b"T", b"Host"] * 3
NAMES += [b"", b"X Y", b"X ", b" X", b"X\t", b"X\xe9", b"X(", b"Content-Length "]
VALUES = [b"a", b"", b"  a  ", b"\ta\t", b"a b", b"caf\xe9", b"a:b", b'"a, b"', b"\xff" * 3, b"x" * 500, b","] * 3
VALUES += [b"Upgrade", b"keep-alive, Upgrade", b"close", b"websocket", b"h2c, websocket", b"upgrade\t,x"] * 3
VALUES += [b"a\x01b", b"\x7f", b"\x1f"]
LENGTHS = [b"0", b"3", b"12", b" 7 ", b"007", b"3\t"] * 5 + [b"5, 5", b"5, 6", b"+5", b"-1", b"0x5", b"5 5", b""]
LENGTHS += [b"1" * 19, b"1" * 20, b"9" * 20, b"1" * 21]
CODINGS = [b"chunked"] * 20 + [
    b"Chunked",
    b"gzip",
    b"gzip, chunked",
    b"chunked, gzip",
    b"chunked, chunked",
    b"identity",
]
CODINGS += [b"", b" chunked ", b"chunked\t", b"\tchunked \t ", b"chunked;q=1", b"xchunked", b"chunked,"]
ENDS = [b"\r\n"] * 150 + [b"\n", b"\r", b"\r\r\n", b"\r\n ", b"\r\n\t", b"\n "]
BODIES = [
    b"",
    b"abc",
    b"hello, this is a body",
    b"3\r\nabc\r\n0\r\n\r\n",
    b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n\r\n",
    b"\x81\x02hi",
]
BODIES += [
    b"A;x=y\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
    b"3 \r\nabc\r\n0\r\n\r\n",
    b"3;a b\r\nabc\r\n0\r\n\r\n",
    b"zz\r\n",
]
BODIES += [
    b"3\nabc\n0\n\n",
    b"3\r\nabcd\r\n0\r\n\r\n",
    b"f" * 17 + b"\r\n",
    b"0\r\nbad\r\n\r\n",
    b"0\r\nX: \x01\r\n\r\n",
    b"\r\n",
]
BODIES += [
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
    b"GET / HTTP/1.1\r\nHost: b\r\n\r\n",
    b"3;\r\nabc\r\n00\r\n\r\n",
]
PIECES = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b"\x0b",
    b"\x0c",
    b"\x01",
    b"\x7f",
    b"\x80",
    b"\r\n\r\n",
    b"\r\n ",
]
PIECES += [b"Host: b\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"HTTP/1.1", b";", b"0", b"F"]


class Input(NamedTuple):
    """What a peer sends. cuts: where the reads end, in order. is_answer: it is what a server sends to a client."""

    data: bytes
    cuts: tuple[int, ...]
    is_answer: bool

    def chunks(self) -> list[bytes]:
        """The reads."""
        ends = [*self.cuts, len(self.data)]
        return [self.data[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def to_json(self) -> dict[str, Any]:
        """Of this, `Input(**...)` makes the same input again."""
        return {**self._asdict(), "data": self.data.decode("latin-1")}


def field(random: Random) -> bytes:
    """A line with a field, good or bad."""
    name = random.choice(NAMES)
    plain = name.strip().lower()
    values = LENGTHS if plain == b"content-length" else CODINGS if plain == b"transfer-encoding" else VALUES
    colon = b": " if random.random() < 0.95 else random.choice([b":", b":  ", b" : ", b":\t", b"", b";", b"::"])
    return name + colon + random.choice(values) + random.choice(ENDS)


def head(random: Random, is_answer: bool) -> bytes:
    """A first line and some fields."""
    if is_answer:
        lines = random.choice(VERSIONS) + b" " + random.choice(STATUSES) + random.choice(REASONS)
    else:
        lines = random.choice(METHODS) + b" " + random.choice(TARGETS) + b" " + random.choice(VERSIONS)
    lines += random.choice(ENDS)
    if not is_answer and random.random() < 0.85:
        lines += b"Host: a.example\r\n"
    if random.random() < 0.3:
        lines += b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    for _ in range(random.choice([0, 0, 1, 1, 1, 2, 3, 5])):
        lines += field(random)
    return lines + (b"\r\n" if random.random() < 0.97 else random.choice([b"", b"\n", b"\r", b" \r\n"]))


def damaged(random: Random, data: bytes) -> bytes:
    """With up to three places changed."""
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(data) + 1)
        end = at + random.choice([0, 0, 0, 1, 2, 8])
        between = random.choice(
            [b"", random.choice(PIECES), random.choice(PIECES), data[at:end] * 2, random.randbytes(1)]
        )
        data = data[:at] + between + data[end:]
    return data


def block(seed: int, number: int, count: int = BLOCK) -> Iterator[Input]:
    """The first inputs of a block."""
    random = Random(f"heads/{seed}/{number}")
    for _ in range(count):
        is_answer = random.random() < 0.5
        data = b""
        if is_answer and random.random() < 0.1:
            data = b"HTTP/1.1 100 Continue\r\n\r\n"
        data += head(random, is_answer) + random.choice(BODIES)
        if random.random() < 0.3:
            data = damaged(random, data)
        few = random.choice([0, 0, 1, 2, 3])
        cuts = sorted(random.randrange(len(data) + 1) for _ in range(few))
        if random.random() < 0.05:
            cuts = list(range(1, len(data)))
        yield Input(data, tuple(cuts), is_answer)


def one_block(job: tuple[int, int, int, float]) -> tuple[int, Counter[str], list[dict[str, Any]], float]:
    """A block's inputs: how many, the divergences and the verdicts, what is unexplained, and the CPU seconds."""
    from fuzz.readers import check

    seed, number, count, deadline = job
    if time.monotonic() > deadline:
        return 0, Counter(), [], 0.0
    began = time.process_time()
    names: Counter[str] = Counter()
    found: list[dict[str, Any]] = []
    for one in block(seed, number, count):
        try:
            names.update(check(one))
        except Exception as error:  # whatever a reader does must not end the run
            found.append({"input": one.to_json(), "error": f"{type(error).__name__}: {error}"})
    return count, names, found, time.process_time() - began


def main() -> int:
    parser = argparse.ArgumentParser(prog="make fuzz-heads", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000, help="how many (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="which (%(default)s)")
    parser.add_argument("--seconds", type=float, default=1800, help="begin no block after so long (%(default)s)")
    parser.add_argument("--processes", type=int, default=2, help="(%(default)s)")
    options = parser.parse_args()
    deadline = time.monotonic() + options.seconds
    numbers = range(-(-options.inputs // BLOCK))
    jobs = [(options.seed, number, min(BLOCK, options.inputs - number * BLOCK), deadline) for number in numbers]
    REPORTS.mkdir(parents=True, exist_ok=True)
    unexplained = REPORTS / f"unexplained-heads-{options.seed}.jsonl"
    total, cpu, names, bad = 0, 0.0, Counter[str](), 0
    with multiprocessing.Pool(options.processes) as pool, unexplained.open("w") as out:
        for count, seen, found, seconds in pool.imap(one_block, jobs):
            total, cpu, bad = total + count, cpu + seconds, bad + len(found)
            names.update(seen)
            out.writelines(json.dumps(one) + "\n" for one in found)
            out.flush()
    print(f"seed {options.seed}: {total} inputs in {cpu:.0f} s of CPU")
    for name, times in names.most_common():
        print(f"{times:10} {name}")
    print(f"{bad:10} unexplained" + (f": {unexplained}" if bad else ""))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
