"""The payload of a close frame (RFC 6455 5.5.1, 7.4)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsproto.frame_protocol import CloseReason

from trunkline._frame_writer import MAX_REASON
from trunkline.protocol.close import close_payload

CODE = (1000).to_bytes(2, "big")

PAYLOADS = {
    "no code": ((None,), b""),
    "no code, empty reason": ((None, ""), b""),
    "1005, which stands for no code": ((1005,), b""),
    "1005 as wsproto's member": ((CloseReason.NO_STATUS_RCVD,), b""),
    "a code": ((1000,), b"\x03\xe8"),
    "a code and no reason": ((1001, None), b"\x03\xe9"),
    "a code and a reason": ((1001, "bye ✓"), b"\x03\xe9bye \xe2\x9c\x93"),
    "1006, which is never sent": ((1006, "gone"), b"\x03\xe8gone"),
    "1015, which is never sent": ((1015,), b"\x03\xe8"),
    "the largest code of an application": ((4999,), b"\x13\x87"),
    "123 bytes of reason": ((1000, "x" * 123), CODE + b"x" * 123),
    "124 bytes of reason": ((1000, "x" * 124), CODE + b"x" * 123),
    "a character across the limit": ((1000, "x" * 122 + "é"), CODE + b"x" * 122),
    "a character up to the limit": ((1000, "x" * 121 + "é"), CODE + b"x" * 121 + "é".encode()),
    "four bytes across the limit": ((1000, "🐎" * 31), CODE + "🐎".encode() * 30),
}


@pytest.mark.parametrize(("arguments", "expected"), PAYLOADS.values(), ids=PAYLOADS)
def test_payload(arguments: tuple, expected: bytes) -> None:
    assert close_payload(*arguments) == expected


@pytest.mark.parametrize("code", [None, 1005, CloseReason.NO_STATUS_RCVD])
def test_a_reason_needs_a_code(code: int | None) -> None:
    with pytest.raises(TypeError, match=r"a close reason \(3 characters\) needs a close code \(RFC 6455 5\.5\.1\)"):
        close_payload(code, "bye")


@settings(deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=200))
def test_a_reason_is_cut_between_characters_and_as_late_as_possible(reason: str) -> None:
    kept = close_payload(1000, reason)[2:].decode()
    assert reason.startswith(kept)
    assert len(kept.encode()) <= MAX_REASON
    assert kept == reason or len(reason[: len(kept) + 1].encode()) > MAX_REASON
