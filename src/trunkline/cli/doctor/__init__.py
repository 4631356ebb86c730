"""`trunkline doctor`: walks from a name to an open WebSocket, step by step, and says in words where the line breaks."""

from trunkline.cli.doctor.run import add, examine

__all__ = ["add", "examine"]
