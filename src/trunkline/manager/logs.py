"""Logs each change of a connection's status as one record."""

from __future__ import annotations

import logging
from typing import Any, Final

from trunkline.manager.events import StateChange
from trunkline.manager.redacting import is_secret, redact
from trunkline.manager.states import ConnectionStatus
from trunkline.net.logs import log_fields

__all__ = ["LEVELS", "StateLog", "is_secret", "redact"]

_S = ConnectionStatus

# Nobody needs to know at three in the morning that an attempt begins, or that the program closed a connection.
LEVELS: Final[dict[ConnectionStatus, int]] = {
    _S.CONNECTING: logging.DEBUG,
    _S.CONNECTED: logging.INFO,
    _S.WAITING: logging.WARNING,
    _S.SUSPENDED: logging.WARNING,
    _S.FAILED: logging.ERROR,
    _S.CLOSING: logging.DEBUG,
    _S.CLOSED: logging.INFO,
}


class StateLog:
    """A subscriber that logs a manager's events, to the child "state" of the manager's logger."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger.getChild("state")
        # A program without logging should see faults on its standard error, but not lost connections.
        if not self._logger.handlers:
            self._logger.addHandler(logging.NullHandler())

    def __call__(self, change: StateChange) -> None:
        """Log the change, if its level is enabled."""
        level = LEVELS.get(change.after, logging.INFO)
        if self._logger.isEnabledFor(level):
            text = change.explain()
            self._logger.log(level, "%s: %s", redact(change.connection_id), text, extra=describe(change))


def describe(change: StateChange) -> dict[str, Any]:
    """Return the extra fields of a change's log record."""
    issue = change.issue
    about: dict[str, Any] = {}
    if issue is not None:
        about = {
            "category": str(issue.category),
            "code": issue.code,
            "phase": issue.phase,
            "initiator": issue.initiator,
        }
    return log_fields(
        f"connection.{change.after}",
        connection=redact(change.connection_id),
        service=change.service,
        status=str(change.after),
        attempt=change.retry,
        generation=change.generation,
        delay=change.delay,
        downtime=change.downtime,
        **about,
    )
