"""The head of an HTTP message as bytes: bounded, and free of what would trouble its parser, before anything parses it.

Theory of operation. h11 looks at a head's size only while it is incomplete, and its pattern for a field takes quadratic
time where a byte that may not stand in a field follows white space: 2.7 s for 32 KiB. So a head is collected here, its
size, lines and bytes are looked at, and only then is it handed on, whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from wsproto.events import RejectConnection

from trunkline.protocol.errors import RemoteProtocolError

__all__ = [
    "MAX_FIELDS",
    "MAX_HEAD",
    "MAX_INTERIM",
    "MAX_LINE",
    "HeadLimits",
    "HeadReader",
    "describe",
    "pieces",
    "quote",
    "refused",
]

MAX_HEAD: Final = 32 * 1024  # bytes of a request or response up to its empty line
MAX_LINE: Final = 8 * 1024  # bytes of its first line, or of one field
MAX_FIELDS: Final = 100
MAX_INTERIM: Final = 100  # answers of 1xx before the one that counts (RFC 9110 15.2)
MAX_SEEN: Final = 100  # bytes of what a stranger sent that an error holds

_REQUEST_LINE: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [!-~]+ HTTP/[0-9]\.[0-9]")
_LENIENT_END: Final = re.compile(rb"\n\r?\n")
_SWITCHES: Final = re.compile(rb"HTTP/[0-9]\.[0-9] 101[ \r\n]")
# Beginnings that tell what a stranger speaks.
_PROXY_2: Final = b"\r\n\r\n\0\r\nQUIT\n"
_STRANGERS: Final = (
    (b"\x16", "TLS, and this port speaks HTTP without it"),
    (_PROXY_2, "the PROXY protocol, version 2, which is not spoken here"),
    (b"PROXY ", "the PROXY protocol, version 1, which is not spoken here"),
    (b"PRI * HTTP/2", "HTTP/2, and HTTP/1.1 is spoken here"),
)


class HeadLimits(NamedTuple):
    """max_line: bytes of a head's first line, or of one field. max_head: bytes of all of it. max_fields: how many."""

    max_line: int = MAX_LINE
    max_head: int = MAX_HEAD
    max_fields: int = MAX_FIELDS


def refused(
    text: str, status: int = 400, *, detail: str = "", fields: Sequence[tuple[bytes, bytes]] = ()
) -> RemoteProtocolError:
    """The error for a bad handshake, with the HTTP answer to it. detail: what was seen, where `text` is wsproto's."""
    hint = RejectConnection(status_code=status, headers=list(fields))
    return RemoteProtocolError(text, hint, detail=detail)


def quote(seen: bytes) -> str:
    """What was seen, at most MAX_SEEN bytes of it."""
    return repr(bytes(seen[:MAX_SEEN]))


def describe(beginning: bytes) -> str:
    """What it is that begins so, if it is no HTTP. Nothing behind a "?" is told: it may be a secret."""
    what = next((name for start, name in _STRANGERS if beginning.startswith(start)), "no HTTP")
    if beginning[:1] > b" ":
        beginning = beginning.partition(b"\n")[0].rstrip(b"\r").partition(b"?")[0]
    return f"this is {what}: it begins with {quote(beginning)}"


