"""Read the heads of HTTP messages, and the bodies of answers, with llhttp (by means of httptools).

Theory of operation. `head` has collected a whole head and checked its size, its line ends and its bytes. The first line
is matched here, against the grammar of RFC 9112: llhttp knows a fixed list of methods, and no version but 1.0 and 1.1.
It gets the fields, and the body of an answer, under a first line that it knows, and always runs in its strict mode.
What it lets pass and h11 does not is checked behind it. `tests/fuzz/readers.py` lists where they still differ.

`trunkline.protocol.Handshake` reads with h11, and by the same rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser, HttpResponseParser

from trunkline.protocol.errors import RemoteProtocolError
from trunkline.protocol.head import refused

__all__ = ["AnswerHead", "AnswerReader", "Fields", "RequestHead", "read_request"]

Fields = list[tuple[bytes, bytes]]
P = TypeVar("P")
F = TypeVar("F", bound="_Found")

_STATUS_LINE: Final = re.compile(rb"HTTP/([0-9]\.[0-9]) ([1-9][0-9]{2})(?: ([^\0\n\r\v\f]*))?")
_FIELD: Final = re.compile(rb"[-!#$%&'*+.^_`|~0-9A-Za-z]+:")  # RFC 9112 5: no space before the colon
_CONTROLS: Final = bytes(code for code in (*range(1, 32), 127) if code not in b"\t\r\n")
_MASK: Final = bytes.maketrans(_CONTROLS, b"?" * len(_CONTROLS))
_FOLD: Final = re.compile(rb"\r?\n[ \t]+")
_LINE: Final = b"GET / HTTP/1.1\r\n"


class RequestHead(NamedTuple):
    """The head of a request, in h11's words. headers: the fields, names in lower case."""

    method: bytes
    target: bytes
    http_version: bytes
    headers: Fields


class AnswerHead(NamedTuple):
    """The head of an answer, in h11's words. headers: the fields, names in lower case."""

    status_code: int
    http_version: bytes
    reason: bytes
    headers: Fields


class _Found:
    """What a parser finds in a head. It does not refer to the parser, so neither waits for the garbage collector."""

    __slots__ = ("fields",)

    def __init__(self) -> None:
        self.fields: Fields = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value.rstrip(b" \t")))


class _FoundAnswer(_Found):
    """What a parser finds in a head and in the body behind it."""

    __slots__ = ("is_whole", "parts")

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[bytes] = []
        self.is_whole = False

    def on_body(self, part: bytes) -> None:
        if not self.is_whole:  # else it belongs to another answer
            self.parts.append(part)

    def on_message_complete(self) -> None:
        self.is_whole = True


def read_request(head: bytes) -> RequestHead:
    """Return the parts of a request's head, which a strict `HeadReader` has passed. Raise RemoteProtocolError if a
    field is malformed, or the fields that frame the body or name the host leave a doubt.
    """
    line, _, fields = head.partition(b"\r\n")
    method, target, version = line.split(b" ")
    _, found = _parse(HttpRequestParser, _Found, _LINE, fields)
    seen = found.fields
    http_version = version[5:]
    names = [name for name, _ in seen]
    if names.count(b"host") > 1:
        raise _bad("Found multiple Host: headers")
    if http_version == b"1.1" and b"host" not in names:
        raise _bad("Missing mandatory Host: header")
    if b"transfer-encoding" in names:
        _check_encoding(seen)
    return RequestHead(method, target, http_version, seen)


class AnswerReader:
    """Reads one answer: its head, and what follows it as the body. `is_whole`: the answer ends here."""

    __slots__ = ("_found", "_parser", "head")

    def __init__(self, head: bytes) -> None:
        """Read a head that a `HeadReader` has passed.

        Raises RemoteProtocolError if it is malformed, or the fields that frame the body leave a doubt.
        """
        head = _tidy(head)
        line, _, fields = head.partition(b"\r\n")
        match = _STATUS_LINE.fullmatch(line)
        if match is None or fields[:1] in (b" ", b"\t"):
            raise _bad("illegal status line")
        # No interim answer has a body, nor has a 204. At a 101, llhttp stops if its fields are not those of an upgrade;
        # which they must be is for the handshake to say.
        status = b"204" if match[2] < b"200" else match[2]
        line = b"HTTP/1.1 %s\r\n" % status
        try:
            self._parser, self._found = _parse(HttpResponseParser, _FoundAnswer, line, fields)
        except RemoteProtocolError:
            settled = _settled(fields)
            if settled == fields:
                raise
            self._parser, self._found = _parse(HttpResponseParser, _FoundAnswer, line, settled)
        seen = self._found.fields
        _check_encoding(seen)
        self._found.fields = []  # from now on, those of the trailer
        self.head = AnswerHead(int(match[2]), match[1], match[3] or b"", seen)

    @property
    def is_whole(self) -> bool:
        """Whether the whole answer was read. One without a length ends with the connection, and never is."""
        return self._found.is_whole

    def feed(self, data: bytes, parts: list[bytes]) -> None:
        """Read a part of the body, and append what it holds to `parts`, as it was framed.

        Raises RemoteProtocolError if the framing is malformed; what came before that is in `parts`.
        """
        found = self._found
        if found.is_whole:
            return  # what follows an answer is none of ours
        found.parts = parts
        try:
            _feed(self._parser, data, b"")
        except RemoteProtocolError:
            if not found.is_whole:
                raise


