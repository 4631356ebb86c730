"""The command line: demo, top, connect, serve, bench, doctor and info."""

from trunkline.cli.commands import main

__all__ = ["main"]
