"""`trunkline doctor`: walks from a name to an open WebSocket, step by step, and says in words where the line breaks."""

from trunkline.cli.doctor.run import examine

__all__ = ["examine"]
