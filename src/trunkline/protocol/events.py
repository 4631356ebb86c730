"""Deprecated: this is `trunkline.protocol.wsproto.events`."""

import warnings

from trunkline.protocol.wsproto.events import *  # noqa: F403

warnings.warn(f"{__name__} is now trunkline.protocol.wsproto.events", DeprecationWarning, stacklevel=2)
