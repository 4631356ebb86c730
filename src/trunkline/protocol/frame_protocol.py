"""Deprecated: this is `trunkline.protocol.wsproto.frame_protocol`."""

import warnings

from trunkline.protocol.wsproto.frame_protocol import *  # noqa: F403

warnings.warn(f"{__name__} is now trunkline.protocol.wsproto.frame_protocol", DeprecationWarning, stacklevel=2)
