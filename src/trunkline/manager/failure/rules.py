"""A service's own rows of the taxonomy: what its close codes, statuses and exceptions mean to it.

Applications use 3xxx and 4xxx as they like, and some mean by 404 what others mean by 503. A `Rule` stands in the place
of trunkline's row, in whole or in part; what it leaves out stays as it is.
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

# What a rule means that gives one of these and says nothing of a retry.
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
    """One row. None leaves what trunkline would say; a category alone brings its own hint.

    recoverable: whether trying again can help. hint: how, for example `Hint.STOP`, `Hint.REFRESH`, `Hint.PROBE`.
    False, and `Hint.STOP`, are final, also for a line that has been up, and whatever `RetryPolicy.never_give_up` says.
    meaning: what it means here, for people: it stands first in the issue's message.
    """

    category: ErrorCategory | None = None
    recoverable: bool | None = None
    hint: Hint | None = None
    meaning: str = ""


class Judgement(NamedTuple):
    """What happened, and how to come back from it."""

    issue: ConnectionIssue
    hint: Hint


class Rules:
    """The table of one service. Keys: a close code, an HTTP status, an `ErrorCategory`, an exception class.

    The nearest wins: the exception's class or the next of its bases, then the code, then the category. A class is
    looked for in what a credentials callable raised, too. Raises ValueError for a number that is neither a close code
    nor a status.
    """

    def __init__(self, table: Mapping[RuleKey, Rule] | None = None) -> None:
        self._table = dict(table or {})
        for key in self._table:
            if isinstance(key, int) and not (100 <= key <= 599 or 1000 <= key <= 4999):
                raise ValueError(f"rule for {key}; wanted an HTTP status, 100 to 599, or a close code, 1000 to 4999")

    def judge(self, error: BaseException, *, refreshable: bool = False) -> Judgement:
        """Classify what ended an attempt or a link. refreshable: the next attempt will bring new credentials."""
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
        # Elsewhere a code is an errno.
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
        hint = Hint.JITTER  # the table would stop here, the rule says not to
    return Judgement(changed, hint)
