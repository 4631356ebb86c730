"""`trunkline doctor`: goes from a name to an open WebSocket, step by step, and reports where a connection fails."""

from trunkline.cli.doctor.run import add, examine

__all__ = ["add", "examine"]
