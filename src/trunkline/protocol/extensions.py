"""Deprecated: this is `trunkline.protocol.wsproto.extensions`."""

import warnings

from trunkline.protocol.wsproto.extensions import *  # noqa: F403

warnings.warn(f"{__name__} is now trunkline.protocol.wsproto.extensions", DeprecationWarning, stacklevel=2)
