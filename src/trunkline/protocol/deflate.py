"""permessage-deflate (RFC 7692): its settings, its negotiation, and the extension for wsproto's events.

Theory of operation. `Deflate` is what one side wants. A `PerMessageDeflate` carries it through one opening handshake,
which calls `offer` and `finalize` for a client, or `accept` for a server. The result is an `Agreement`, from which
`inflater_for` and `deflater_for` make the two directions. RFC 7692 7.1 is applied strictly: a server declines an offer
that breaks it, and a client fails a connection whose answer breaks it.

The frame hooks are for connections that call them, such as the drop-in's. trunkline's own client and server compress in
the compiled core.
"""

from __future__ import annotations

import functools
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from wsproto.extensions import Extension
from wsproto.frame_protocol import CloseReason, Opcode, RsvBits

from trunkline._deflate import FINAL, Deflater
from trunkline._inflate import CorruptData, Inflater, InflateStream
from trunkline.protocol.backends import Backend, find_backend
from trunkline.protocol.errors import RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from trunkline._writer import LoopState

__all__ = ["Agreement", "Deflate", "PerMessageDeflate", "agreement_of", "deflater_for", "inflater_for"]

NAME: Final = "permessage-deflate"
MAX_BITS: Final = 15
OWN_BITS: Final = 12  # default window for compressing; takes a tenth of the memory of 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Deflate:
    """Settings for permessage-deflate, for `connect` and `serve`.

    Args:
        server_no_context_takeover: whether the server compresses each message on its own, so that neither side keeps a
            window between messages. None: a server does, a client lets the server decide.
        client_no_context_takeover: the same for the client's messages.
        server_max_window_bits: largest window that the server may compress with, 9 to 15 (a client may also set 8).
            None: 15 for the other side, 12 for ours.
        client_max_window_bits: the same for the client (a server may also set 8).
        threshold: compress messages of at least this many bytes, unless `send` says otherwise.
        level: from 1 (fastest) to 9 (smallest).
        mem_level: the compressor's memory, 1 to 9, as in zlib.
        off_thread: compress messages of at least this many bytes in a thread, and inflate there what goes beyond them;
            None for never.
        backend: "zlib", "isal", an object as in `trunkline.protocol.backends`, or None for isal if it is installed and
            zlib otherwise.
    """

    server_no_context_takeover: bool | None = None
    client_no_context_takeover: bool | None = None
    server_max_window_bits: int | None = None
    client_max_window_bits: int | None = None
    threshold: int = 1024
    level: int = 1
    mem_level: int = 5
    off_thread: int | None = 128 * 1024
    backend: str | Backend | None = None

    def __post_init__(self) -> None:
        for name in ("server_max_window_bits", "client_max_window_bits"):
            bits = getattr(self, name)
            if bits is not None and not 8 <= bits <= MAX_BITS:
                raise ValueError(f"{name} is {bits}, must be 8 to {MAX_BITS} (RFC 7692 7.1.2)")
        for name in ("level", "mem_level"):
            if not 1 <= getattr(self, name) <= 9:
                raise ValueError(f"{name} is {getattr(self, name)}, must be 1 to 9")
        if self.threshold < 0:
            raise ValueError(f"threshold is {self.threshold}, must be 0 or more bytes")
        if self.off_thread is not None and self.off_thread < 1:
            raise ValueError(f"off_thread is {self.off_thread}, must be 1 or more bytes, or None for never")
        backend_of(self)


def backend_of(wanted: Deflate) -> Backend:
    """Return the back end. Raise ValueError if the name is unknown, ImportError if it is not installed."""
    return find_backend(wanted.backend) if wanted.backend is None or isinstance(wanted.backend, str) else wanted.backend


@dataclass(frozen=True, slots=True)
class Agreement:
    """The result of a negotiation.

    bits: the window of that side's compressor. keeps: whether it keeps its context from one message to the next.
    """

    client: bool  # we are the client
    server_keeps: bool
    client_keeps: bool
    server_bits: int
    client_bits: int
    settings: Deflate


def inflater_for(agreement: Agreement, max_size: int | None) -> Inflater:
    """Return the object that inflates incoming messages."""
    return Inflater(inflate_stream(agreement), max_size=max_size, off_thread=agreement.settings.off_thread)


def inflate_stream(agreement: Agreement) -> InflateStream:
    """Return the object that inflates incoming payload."""
    backend = backend_of(agreement.settings)
    bits, keeps = (
        (agreement.server_bits, agreement.server_keeps)
        if agreement.client
        else (agreement.client_bits, agreement.client_keeps)
    )
    return InflateStream(functools.partial(backend.decompressor, bits), backend.error, keeps)


