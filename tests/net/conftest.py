"""Fixtures for the tests of trunkline.net: real connections on loopback."""

from lines import compressed, line, pair, raw_client, raw_server

__all__ = ["compressed", "line", "pair", "raw_client", "raw_server"]
