"""How long a peer asks us to wait: what can be read, and that nothing else is a hint, or an error."""

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trunkline.manager.failure.issues import categorize
from trunkline.protocol.errors import HandshakeError, connection_closed
from trunkline.protocol.waits import LONGEST_WAIT, read_close_reason, read_retry_after

DATE = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        ("4", "", 4.0),
        (" 0 ", "", 0.0),
        ("0" * 5000 + "7", "", 7.0),
        ("2147483648", "", LONGEST_WAIT),
        ("9999999999", "", LONGEST_WAIT),
        ("9" * 400, "", LONGEST_WAIT),
        ("9" * 100_000, "", LONGEST_WAIT),
        ("-4", "", None),
        ("+4", "", None),
        ("4.5", "", None),
        ("1e3", "", None),
        ("0x10", "", None),
        ("4, 5", "", None),
        ("soon", "", None),
        ("nan", "", None),
        ("inf", "", None),
        ("²", "", None),
        ("٤", "", None),
        ("", DATE, None),
        ("Wed, 21 Oct 2015 07:28:10 GMT", DATE, 10.0),
        ("Wed, 21 Oct 2015 07:27:00 GMT", DATE, 0.0),
        ("Wed, 21 Oct 2015 07:28:10 GMT", "", None),
        ("Wed, 21 Oct 99999999999999999999 07:28:10 GMT", DATE, None),
        ("Wed, 21 Oct 2015 07:28:10 GMT", "Wed, 21 Oct 99999999999999999999 07:28:10 GMT", None),
        ("Wed, 99999999999999999999 Oct 2015 07:28:10 GMT", DATE, None),
        ("Wed, 21 Oct 2015 99999999999999999999:28:10 GMT", DATE, None),
        ("Wed, 21 Oct 2015 07:28:10 +99999999999999999999", DATE, None),
        ("Wed, 21 Oct 2015 07:28:10 -0000", DATE, None),  # a time of nowhere
        ("Wed, 21 Oct 0 07:28:10 GMT", DATE, 0.0),
        ("Wed, 21 Oct 2015 07:28:10 GMT" + " " * 100_000 + "x", DATE, None),
        ("(" * 60, DATE, None),
        ("\x00\ud800", DATE, None),
    ],
)
def test_a_field(value: str, date: str, seconds: float | None) -> None:
    assert read_retry_after(value, date) == seconds


@pytest.mark.parametrize(
    ("reason", "seconds"),
    [
        ("", None),
        ("restart", None),
        ("retry-after: 30", 30.0),
        ("Retry-After=30", 30.0),
        ("deploy, retry after 5, please", 5.0),
        ("retry-after:" + "9" * 100, LONGEST_WAIT),
        ("retry-after: -5", None),
        ("retry-after: 5e9x", None),
        ("retry-after: ٤", None),
        ("noretry-after: 30", None),
        ("retry-after", None),
    ],
)
def test_a_close_reason(reason: str, seconds: float | None) -> None:
    assert read_close_reason(reason) == seconds


def test_only_the_peers_reason_counts() -> None:
    assert categorize(connection_closed(1012, "retry-after: 30", "remote")).retry_after == 30.0
    assert categorize(connection_closed(1001, "retry-after: 30", "local")).retry_after is None


PIECES = st.sampled_from(
    [
        "Wed, ",
        "21 ",
        "Oct ",
        "2015 ",
        "07:28:10 ",
        "GMT",
        "9" * 20,
        "-",
        "+",
        "0",
        ":",
        ",",
        " ",
        "(",
        '"',
        "\\",
        "\x00",
    ]
)
NEARLY: Any = st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=14).map("".join))


@given(NEARLY, NEARLY)
@example("Wed, 21 Oct 99999999999999999999 07:28:10 GMT", DATE)
@settings(max_examples=500, deadline=None)
def test_whatever_is_sent_is_a_time_within_bounds_or_no_hint(value: str, date: str) -> None:
    for headers in ([("Retry-After", value), ("Date", date)], [("Retry-After", value), ("Date", DATE)]):
        issue = categorize(HandshakeError(503, headers))
        assert issue.retry_after is None or issue.retry_after >= 0
        assert issue.explain(1, 1.0)
    seconds = read_close_reason(value)
    assert seconds is None or 0 <= seconds <= LONGEST_WAIT