def deflater_for(agreement: Agreement, loop_state: LoopState | None = None) -> Deflater:
    """Return the object that compresses outgoing messages. Connections with the same `loop_state` may share it."""
    settings = agreement.settings
    bits, keeps = (
        (agreement.client_bits, agreement.client_keeps)
        if agreement.client
        else (agreement.server_bits, agreement.server_keeps)
    )
    key = (settings, bits)
    if not keeps and loop_state is not None and key in loop_state.deflaters:
        shared: Deflater = loop_state.deflaters[key]
        return shared
    make = functools.partial(backend_of(settings).compressor, settings.level, bits, settings.mem_level)
    made = Deflater(make, keeps, threshold=settings.threshold, large=settings.off_thread)
    if not keeps and loop_state is not None:
        loop_state.deflaters[key] = made
    return made


class PerMessageDeflate(Extension):
    """The extension in one opening handshake, for wsproto's Request or AcceptConnection event.

    `agreement` is None until the two sides agree. `max_size` is the most bytes that the frame hooks inflate a message
    to; None for no limit.
    """

    name = NAME

    def __init__(self, settings: Deflate | None = None, *, max_size: int | None = 2**20) -> None:
        self.settings = settings or Deflate()
        self.max_size = max_size
        self.agreement: Agreement | None = None
        self._inflating: InflateStream | None = None
        self._deflating: Deflater | None = None
        self._incoming: bool | None = None  # whether the current message is compressed; None between messages
        self._outgoing: bool | None = None
        self._inflated = 0  # bytes of the current message
        self._is_data = False  # the current frame belongs to a message

    def enabled(self) -> bool:
        """Return whether the two sides agreed on it."""
        return self.agreement is not None

    # The opening handshake

    def offer(self) -> str:
        """Return a client's offer (7.1)."""
        wanted = self.settings
        parameters = []
        if wanted.server_no_context_takeover:
            parameters.append("server_no_context_takeover")
        if wanted.client_no_context_takeover:
            parameters.append("client_no_context_takeover")
        if wanted.server_max_window_bits is not None:
            parameters.append(f"server_max_window_bits={wanted.server_max_window_bits}")
        bits = wanted.client_max_window_bits
        parameters.append("client_max_window_bits" if bits is None else f"client_max_window_bits={max(bits, 9)}")
        return "; ".join(parameters)

    def finalize(self, offer: str) -> None:
        """Read a server's answer. Raise RemoteProtocolError if it does not fit our offer; the handshake fails (7.1)."""
        wanted = self.settings
        own = max(wanted.client_max_window_bits or OWN_BITS, 9)
        try:
            if self.agreement is not None:
                raise ValueError("it appears twice")
            answer = _parameters(offer)
            server_bits = _bits(answer, "server_max_window_bits", wanted.server_max_window_bits)
            client_bits = _bits(answer, "client_max_window_bits", wanted.client_max_window_bits and own)
            if wanted.server_max_window_bits is not None and "server_max_window_bits" not in answer:
                raise ValueError("server_max_window_bits was requested but is missing")
            if wanted.server_no_context_takeover and "server_no_context_takeover" not in answer:
                raise ValueError("server_no_context_takeover was requested but is missing")
            if client_bits < 9:
                raise ValueError("client_max_window_bits is 8, but zlib needs at least 9 to compress")
        except ValueError as error:
            raise RemoteProtocolError(f"answer {offer!r} to our offer is not valid: {error} (RFC 7692 7.1)") from None
        self.agreement = Agreement(
            client=True,
            server_keeps="server_no_context_takeover" not in answer,
            client_keeps="client_no_context_takeover" not in answer and not wanted.client_no_context_takeover,
            server_bits=server_bits,
            client_bits=min(client_bits, own),
            settings=wanted,
        )

    def accept(self, offer: str) -> str | None:
        """Return a server's answer to an offer, or None to decline it. The first acceptable offer is taken."""
        wanted = self.settings
        if self.agreement is not None:
            return None
        try:
            asked = _parameters(offer, bare=frozenset({"client_max_window_bits"}))
            server_bits = min(_bits(asked, "server_max_window_bits"), max(wanted.server_max_window_bits or OWN_BITS, 9))
            client_bits = _bits(asked, "client_max_window_bits")
        except ValueError:
            return None
        if server_bits < 9:
            return None  # zlib cannot compress with a window of 256 bytes
        if "client_max_window_bits" in asked and wanted.client_max_window_bits is not None:
            client_bits = min(client_bits, wanted.client_max_window_bits)
        answer = []
        server_keeps = "server_no_context_takeover" not in asked and wanted.server_no_context_takeover is False
        client_keeps = "client_no_context_takeover" not in asked and wanted.client_no_context_takeover is False
        if not server_keeps:
            answer.append("server_no_context_takeover")
        if not client_keeps:
            answer.append("client_no_context_takeover")
        if "server_max_window_bits" in asked or server_bits < MAX_BITS:
            answer.append(f"server_max_window_bits={server_bits}")
        if "client_max_window_bits" in asked and client_bits < MAX_BITS:
            answer.append(f"client_max_window_bits={client_bits}")
        self.agreement = Agreement(
            client=False,
            server_keeps=server_keeps,
            client_keeps=client_keeps,
            server_bits=server_bits,
            client_bits=client_bits,
            settings=wanted,
        )
        return "; ".join(answer)

    # Frame hooks, for a connection that calls them as wsproto's does

    def frame_inbound_header(
        self, proto: Any, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        """Allow RSV1 on the first frame of a message only (6.1)."""
        self._is_data = not opcode.iscontrol()
        if rsv.rsv1 and (opcode.iscontrol() or opcode is Opcode.CONTINUATION):
            return CloseReason.PROTOCOL_ERROR
        if self._is_data and opcode is not Opcode.CONTINUATION:
            self._incoming = rsv.rsv1
            self._inflated = 0
        return RsvBits(True, False, False)

    def frame_inbound_payload_data(self, proto: Any, data: bytes) -> bytes | CloseReason:
        """Inflate payload; return a close code instead if it is corrupt (1007) or too large (1009)."""
        if not (self._is_data and self._incoming):
            return data
        return self._inflate(bytes(data))

    def frame_inbound_complete(self, proto: Any, fin: bool) -> CloseReason | None:
        """End a frame; return the close code 1007 if the message cannot end here, otherwise None."""
        if not (fin and self._is_data and self._incoming):
            return None
        self._incoming = None
        return self._end_inflating()

    def frame_outbound(self, proto: Any, opcode: Opcode, rsv: RsvBits, data: bytes, fin: bool) -> tuple[RsvBits, bytes]:
        """Return a frame's bits and payload, compressed if the message or its first fragment reaches the threshold."""
        if opcode.iscontrol():
            return rsv, data
        if self._deflating is None:
            assert self.agreement is not None
            self._deflating = deflater_for(self.agreement)
        if opcode is Opcode.CONTINUATION:
            payload = self._part(data, fin) if self._outgoing else data
            return rsv, payload
        chosen = self._deflating.choose(data)
        whole = self._deflating.compress(chosen) if fin and chosen is not None else None
        self._outgoing = not fin and chosen is not None
        if whole is None and not self._outgoing:
            return rsv, data
        return RsvBits(True, rsv.rsv2, rsv.rsv3), self._part(data, False) if whole is None else whole

    def _inflate_stream(self) -> InflateStream:
        if self._inflating is None:
            assert self.agreement is not None
            self._inflating = inflate_stream(self.agreement)
        return self._inflating

    def _end_inflating(self) -> CloseReason | None:
        try:
            self._inflate_stream().end()
        except CorruptData:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        return None

    def _inflate(self, data: bytes) -> bytes | CloseReason:
        most = sys.maxsize - 1 if self.max_size is None else self.max_size - self._inflated
        try:
            out = self._inflate_stream().inflate(data, most)
        except CorruptData:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        self._inflated += len(out)
        return out if len(out) <= most else CloseReason.MESSAGE_TOO_BIG

    def _part(self, data: bytes, fin: bool) -> bytes:
        assert self._deflating is not None
        if not data:
            return FINAL if fin else data
        payload = self._deflating.part(data)
        return payload[:-4] if fin else payload


def agreement_of(extensions: Sequence[object]) -> Agreement | None:
    """Return what the extensions of a handshake agreed on; None for no compression."""
    return next((one.agreement for one in extensions if isinstance(one, PerMessageDeflate)), None)


_PARAMETER: Final = re.compile(r'([a-z_]+)[ \t]*(?:=[ \t]*(?:([0-9]+)|"((?:[0-9]|\\[0-9])+)"))?')
_FLAGS: Final = frozenset({"server_no_context_takeover", "client_no_context_takeover"})
_WINDOWS: Final = frozenset({"server_max_window_bits", "client_max_window_bits"})


def _parameters(text: str, bare: frozenset[str] = frozenset()) -> dict[str, int | None]:
    """Parse the parameters of an offer or an answer; raise ValueError unless all follow RFC 7692 7.1.

    A value may be a quoted string (RFC 6455 9.1). bare: window parameters that may have no value.
    """
    found: dict[str, int | None] = {}
    for part in text.split(";")[1:]:
        match = _PARAMETER.fullmatch(part.strip(" \t"))
        if match is None:
            raise ValueError(f"{part.strip()!r} is not a parameter of {NAME}")
        name, value = match[1], match[2] if match[3] is None else match[3].replace("\\", "")
        if name in found:
            raise ValueError(f"{name} appears twice")
        if name not in _FLAGS | _WINDOWS or (name in _FLAGS and value is not None):
            raise ValueError(f"{part.strip()!r} is not a parameter of {NAME}")
        if value is None and name in _WINDOWS - bare:
            raise ValueError(f"{name} has no value")
        # 7.1.2: 8 to 15, without leading zeros.
        if value is not None and (value.startswith("0") or len(value) > 2 or not 8 <= int(value) <= MAX_BITS):
            raise ValueError(f"{name} is {value}, must be 8 to {MAX_BITS}")
        found[name] = None if value is None else int(value)
    return found


def _bits(parameters: dict[str, int | None], name: str, most: int | None = None) -> int:
    """Return the window that a parameter allows; raise ValueError if it is larger than offered."""
    bits = parameters.get(name) or MAX_BITS
    if name in parameters and most is not None and bits > most:
        raise ValueError(f"{name} is {bits}, at most {most} was offered")
    return bits
