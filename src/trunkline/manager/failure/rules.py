"""A service's own rows of the taxonomy: what its close codes, statuses and exceptions mean.

Applications use 3xxx and 4xxx as they like, and for some a 404 means what 503 means for others. A `Rule` replaces
trunkline's row, fully or in part.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from trunkline.manager.failure.hints import Hint, hint_for
from trunkline.manager.failure.issues import ConnectionIssue, CredentialsError, categorize
from trunkline.protocol.categories import ErrorCategory

__all__ = ["Judgement", "Rule", "RuleKey", "Rules"]

RuleKey: TypeAlias = int | ErrorCategory | type[BaseException]

_C = ErrorCategory

# A rule with one of these categories means "do not retry", unless it says otherwise.
HOPELESS: Final = frozenset(
    {
        _C.NORMAL_CLOSURE,
        _C.POLICY_VIOLATION,
        _C.FORBIDDEN,
        _C.REDIRECT,
        _C.CONNECTION_FAILED,
        _C.PROXY_AUTHENTICATION,
        _C.TLS_CERTIFICATE,
    }
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of a service's rules. What is None stays as trunkline has it; a category alone brings its own hint.

    Args:
        category: the kind of failure.
        recoverable: whether trying again can help. False is final, even for a connection that has been up, and
            whatever `RetryPolicy.never_give_up` says.
        hint: how to try again, for example `Hint.REFRESH` or `Hint.PROBE`. `Hint.STOP` is final as well.
        meaning: a description for people, put first in the issue's message.
    """

    category: ErrorCategory | None = None
    recoverable: bool | None = None
    hint: Hint | None = None
    meaning: str = ""


class Judgement(NamedTuple):
    """An issue, and how to come back from it."""

    issue: ConnectionIssue
    hint: Hint


class Rules:
    """The rules of one service, by close code, HTTP status, `ErrorCategory` or exception class.

    The most specific rule wins: the exception's class or its nearest base, then the code, then the category. Exception
    classes also match what a callable for credentials raised. Raise ValueError for a number that is neither a close
    code nor an HTTP status.
    """

    def __init__(self, table: Mapping[RuleKey, Rule] | None = None) -> None:
        self._table = dict(table or {})
        for key in self._table:
            if isinstance(key, int) and not (100 <= key <= 599 or 1000 <= key <= 4999):
                raise ValueError(f"rule for {key}; wanted an HTTP status, 100 to 599, or a close code, 1000 to 4999")

    def judge(self, error: BaseException, *, refreshable: bool = False) -> Judgement:
        """Classify what ended an attempt or a link. refreshable: whether the next attempt has new credentials."""
        issue = categorize(error)
        rule = self._find(error, issue)
        if rule is None:
            hint = hint_for(issue)
        else:
            issue, hint = _apply(rule, issue)
        if hint.refresh:
            issue = dataclasses.replace(issue, recoverable=refreshable)
        return Judgement(issue, hint)

    def _find(self, error: BaseException, issue: ConnectionIssue) -> Rule | None:
        if not self._table:
            return None
        cause = error.__cause__ if isinstance(error, CredentialsError) and error.__cause__ is not None else error
        keys: list[RuleKey] = list(type(cause).__mro__)
        # In other phases, a code is an errno.
        if issue.code is not None and issue.phase in ("handshake", "open", "proxy"):
            keys.append(issue.code)
        keys.append(issue.category)
        return next((self._table[key] for key in keys if key in self._table), None)


def _apply(rule: Rule, issue: ConnectionIssue) -> Judgement:
    recoverable = issue.recoverable
    if rule.recoverable is not None:
        recoverable = rule.recoverable
    elif rule.hint is not None:
        recoverable = rule.hint.tries != 0
    elif rule.category is not None:
        recoverable = rule.category not in HOPELESS
    changed = dataclasses.replace(
        issue,
        category=rule.category or issue.category,
        recoverable=recoverable,
        message=f"{rule.meaning}: {issue.message}" if rule.meaning else issue.message,
    )
    hint = rule.hint or hint_for(changed)
    if rule.recoverable is False:
        hint = Hint.STOP
    elif rule.hint is None and rule.recoverable and (hint.refresh or hint.tries == 0):
        hint = Hint.JITTER  # the table would stop, but the rule says not to
    return Judgement(changed, hint)
