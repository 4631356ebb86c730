"""A service's own rows of the taxonomy: what they change, and what they leave."""

from typing import Any

import pytest

from trunkline.manager.failure.hints import Hint
from trunkline.manager.failure.issues import CredentialsError
from trunkline.manager.failure.rules import Judgement, Rule, Rules
from trunkline.protocol.categories import ErrorCategory as Category
from trunkline.protocol.errors import ConnectError, HandshakeError, ProxyError, connection_closed


class TokenStoreError(Exception):
    """Of a library that trunkline knows nothing about."""


def credentials_error() -> CredentialsError:
    error = CredentialsError("could not be had", recoverable=False)
    error.__cause__ = TokenStoreError()
    return error


KICKED = connection_closed(4001, "kicked", "remote")
REFUSED = ConnectError.wrap(ConnectionRefusedError(111, "refused"), "tcp", "host:1")

# the table, what is seen, category, recoverable, hint
CASES: list[tuple[dict[Any, Rule], Exception, Category, bool, Hint]] = [
    ({}, KICKED, Category.APPLICATION, True, Hint.THREE_STRIKES),
    ({4002: Rule(recoverable=False)}, KICKED, Category.APPLICATION, True, Hint.THREE_STRIKES),
    ({4001: Rule(recoverable=False)}, KICKED, Category.APPLICATION, False, Hint.STOP),
    ({4001: Rule(Category.FORBIDDEN)}, KICKED, Category.FORBIDDEN, False, Hint.DENIED),
    ({4001: Rule(Category.TIMEOUT)}, KICKED, Category.TIMEOUT, True, Hint.JITTER),
    ({4001: Rule(Category.GOING_AWAY)}, KICKED, Category.GOING_AWAY, True, Hint.SPREAD),
    ({4001: Rule(hint=Hint.STOP)}, KICKED, Category.APPLICATION, False, Hint.STOP),
    ({4001: Rule(hint=Hint.FAST)}, KICKED, Category.APPLICATION, True, Hint.FAST),
    ({4001: Rule(Category.FORBIDDEN, True)}, KICKED, Category.FORBIDDEN, True, Hint.JITTER),
    ({Category.APPLICATION: Rule(hint=Hint.PROBE)}, KICKED, Category.APPLICATION, True, Hint.PROBE),
    (
        {Category.APPLICATION: Rule(hint=Hint.PROBE), 4001: Rule(hint=Hint.FAST)},
        KICKED,
        Category.APPLICATION,
        True,
        Hint.FAST,
    ),
    ({404: Rule(Category.SERVICE_UNAVAILABLE)}, HandshakeError(404), Category.SERVICE_UNAVAILABLE, True, Hint.JITTER),
    ({403: Rule(recoverable=True)}, HandshakeError(403), Category.FORBIDDEN, True, Hint.JITTER),
    ({400: Rule(recoverable=True)}, HandshakeError(400), Category.CONNECTION_FAILED, True, Hint.JITTER),
    ({407: Rule(recoverable=True)}, ProxyError("no", 407), Category.PROXY_AUTHENTICATION, True, Hint.JITTER),
    # 111 is an errno here, and no status.
    ({111: Rule(recoverable=False)}, REFUSED, Category.CONNECTION_REFUSED, True, Hint.JITTER),
    ({OSError: Rule(recoverable=False)}, REFUSED, Category.CONNECTION_REFUSED, False, Hint.STOP),
    ({TokenStoreError: Rule(recoverable=True)}, credentials_error(), Category.AUTHENTICATION_FAILED, True, Hint.JITTER),
    ({}, credentials_error(), Category.AUTHENTICATION_FAILED, False, Hint.JITTER),
]


@pytest.mark.parametrize(("table", "error", "category", "recoverable", "hint"), CASES)
def test_a_row(table: dict[Any, Rule], error: Exception, category: Category, recoverable: bool, hint: Hint) -> None:
    issue, told = Rules(table).judge(error)
    assert (issue.category, issue.recoverable, told) == (category, recoverable, hint)


def test_what_it_means_here_stands_first() -> None:
    issue, _ = Rules({4001: Rule(meaning="moderator removed us")}).judge(KICKED)
    assert issue.explain() == "moderator removed us: received 4001 (private use) kicked"


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (connection_closed(3000, "", "remote"), Hint.REFRESH),
        (HandshakeError(401), Hint.REFRESH),
        (HandshakeError(403), Hint.REFUSED),
        (connection_closed(1008, "", "remote"), Hint.REFUSED),
    ],
)
def test_credentials_are_worth_a_retry_if_there_can_be_new_ones(error: Exception, hint: Hint) -> None:
    rules = Rules()
    for refreshable in (False, True):
        judgement = rules.judge(error, refreshable=refreshable)
        assert isinstance(judgement, Judgement)
        assert (judgement.issue.recoverable, judgement.hint) == (refreshable, hint)


@pytest.mark.parametrize("key", [0, 99, 600, 999, 5000])
def test_a_number_that_is_no_code(key: int) -> None:
    with pytest.raises(ValueError, match=f"rule for {key}; wanted an HTTP status, 100 to 599, or a close code"):
        Rules({key: Rule()})
