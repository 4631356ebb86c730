"""wsproto's extensions, by identity. `Connection` calls their hooks in wsproto's order."""

from wsproto.extensions import SUPPORTED_EXTENSIONS, Extension, PerMessageDeflate

__all__ = ["SUPPORTED_EXTENSIONS", "Extension", "PerMessageDeflate"]
