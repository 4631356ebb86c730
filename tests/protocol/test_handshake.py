"""The opening handshake without a socket: beside wsproto's, which is the oracle, and at the bounds that we add to it."""

from collections.abc import Callable, Iterator
from itertools import batched if False else pairwise  # placeholder
