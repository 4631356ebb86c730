"""Collect and check the head of an HTTP message before anything parses it.

Theory of operation. h11 checks a head's size only while it is incomplete, and its pattern for a field takes quadratic
time if white space is followed by a byte that is not allowed in a field: 2.7 s for 32 KiB. So we collect the head here,
check its size, lines and bytes, and only then hand it to h11, whole.
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

MAX_HEAD: Final = 32 * 1024  # bytes of a request or response, up to its empty line
MAX_LINE: Final = 8 * 1024  # bytes of its first line, or of one field
MAX_FIELDS: Final = 100
MAX_INTERIM: Final = 100  # 1xx answers before the final one (RFC 9110 15.2)
MAX_SEEN: Final = 100  # bytes of a stranger's data that an error quotes

_REQUEST_LINE: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+ [!-~]+ HTTP/[0-9]\.[0-9]")
_LENIENT_END: Final = re.compile(rb"\n\r?\n")
_SWITCHES: Final = re.compile(rb"HTTP/[0-9]\.[0-9] 101[ \r\n]")
# The first bytes of other protocols.
_PROXY_2: Final = b"\r\n\r\n\0\r\nQUIT\n"
_STRANGERS: Final = (
    (b"\x16", "TLS, but this port expects plain HTTP"),
    (_PROXY_2, "the PROXY protocol, version 2, which is not supported"),
    (b"PROXY ", "the PROXY protocol, version 1, which is not supported"),
    (b"PRI * HTTP/2", "HTTP/2, but this port expects HTTP/1.1"),
)


class HeadLimits(NamedTuple):
    """Limits on a head.

    Args:
        max_line: bytes in its first line, or in one field.
        max_head: bytes in all of it.
        max_fields: number of fields.
    """

    max_line: int = MAX_LINE
    max_head: int = MAX_HEAD
    max_fields: int = MAX_FIELDS


def refused(
    text: str, status: int = 400, *, detail: str = "", fields: Sequence[tuple[bytes, bytes]] = ()
) -> RemoteProtocolError:
    """Return the error for a bad handshake, with the HTTP answer to send.

    Args:
        text: the text of the error.
        status: the status of the answer.
        detail: what was seen, if `text` is wsproto's.
        fields: the fields of the answer.
    """
    hint = RejectConnection(status_code=status, headers=list(fields))
    return RemoteProtocolError(text, hint, detail=detail)


def quote(seen: bytes) -> str:
    """Quote what was seen, at most MAX_SEEN bytes of it."""
    return repr(bytes(seen[:MAX_SEEN]))


def describe(beginning: bytes) -> str:
    """Say what data with this beginning is, given that it is not HTTP. Leave out what follows a "?", maybe a secret."""
    what = next((name for start, name in _STRANGERS if beginning.startswith(start)), "not HTTP")
    if beginning[:1] > b" ":
        beginning = beginning.partition(b"\n")[0].rstrip(b"\r").partition(b"?")[0]
    return f"this is {what}: it begins with {quote(beginning)}"


class HeadReader:
    """Collect heads. `strict` is for servers: clients accept lines that end with LF alone, and folded fields."""

    __slots__ = ("_begun", "_fault", "_found", "_kept", "_limits", "_searched", "_strict", "has_switched", "is_head")

    def __init__(self, limits: HeadLimits, *, strict: bool) -> None:
        self._limits = limits
        self._strict = strict
        self._kept = bytearray()
        self._searched = 0  # bytes of it that were searched and have no end and no fault
        self._found = 0  # number of heads
        self._begun = False  # whether the first line was read and is HTTP
        self._fault: RemoteProtocolError | None = None
        self.is_head = False  # whether the request is a HEAD
        self.has_switched = False  # whether the answer is a 101

    @property
    def kept(self) -> bytes:
        """The bytes of an incomplete head."""
        return bytes(self._kept)

    def feed(self, data: bytes) -> tuple[bytes, bytes] | None:
        """Return a whole head and what follows it; None if it is incomplete.

        Raises RemoteProtocolError if the head is invalid, and again on every later call.
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
                raise refused(f"HTTP head is longer than {self._limits.max_head} bytes (max_head, RFC 6585 5)", 431)
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
        """Refuse line ends and folds that h11 accepts and others read differently: they can smuggle requests.

        Also refuse what can no longer be HTTP: another protocol may never send an empty line.
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
        self.has_switched = not self._strict and _SWITCHES.match(head) is not None
        if not (self._strict or self.has_switched):
            if len(head) > self._limits.max_head:
                raise refused(f"HTTP head of {len(head)} bytes, limit {self._limits.max_head} (max_head)", 431)
            return  # only limit the size of a refusal: its status matters more than its form
        if len(head) > self._limits.max_line or head.count(b"\n") > self._limits.max_fields:
            self._check_sizes(head.split(b"\n"), len(head))  # else it is too small to break a limit

    def _check_sizes(self, lines: list[bytes], size: int) -> None:
        most = self._limits
        first = len(lines[0].removesuffix(b"\r"))
        count = len(lines) - 3  # without the first, the empty one, and what follows it
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
    """Yield the parts of `data` that may go to h11: whole heads while it expects one, then the rest.

    After a 1xx answer another head follows (RFC 9110 15.2). Feed each part to h11 before taking the next.

    Raises RemoteProtocolError for an invalid head.
    """
    while data and expects_head():
        found = reader.feed(data)
        if found is None:
            return
        head, data = found
        yield head
    if data:
        yield data
