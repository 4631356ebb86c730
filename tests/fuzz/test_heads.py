"""A fixed share of what `make fuzz-heads` runs, and a case of each way in which the two readers may differ."""

from collections.abc import Callable
from typing import Any

import pytest

from fuzz import readers
from fuzz.check import Unexplained
from fuzz.heads import Input, block, one_block
from fuzz.readers import RULES, check
from trunkline.protocol import reading

GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"HTTP/1.1 400 No\r\nTransfer-Encoding: chunked\r\n\r\n"
CASES = {
    "a line that ends with LF alone": (GET + b"X: y\n\r\n", False),
    "a field over several lines": (GET + b"X: y\r\n z\r\n\r\n", False),
    "a length that is repeated": (GET + b"Content-Length: 3\r\nX: y\r\nContent-Length: 3\r\n\r\nabc", False),
    "a length beside chunks": (GET + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", False),
    "the length beside chunks of an answer": (
        b"HTTP/1.1 400 No\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        True,
    ),
    "a length past 64 bits": (GET + b"Content-Length: 99999999999999999999\r\n\r\n", False),
    "HTTP/2": (b"PRI * HTTP/2.0\r\nHost: a\r\n\r\nSM\r\n\r\n", False),
    "the case of a transfer coding": (GET + b"Transfer-Encoding: Chunked\r\n\r\n", False),
    "a chunk past 64 bits": (CHUNKED + b"fffffffffffffffff\r\n", True),
    "what stands behind a chunk's size": (CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n", True),
    "a trailer's line that ends with LF alone": (CHUNKED + b"3\r\nabc\r\n0\r\n\nX: y\r\n\r\n", True),
    "a control character in a trailer": (CHUNKED + b"0\r\nX: \x01\r\n\r\n", True),
    "a chunk's line before its end": (CHUNKED + b"3\r\nabc\r\nno chunk", True),
    "a fault before the end": (b"GET /a b\r\nHost", False),
}
AGREED = {
    "a request": (GET + b"\r\n\x81\x00", False, "read"),
    "a method that llhttp does not know": (b"BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n", False, "read"),
    "a method of another protocol": (b"SOURCE / HTTP/1.1\r\nHost: a\r\n\r\n", False, "read"),
    "a target that llhttp does not know": (b"GET x:y HTTP/1.1\r\nHost: a\r\n\r\n", False, "read"),
    "a version that llhttp does not know": (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", False, "read"),
    "HTTP/1.0 without a Host": (b"GET / HTTP/1.0\r\n\r\n", False, "read"),
    "no Host": (b"GET / HTTP/1.1\r\n\r\n", False, "refused"),
    "two Hosts": (GET + b"Host: a\r\n\r\n", False, "refused"),
    "codings before the chunks": (GET + b"Transfer-Encoding: gzip, chunked\r\n\r\n", False, "refused"),
    "a tab behind the coding": (GET + b"Transfer-Encoding: \tchunked\t \r\n\r\n", False, "read"),
    "a space before the colon": (GET + b"Content-Length : 3\r\n\r\nabc", False, "refused"),
    "empty fields": (GET + b"X:\r\nY: \t\r\nZ:z\r\n\r\n", False, "read"),
    "a name that begins like another": (GET + b"Hos: a\r\nContent-Lengt: 3\r\nT:\r\n\r\n", False, "read"),
    "control characters in values": (GET + b"Cookie: \x01b \t\r\nX:\x7f\r\nY: y\r\n\r\n", False, "read"),
    "a control character in a name": (GET + b"X\x01: b\r\n\r\n", False, "refused"),
    "a control character in a length": (GET + b"Content-Length: 3\x01\r\n\r\nabc", False, "refused"),
    "a control character in a coding": (GET + b"Transfer-Encoding: chunked\x01\r\n\r\n", False, "refused"),
    "half a head": (GET + b"X: y", False, "waiting"),
    "a 101": (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\0",
        True,
        "read",
    ),
    "a 101 without fields": (b"HTTP/1.1 101\r\n\r\n\x81\0", True, "read"),
    "an answer in lines that end with LF": (b"HTTP/1.1 403 No\nX: y\nContent-Length: 2\n\nno", True, "read"),
    "an answer with a folded field": (b"HTTP/1.1 403 No\r\nX: y\r\n\t z\r\nContent-Length: 0\r\n\r\n", True, "read"),
    "an answer that folds its first line": (b"HTTP/1.1 403 No\r\n z\r\nContent-Length: 0\r\n\r\n", True, "refused"),
    "interim answers": (b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 103\r\nX: y\r\n\r\nHTTP/1.1 204 No\r\n\r\n", True, "read"),
    "an interim answer alone": (b"HTTP/1.1 103 Hints\r\n\r\n", True, "waiting"),
    "a status below 100": (b"HTTP/1.1 099 No\r\n\r\n", True, "refused"),
    "chunks and a trailer": (CHUNKED + b"3;x=y\r\nabc\r\n0\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\n\r\nmore", True, "read"),
    "chunks behind a tab": (
        b"HTTP/1.1 400 No\r\nTransfer-Encoding: chunked\t\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        True,
        "read",
    ),
    "equal lengths": (
        b"HTTP/1.1 400 No\r\nContent-Length: 3, 3\r\ncontent-length: 3 \r\nX: y\r\n\r\nabcd",
        True,
        "read",
    ),
    "lengths that differ": (b"HTTP/1.1 400 No\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", True, "refused"),
    "a body to the end": (b"HTTP/1.0 400 No\r\n\r\nabc\r\n\r\n", True, "read"),
    "a body and more": (b"HTTP/1.1 400 No\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n\r\nx", True, "read"),
    "another coding of an answer": (b"HTTP/1.1 400 No\r\nTransfer-Encoding: gzip\r\n\r\nabc", True, "refused"),
}


def cuts_of(data: bytes) -> list[tuple[int, ...]]:
    return [(), tuple(range(1, len(data))), tuple(range(3, len(data), 3))]


@pytest.mark.parametrize("number", range(4))
def test_a_share_of_the_heads(number: int) -> None:
    count, _, found, _ = one_block((20260101, number, 2500, float("inf")))
    assert found == []
    assert count == 2500


@pytest.mark.parametrize("name", CASES)
def test_each_difference_has_a_case_and_a_reason(name: str) -> None:
    data, is_answer = CASES[name]
    for cuts in cuts_of(data):
        assert name in check(Input(data, cuts, is_answer))
    assert next(rule for rule in RULES if rule.name == name).why


def test_every_difference_has_a_case() -> None:
    assert list(CASES) == [rule.name for rule in RULES]


@pytest.mark.parametrize("name", AGREED)
def test_what_both_make_the_same_of(name: str) -> None:
    data, is_answer, verdict = AGREED[name]
    for cuts in cuts_of(data):
        assert check(Input(data, cuts, is_answer)) == [f"({'an answer' if is_answer else 'a request'} {verdict})"]


def test_the_same_seed_gives_the_same_heads() -> None:
    first, again, other = (list(block(seed, 3, 200)) for seed in (7, 7, 8))
    assert first == again != other


def test_many_heads_are_read_and_many_refused() -> None:
    heads = list(block(1, 0, 1000))
    for is_answer in (False, True):
        verdicts = [readers.ours(one).verdict for one in heads if one.is_answer is is_answer]
        assert min(verdicts.count("read"), verdicts.count("refused")) > len(verdicts) / 4


# A check that finds nothing must be one that would.


def loses_a_field(head: bytes) -> reading.RequestHead:
    whole = READ_REQUEST(head)
    return whole._replace(headers=whole.headers[:1])


def keeps_spaces(self: Any, name: bytes, value: bytes) -> None:
    self.fields.append((name.lower(), value))


READ_REQUEST = reading.read_request
PLANTED: dict[str, tuple[object, str, Any]] = {
    "a field is lost": (readers, "read_request", loses_a_field),
    "white space is kept": (reading._Found, "on_header", keeps_spaces),
    "tabs are kept": (reading, "_trimmed", lambda fields: fields),
    "any coding will do": (reading, "_check_encoding", lambda fields: None),
    "control characters are refused": (reading, "_MASK", bytes(range(256))),
    "folds are kept": (reading, "_tidy", lambda head: head),
    "bodies never end": (reading._FoundAnswer, "on_message_complete", lambda self: None),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_reader_that_differs_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*PLANTED[name])
    assert one_block((20260101, 0, 2500, float("inf")))[2]


def test_a_reader_that_depends_on_the_split_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    ours: Callable[[Input], readers.Seen] = readers.ours
    monkeypatch.setattr(readers, "ours", lambda one: ours(one) if not one.cuts else readers.Seen("waiting"))
    with pytest.raises(Unexplained, match="depends on the split"):
        check(Input(GET + b"\r\n", (3,), False))