def _tidy(head: bytes) -> bytes:
    """Return the head of an answer with CR LF behind each line, and no folds.

    A client takes what a server must not, since nobody behind it could read it in another way. Strict, llhttp does not.
    """
    first = head.find(b"\n") + 1
    if head.find(b"\n ", first) >= 0 or head.find(b"\n\t", first) >= 0:
        head = head[:first] + _FOLD.sub(b" ", head[first:])
    if head.count(b"\n") != head.count(b"\r\n"):
        head = head.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return head


def _settled(fields: bytes) -> bytes:
    """Return the fields of an answer with one statement of where its body ends: chunks override a length (RFC 9112
    6.3), and a length that is repeated counts once (RFC 9110 8.6).

    llhttp refuses such an answer. A server refuses such a request, too, but the status of an answer should be told.
    """
    lines = fields.split(b"\r\n")
    lengths = [line for line in lines if line[:15].lower() == b"content-length:"]
    values = {value.strip(b" \t") for line in lengths for value in line[15:].split(b",")}
    length = values.pop() if len(values) == 1 else b""
    if not length.isdigit() or len(length) > 20:
        return fields
    others = [line for line in lines if line not in lengths]
    if not any(line[:18].lower() == b"transfer-encoding:" for line in lines):
        others.insert(lines.index(lengths[0]), lengths[0][:15] + length)
    return b"\r\n".join(others)


def _trimmed(fields: bytes) -> bytes:
    """Return fields without tabs at the ends of lines: behind one, llhttp does not know "chunked" for what it is, and
    takes the chunks for the body.
    """
    if b"\t" not in fields:
        return fields
    return b"\r\n".join([line.rstrip(b" \t") for line in fields.split(b"\r\n")])


def _check_encoding(fields: Fields) -> None:
    """Refuse any transfer coding but chunks. llhttp takes others before that one, and in an answer without it."""
    values = [value for name, value in fields if name == b"transfer-encoding"]
    if len(values) > 1:
        raise _bad("multiple Transfer-Encoding headers")
    if values and values[0].lower() != b"chunked":
        raise _bad("Only Transfer-Encoding: chunked is supported")


def _parse(kind: Callable[[Any], P], found_kind: Callable[[], F], line: bytes, fields: bytes) -> tuple[P, F]:
    """Have a new parser read fields under a first line. Return it, and what it found.

    Raises RemoteProtocolError if the fields are malformed.
    """
    fields = _trimmed(fields)
    found = found_kind()
    parser = kind(found)
    try:
        _feed(parser, line + fields, fields)
    except RemoteProtocolError:
        masked = fields.translate(_MASK)
        if masked == fields:
            raise
        # RFC 9110 5.5: control characters in a value are invalid, but may be kept, and some cookies have them. llhttp
        # refuses them. It refuses the mask, too, where it would matter: in a name, a length or a coding.
        found = found_kind()
        parser = kind(found)
        _feed(parser, line + masked, fields)
        values = [line.partition(b":")[2].strip(b" \t") for line in fields.split(b"\r\n")[:-2]]
        found.fields = [(name, value) for (name, _), value in zip(found.fields, values, strict=True)]
    return parser, found


def _feed(parser: Any, data: bytes, fields: bytes) -> None:
    """Feed a parser. Raise RemoteProtocolError, with the reason, if it refuses the data; `fields` are those in them."""
    fault = None
    try:
        parser.feed_data(data)
    except HttpParserUpgrade:
        pass  # the data end with the head
    except HttpParserCallbackError as error:
        raise error.__context__ or error from None  # ours: there is no memory left
    except HttpParserError as error:
        fault = str(error)
    if fault is not None:
        is_line = any(_FIELD.match(line) is None for line in fields.split(b"\r\n")[:-2])
        raise _bad("illegal header line" if is_line else fault)  # llhttp's texts quote nothing


def _bad(words: str) -> RemoteProtocolError:
    return refused("Bad HTTP message", detail=f"{words} (RFC 9112)")
