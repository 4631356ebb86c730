"""The handshakes of trunkline's own server and client, in the shape of `Handshake`, so that tests can drive either."""

from collections.abc import Iterator, Sequence

from wsproto.connection import ConnectionType
from wsproto.events import AcceptConnection, Event, Request

from trunkline.protocol.asked import PlainRequest
from trunkline.protocol.client_handshake import ClientHandshake
from trunkline.protocol.head import HeadLimits
from trunkline.protocol.server_handshake import ServerHandshake, write_fields


class LiveHandshake:
    """Either end of an opening handshake, as it is on a live connection."""

    def __init__(self, role: ConnectionType, *, limits: HeadLimits | None = None) -> None:
        most = limits or HeadLimits()
        self._server = ServerHandshake(most) if role is ConnectionType.SERVER else None
        self._client = ClientHandshake(most)
        self._heads = self._client._heads if self._server is None else self._server._heads
        self._events: list[Event] = []

    @property
    def plain_request(self) -> PlainRequest | None:
        return None if self._server is None else self._server.plain_request

    @property
    def fields(self) -> Sequence[tuple[bytes, bytes]]:
        assert self._server is not None
        return () if self._server.asked is None else self._server.asked.fields

    def receive_data(self, data: bytes | None) -> None:
        if not data:
            return  # a live connection asks its transport whether it ended
        if self._server is None:
            self._client.receive_data(data)
            return
        asked = self._server.receive_data(data)
        if asked is not None:
            asked_for = Request(
                asked.host, asked.target, list(asked.extensions), asked.others, list(asked.subprotocols)
            )
            self._events.append(asked_for)

    def events(self) -> Iterator[Event]:
        if self._server is None:
            yield from self._client.events()
        while self._events:
            yield self._events.pop(0)

    def send(self, event: Request | AcceptConnection) -> bytes:
        if isinstance(event, Request):
            return self._client.send(event)
        assert self._server is not None
        return self._server.accept(event.subprotocol, event.extensions, write_fields(event.extra_headers))
