"""Deprecated: this is `trunkline.protocol.wsproto.typing`."""

import warnings

from trunkline.protocol.wsproto.typing import *  # noqa: F403

warnings.warn(f"{__name__} is now trunkline.protocol.wsproto.typing", DeprecationWarning, stacklevel=2)
