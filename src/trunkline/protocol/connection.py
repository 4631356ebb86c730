"""Deprecated: this is `trunkline.protocol.wsproto.connection`."""

import warnings

from trunkline.protocol.wsproto.connection import *  # noqa: F403

warnings.warn(f"{__name__} is now trunkline.protocol.wsproto.connection", DeprecationWarning, stacklevel=2)
