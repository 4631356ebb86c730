"""Unix sockets to listen on: a path belongs to the server that listens there.

The file of a unix socket stays behind if its server ends without removing it, and nobody can listen there until it is
removed. asyncio and uvloop remove any socket that they find, even one of a live server, whose clients then reach
another server. Here a socket that somebody listens on is left alone, and our own is removed when the server closes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat

__all__ = ["UnixPath", "check_unix", "unix_socket"]


def check_unix(path: object) -> None:
    """Raise ValueError if there is a path, but Python has no unix sockets on this system, as on Windows."""
    if path is not None and not hasattr(socket, "AF_UNIX"):
        raise ValueError(f"unix is {path!r}, but Python has no unix sockets on this system (unix)")


def unix_socket() -> socket.socket:
    """Return a new unix socket, for a path that `check_unix` has accepted."""
    family: int = getattr(socket, "AF_UNIX")  # noqa: B009 - type checkers know systems that have none
    return socket.socket(family, socket.SOCK_STREAM)


class UnixPath:
    """A unix socket that listens on a path.

    Attributes:
        path: where it listens; "" for a name in the abstract namespace, which is not a file.
        sock: the socket.
    """

    def __init__(self, path: str | bytes, backlog: int) -> None:
        """Listen. Raise OSError if another server listens on the path, or if it is not a socket."""
        is_file = path[:1] not in ("\0", b"\0")
        self.path = path if is_file else ""
        if is_file:
            _remove_stale(path)
        self.sock = unix_socket()
        try:
            self.sock.bind(path)
            self.sock.listen(backlog)  # at once: a server that starts meanwhile would take it for a stale one
            self._file = _identity(path) if is_file else None
        except OSError as error:
            self.sock.close()
            raise OSError(error.errno, f"{error.strerror} (unix)", path) from None
        except BaseException:
            self.sock.close()
            raise

    def remove(self) -> None:
        """Remove the file, if it is still the one that we made."""
        if self._file is not None and _identity(self.path) == self._file:
            with contextlib.suppress(OSError):  # it is gone already, or we may no longer write to the folder
                os.unlink(self.path)
        self._file = None


def _identity(path: str | bytes) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _remove_stale(path: str | bytes) -> None:
    """Remove a socket that nobody listens on. Raise OSError if somebody does."""
    found = _identity(path)
    if found is None or not stat.S_ISSOCK(os.stat(path).st_mode):
        return  # bind will say what is wrong
    if _is_live(path):
        raise OSError(errno.EADDRINUSE, "another server listens there (unix)", path)
    if _identity(path) == found:
        os.unlink(path)


def _is_live(path: str | bytes) -> bool:
    """Return whether somebody listens on the socket. Any error but a plain refusal counts as a yes."""
    with unix_socket() as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return False
        except OSError:  # its backlog is full, or we may not connect to it
            return True
    return True
