"""Fixtures for the tests of trunkline.net: real connections on loopback."""

from lines import line, pair, raw_client, raw_server

__all__ = ["line", "pair", "raw_client", "raw_server"]
