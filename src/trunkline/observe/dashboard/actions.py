"""Actions that viewers may take if they are enabled: reconnect or close a connection, pause or resume a service."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import trunkline
from trunkline.manager import Connection, ConnectionManager
from trunkline.manager.errors import NotConnected
from trunkline.net.faults import watch
from trunkline.net.logs import log_fields

__all__ = ["Actions"]

NAMES: Final = ("reconnect", "close", "pause", "resume")


class Actions:
    """Carries out actions, and logs each with the viewer's address."""

    def __init__(self, manager: ConnectionManager) -> None:
        self._manager = manager
        self._logger = logging.getLogger("trunkline.observe.dashboard")
        self._closing: set[asyncio.Task[None]] = set()

    def act(self, action: str, label: str, connection: Any, viewer: trunkline.WebSocket) -> str:
        """Carry out an action, or begin to, and return the answer for the viewer.

        Args:
            action: One of NAMES; anything else is answered with a refusal.
            label: The connection's label, for the log and the answer.
            connection: The connection with that label; None if there is none.
            viewer: Who asked for it.
        """
        if action not in NAMES or connection is None:
            return "there is no such connection" if connection is None else f"there is no action {action!r}"
        remote = viewer.remote_address
        service = connection.service.name if isinstance(connection, Connection) else None
        extra = log_fields("dashboard.action", connection=label, service=service, remote=str(remote))
        self._logger.warning("%s %s: asked for on the dashboard by %s", action, label, remote, extra=extra)
        if not isinstance(connection, Connection):
            return self._act_on_client(action, label, connection)
        if action == "pause":
            self._manager.pause(connection.service)
            return f"service {service} is paused"
        if action == "resume":
            self._manager.resume(connection.service)
            return f"service {service} is resumed"
        if action == "close":
            self._close(connection)
            return f"{label} is closed"
        try:
            connection.reconnect()
        except NotConnected:
            return f"{label} is already closed"
        return f"{label} is reconnecting"

    def _act_on_client(self, action: str, label: str, ws: trunkline.WebSocket) -> str:
        if action != "close":
            return f"cannot {action} a client's connection"
        ws.start_closing(1001)
        return f"{label} is closed"

    def _close(self, connection: Connection[Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(connection.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        watch(task, self._logger, "closing a connection for a viewer")
