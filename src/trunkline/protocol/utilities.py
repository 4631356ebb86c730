"""Deprecated: this is `trunkline.protocol.wsproto.utilities`."""

import warnings

from trunkline.protocol.wsproto.utilities import *  # noqa: F403

warnings.warn(f"{__name__} is now trunkline.protocol.wsproto.utilities", DeprecationWarning, stacklevel=2)
