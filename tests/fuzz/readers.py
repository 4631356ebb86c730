"""One head through llhttp, as trunkline's server and client use it, and through h11, and what must be the same.

Both must take or refuse a message, and give the same method, target, status, version, reason, fields, body and trailing
data. h11 gets the bytes as they are: what `head` does before llhttp is under test, too. However the bytes are cut, our
readers must give the same.

Where they differ, one of RULES must explain it. A rule has a test for what it is about, and mends that and nothing
else: once mended, the two must agree, or another rule must explain what is left. Anything else is `Unexplained`.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import h11
from h11._readers import ChunkedReader
from wsproto.events import AcceptConnection, RejectData, Request

from fuzz.check import Unexplained
from fuzz.heads import Input
from trunkline.protocol.client_handshake import ClientHandshake
from trunkline.protocol.errors import RemoteProtocolError
from trunkline.protocol.head import HeadLimits, HeadReader
from trunkline.protocol.reading import AnswerHead, AnswerReader, RequestHead, read_request

LIMITS = HeadLimits(10**6, 10**6, 10**6)  # tests/protocol has their tests
REFUSED, WAITING, READ = "refused", "waiting", "read"


class Seen(NamedTuple):
    """What a reader made of an input. rest: what it left over; a body in full, however it came."""

    verdict: str
    heads: tuple[tuple[Any, ...], ...] = ()
    body: bytes = b""
    is_whole: bool = False
    rest: bytes = b""


def ours(one: Input) -> Seen:
    """What llhttp makes of it."""
    return our_answer(one.chunks()) if one.is_answer else our_request(one.chunks())


def theirs(one: Input) -> Seen:
    """What h11 makes of it."""
    return their_answer(one.chunks())[0] if one.is_answer else their_request(one.chunks())


def our_request(chunks: list[bytes]) -> Seen:
    heads, rest = HeadReader(LIMITS, strict=True), b""
    found: RequestHead | None = None
    for chunk in chunks:
        if found is not None:
            rest += chunk
            continue
        try:
            whole = heads.feed(chunk)
            if whole is not None:
                found, rest = read_request(whole[0]), whole[1]
        except RemoteProtocolError:
            return Seen(REFUSED)
    return Seen(WAITING) if found is None else Seen(READ, (tuple(found),), rest=rest)


def their_request(chunks: list[bytes]) -> Seen:
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=10**6)
    found: Any = h11.NEED_DATA
    for chunk in chunks:
        server.receive_data(chunk) if chunk else None
        try:
            if found is h11.NEED_DATA:
                found = server.next_event()
        except h11.RemoteProtocolError:
            return Seen(REFUSED)
    if found is h11.NEED_DATA:
        return Seen(WAITING)
    read = RequestHead(found.method, found.target, found.http_version, list(found.headers))
    return Seen(READ, (tuple(read),), rest=server.trailing_data[0])


class Listening(ClientHandshake):
    """Takes any 101, and keeps the heads."""

    def __init__(self) -> None:
        super().__init__(LIMITS)
        self.send(Request("a", "/"))
        self.heads: list[AnswerHead] = []

    def _read_head(self, head: bytes) -> None:
        self.heads.append(AnswerReader(head).head)
        super()._read_head(head)

    def _accept(self, answer: AnswerHead) -> AcceptConnection:
        return AcceptConnection()


def our_answer(chunks: list[bytes]) -> Seen:
    client, verdict = Listening(), WAITING
    for chunk in chunks:
        try:
            client.receive_data(chunk)
        except RemoteProtocolError:
            verdict = REFUSED
            break
    parts = [event for event in client.events() if isinstance(event, RejectData)]
    body, is_whole = b"".join([bytes(part.data) for part in parts]), any(part.body_finished for part in parts)
    if verdict is not REFUSED and client.heads and not client._expects_head():
        verdict = READ
    return Seen(verdict, tuple(map(tuple, client.heads)), body, is_whole, client.trailing_data)


def their_answer(chunks: list[bytes]) -> tuple[Seen, h11.Connection]:
    client = h11.Connection(h11.CLIENT, max_incomplete_event_size=10**6)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "a"), ("Upgrade", "websocket")]))
    client.send(h11.EndOfMessage())
    heads: list[tuple[Any, ...]] = []
    body, is_whole, has_switched, verdict = b"", False, False, WAITING
    for chunk in chunks:
        if not chunk:
            continue
        client.receive_data(chunk)
        try:
            while not (is_whole or has_switched) and isinstance(event := client.next_event(), h11.Event):
                if isinstance(event, h11.Data):
                    body += event.data
                elif isinstance(event, h11.EndOfMessage):
                    is_whole = True
                else:
                    assert isinstance(event, (h11.InformationalResponse, h11.Response))
                    has_switched = event.status_code == 101
                    heads.append((event.status_code, event.http_version, event.reason, list(event.headers)))
                    verdict = READ if has_switched or event.status_code >= 200 else WAITING
        except h11.RemoteProtocolError:
            verdict = REFUSED
            break
    return Seen(verdict, tuple(heads), body, is_whole, client.trailing_data[0] if has_switched else b""), client


# Where they differ, and why


class Rule(NamedTuple):
    """why: the reason. applies: whether this is about an input, of which the two made this. mend: takes that away."""

    name: str
    why: str
    applies: Callable[[Input, Seen, Seen], bool]
    mend: Callable[[bytes], bytes]


def refuses(pattern: bytes, only: bool | None = None) -> Callable[[Input, Seen, Seen], bool]:
    """We refuse what has this pattern, and h11 does not; only: in answers (True), in requests (False)."""
    compiled = re.compile(pattern, re.IGNORECASE)

    def applies(one: Input, our: Seen, their: Seen) -> bool:
        return (
            our.verdict is REFUSED
            and (their.verdict is not REFUSED or (len(their.heads), len(their.body)) > (len(our.heads), len(our.body)))
            and only in (None, one.is_answer)
            and compiled.search(one.data) is not None
        )

    return applies


def replace(pattern: bytes, new: bytes, count: int = 0) -> Callable[[bytes], bytes]:
    """A mend."""
    compiled = re.compile(pattern, re.IGNORECASE)
    return lambda data: compiled.sub(new, data, count=count)


def one_length(data: bytes) -> bytes:
    """Of several equal lengths, in a list or in several fields, the first."""
    data = re.sub(rb"(\ncontent-length:[ \t]*)([0-9]+)(?:[ \t]*,[ \t]*\2)+", rb"\1\2", data, flags=re.IGNORECASE)
    pattern = rb"(\ncontent-length:[ \t]*([0-9]+)[ \t]*\r?(?:\n[^\n]+)*?)\ncontent-length:[ \t]*\2[ \t]*(?=\r?\n)"
    return re.sub(pattern, rb"\1", data, flags=re.IGNORECASE)


def in_trailer(pattern: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """A mend of what stands behind the last chunk."""

    def mend(data: bytes) -> bytes:
        last = re.search(rb"\n0+(;[^\n]*)?\r\n", data)
        end = len(data) if last is None else last.end()
        return data[:end] + re.sub(pattern, new, data[end:])

    return mend


def is_sooner(one: Input, our: Seen, their: Seen) -> bool:
    """One refuses what the other has yet to read the end of."""
    return {our.verdict, their.verdict} == {REFUSED, WAITING} and our.heads == their.heads


def is_sooner_in_chunks(one: Input, our: Seen, their: Seen) -> bool:
    """We refuse a line of the framing that h11 has yet to read the end of."""
    if (our.verdict, their.verdict, our[1:]) != (REFUSED, READ, their[1:]) or not one.is_answer:
        return False
    reader: Any = their_answer(one.chunks())[1]._reader
    return isinstance(reader, ChunkedReader) and not reader._bytes_in_chunk and not reader._bytes_to_discard


def told(seen: Seen, name: bytes) -> list[list[bytes]]:
    """The values of a field, head by head."""
    return [[value for one, value in head[-1] if one == name] for head in seen.heads]


def differs_in_framing(name: bytes) -> Callable[[Input, Seen, Seen], bool]:
    """The heads are the same but for a length beside chunks and the case of a coding; they differ in `name`."""

    def bare(seen: Seen) -> list[Any]:
        framing = (b"content-length", b"transfer-encoding")
        return [(head[:-1], [pair for pair in head[-1] if pair[0] not in framing]) for head in seen.heads]

    def applies(one: Input, our: Seen, their: Seen) -> bool:
        codings = [
            [[value.lower() for value in head] for head in told(seen, b"transfer-encoding")] for seen in (our, their)
        ]
        has_all = all(coding or ours == theirs for coding, ours, theirs in zip(
            codings[0], told(our, b"content-length"), told(their, b"content-length"), strict=False))  # fmt: skip
        return (
            bare(our) == bare(their) and codings[0] == codings[1] and has_all and told(our, name) != told(their, name)
        )

    return applies


RULES = [
    Rule(
        "a line that ends with LF alone",
        "RFC 9112 2.2 lets a recipient take it. A server in front of ours may not, and see another request.",
        refuses(rb"(?<!\r)\n", only=False),
        replace(rb"(?<!\r)\n", rb"\r\n"),
    ),
    Rule(
        "a field over several lines",
        "RFC 9112 5.2: a server must refuse it or join the lines, and servers differ in what they make of it.",
        refuses(rb"\n[ \t]", only=False),
        replace(rb"\r?\n[ \t]+", b" "),
    ),
    Rule(
        "a length that is repeated",
        "RFC 9110 8.6 lets a recipient refuse it: where one server takes the first and another the last, requests are "
        "smuggled. h11 takes equal ones as one.",
        refuses(rb"\ncontent-length:[^\n]*(,|\n(.*\n)*?content-length:)", only=False),
        one_length,
    ),
    Rule(
        "a length beside chunks",
        "RFC 9112 6.3: it is likely an attempt to smuggle, and ought to be handled as an error.",
        refuses(
            rb"\ntransfer-encoding:(?s:.*)\ncontent-length:|\ncontent-length:(?s:.*)\ntransfer-encoding:", only=False
        ),
        replace(rb"\ncontent-length:[^\n]*(?=\n)", b""),
    ),
    Rule(
        "the length beside chunks of an answer",
        "RFC 9112 6.3: chunks override it. h11 gives it nevertheless, we do not.",
        differs_in_framing(b"content-length"),
        replace(rb"\ncontent-length:[^\n]*(?=\n)", b""),
    ),
    Rule(
        "a length past 64 bits",
        "llhttp counts in 64 bits. No message has such a length.",
        refuses(rb"\ncontent-length:[ \t]*[0-9]{20}"),
        replace(rb"(\ncontent-length:[ \t]*[0-9]{19})[0-9]+", rb"\1"),
    ),
    Rule(
        "HTTP/2",
        "Its first line is read as a request's by h11 alone. We name it in the log.",
        refuses(rb"\APRI \* HTTP/2", only=False),
        replace(rb"\APRI", b"PRX"),
    ),
    Rule(
        "the case of a transfer coding",
        "h11 gives it in lower case, we as it was received; both compare it without case.",
        differs_in_framing(b"transfer-encoding"),
        lambda data: re.sub(rb"\ntransfer-encoding:[^\n]*", lambda found: found[0].lower(), data, flags=re.IGNORECASE),
    ),
    Rule(
        "a chunk past 64 bits",
        "llhttp counts in 64 bits, h11 takes up to 20 digits. There is no such chunk.",
        refuses(rb"\n[0-9a-f]{17,}", only=True),
        replace(rb"(\n[0-9a-f]{7})[0-9a-f]{10,}", rb"\1"),
    ),
    Rule(
        "what stands behind a chunk's size",
        "RFC 9112 7.1.1: an extension has a grammar, which llhttp checks, and no white space belongs there. h11 skips "
        "anything. Only the body is lost: the status of the answer is told.",
        refuses(rb"\n[0-9a-f]+[ \t;]", only=True),
        replace(rb"(\n[0-9a-f]+)[ \t;][^\n]*?(?=\r\n)", rb"\1"),
    ),
    Rule(
        "a trailer's line that ends with LF alone",
        "RFC 9112 2.2 lets a recipient take it, and h11 does. The body has been given in full by then.",
        refuses(rb"\n0+(;[^\n]*)?\r\n(?s:.*)(?<!\r)\n", only=True),
        in_trailer(rb"(?<!\r)\n", b"\r\n"),
    ),
    Rule(
        "a control character in a trailer",
        "RFC 9110 5.5: it is invalid, and llhttp refuses it. The body has been given in full by then.",
        refuses(rb"\n0+(;[^\n]*)?\r\n(?s:.*)[\x01-\x08\x0e-\x1f\x7f]", only=True),
        in_trailer(rb"[\x01-\x08\x0e-\x1f\x7f]", b"x"),
    ),
    Rule(
        "a chunk's line before its end",
        "One tells the fault at the byte that shows it, the other at the end of the line. With that, both must.",
        is_sooner_in_chunks,
        lambda data: data + b"\r\n\r\n",
    ),
    Rule(
        "a fault before the end",
        "One tells it at the byte that shows it, the other at the end of the head. With that, both must.",
        is_sooner,
        lambda data: data + b"\r\n\r\n",
    ),
]


def check(one: Input) -> list[str]:
    """The verdict and the names of the divergences of an input; raises Unexplained."""
    our = ours(one)
    whole = ours(one._replace(cuts=()))
    if our != whole:
        raise Unexplained("a reader depends on the split", cut=our, whole=whole, data=one.data)
    their, names, first = theirs(one), [], our.verdict
    while our != their:
        rules = [rule for rule in RULES if rule.applies(one, our, their) and rule.mend(one.data) != one.data]
        if not rules or len(names) > 20:
            raise Unexplained("h11 sees something else", ours=our, theirs=their, names=names, data=one.data)
        names.append(rules[0].name)
        one = Input(rules[0].mend(one.data), (), one.is_answer)
        our, their = ours(one), theirs(one)
    return [f"({'an answer' if one.is_answer else 'a request'} {first})", *sorted(set(names))]
