"""The static files of the page, and the header fields sent with them."""

from __future__ import annotations

from importlib import resources
from typing import Final

import trunkline

__all__ = ["SECURITY", "Pages"]

TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

# Only the page's own files, no inline script or style, no frame around it.
CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)

SECURITY: Final = (
    ("Content-Security-Policy", CONTENT_SECURITY_POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)


class Pages:
    """The files by path, read once."""

    def __init__(self) -> None:
        static = resources.files("trunkline.observe.dashboard").joinpath("static")
        self._files: dict[str, tuple[str, bytes]] = {}
        for folder, prefix in ((static, "/"), (static.joinpath("vendor"), "/vendor/")):
            for entry in folder.iterdir():
                kind = TYPES.get("." + entry.name.rpartition(".")[2])
                if kind is not None:
                    self._files[prefix + entry.name] = kind, entry.read_bytes()
        self._files["/"] = self._files["/index.html"]

    def answer(self, path: str) -> trunkline.Response:
        """Return the file at a path, or 404."""
        kind, body = self._files.get(path.partition("?")[0], ("text/plain; charset=utf-8", b""))
        if not body:
            return trunkline.Response(404, [("Content-Type", kind), *SECURITY], b"not found\n")
        return trunkline.Response(200, [("Content-Type", kind), *SECURITY], body)