class HeadReader:
    """Collects heads. `strict`: a server's, for requests; a client bears lines that end with LF alone, and folds."""

    __slots__ = ("_begun", "_fault", "_found", "_kept", "_limits", "_searched", "_strict", "has_switched", "is_head")

    def __init__(self, limits: HeadLimits, *, strict: bool) -> None:
        self._limits = limits
        self._strict = strict
        self._kept = bytearray()
        self._searched = 0  # bytes of it in which no end begins, and no fault is
        self._found = 0  # heads
        self._begun = False  # whether the first line is one of HTTP
        self._fault: RemoteProtocolError | None = None
        self.is_head = False  # whether the request is a HEAD
        self.has_switched = False  # whether the answer is a 101

    @property
    def kept(self) -> bytes:
        """What was received of a head that is incomplete."""
        return bytes(self._kept)

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        """A whole head, and what came behind it; None if it is incomplete.

        Raises RemoteProtocolError for what no head may be, and again for whatever follows.
        """
        if self._fault is None:
            try:
                return self._feed(data)
            except RemoteProtocolError as error:
                self._fault = error
                self._kept.clear()
        raise self._fault.with_traceback(None)

    def _feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        seen: bytes | bytearray = data
        if self._kept:
            self._kept += data
            seen = self._kept
        if seen[:1] <= b" " and seen:
            raise refused("Bad HTTP message", detail=describe(bytes(seen[:MAX_SEEN])))
        self.is_head = seen[:5] == b"HEAD "
        end = self._find_end(seen)
        if self._strict:
            self._check_lines(seen, len(seen) if end < 0 else end)
        if end < 0:
            if len(seen) > self._limits.max_head:
                raise refused(f"no HTTP head ends within {self._limits.max_head} bytes (max_head, RFC 6585 5)", 431)
            if seen is data:
                self._kept += data
            self._searched = max(0, len(seen) - 3)
            return None
        head, rest = bytes(seen[:end]), bytes(seen[end:])
        self._kept.clear()
        self._searched = 0
        self._found += 1
        if self._found > MAX_INTERIM + 1:
            raise refused(f"more than {MAX_INTERIM} interim answers (RFC 9110 15.2)")
        self._check(head)
        return head, rest

    def _find_end(self, seen: bytes | bytearray) -> int:
        if self._strict:
            at = seen.find(b"\r\n\r\n", self._searched)
            return at if at < 0 else at + 4
        match = _LENIENT_END.search(seen, self._searched)
        return -1 if match is None else match.end()

    def _check_lines(self, seen: bytes | bytearray, end: int) -> None:
        """Refuses line ends and folds that h11 would let pass and that others read in another way: so are requests
        smuggled. And what cannot become HTTP any more: whoever speaks something else may never send an empty line.
        """
        start = self._searched
        self._check_first(seen)
        if seen.count(b"\n", start, end) != seen.count(b"\r\n", max(0, start - 1), end):
            raise refused("a line ends with LF alone, must end with CR LF (RFC 9112 2.2)")
        if seen.find(b"\r\n ", start, end) >= 0 or seen.find(b"\r\n\t", start, end) >= 0:
            raise refused("a field is folded over several lines (RFC 9112 5.2)")

    def _check_first(self, seen: bytes | bytearray) -> None:
        end = -1 if self._begun else seen.find(b"\n", self._searched)
        if end < 0 or end > self._limits.max_line + 1:
            return
        self._begun = True
        line = bytes(seen[:end]).removesuffix(b"\r")
        if _REQUEST_LINE.fullmatch(line) is None or line.startswith(b"PRI * HTTP/2"):
            raise refused("Bad HTTP message", detail=describe(bytes(seen[:MAX_SEEN])))

    def _check(self, head: bytes) -> None:
        if len(head.translate(None, b"\0\v\f")) != len(head) or head.count(b"\r") != head.count(b"\r\n"):
            raise refused("Bad HTTP message", detail="a field holds NUL, VT, FF or CR (RFC 9110 5.5)")
        self.has_switched = _SWITCHES.match(head) is not None
        if not (self._strict or self.has_switched):
            if len(head) > self._limits.max_head:
                raise refused(f"HTTP head of {len(head)} bytes, limit {self._limits.max_head} (max_head)", 431)
            return  # a refusal may say what it likes, within its size: its status is worth more than its form
        self._check_sizes(head.split(b"\n"), len(head))

    def _check_sizes(self, lines: list[bytes], size: int) -> None:
        most = self._limits
        first = len(lines[0].removesuffix(b"\r"))
        count = len(lines) - 3  # without the first, the empty one, and what is behind that
        if first > most.max_line:
            raise refused(f"first line of {first} bytes, limit {most.max_line} (max_line)", 414)
        if count > most.max_fields:
            raise refused(f"{count} header fields, limit {most.max_fields} (max_fields)", 431)
        longest = max(map(len, lines[1:])) - 1
        if longest > most.max_line:
            raise refused(f"header field of {longest} bytes, limit {most.max_line} (max_line)", 431)
        if size > most.max_head:
            raise refused(f"HTTP head of {size} bytes, limit {most.max_head} (max_head)", 431)


def pieces(reader: HeadReader, data: bytes, expects_head: Callable[[], bool]) -> Iterator[bytes]:
    """What of `data` may go to h11: whole heads as long as it expects one (behind 1xx another follows, RFC 9110 15.2),
    and then whatever comes. Each must have gone there before the next is asked for.

    Raises RemoteProtocolError for what no head may be.
    """
    while data and expects_head():
        found = reader.feed(data)
        if found is None:
            return
        head, data = found
        yield head
    if data:
        yield data
