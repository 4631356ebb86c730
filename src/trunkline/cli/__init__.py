"""The command line: a demo, a client, an echo server."""

from trunkline.cli.commands import main

__all__ = ["main"]
