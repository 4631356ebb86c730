"""Close frames: every code there is, payloads of every wrong kind, and what comes behind them."""

import asyncio
import contextlib
import struct

import pytest
from wsproto.connection import ConnectionType

from rawframes import build
from rawpeer import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT
from trunkline import Close, ConnectionClosed, LocalProtocolError, RemoteProtocolError, protocol
from trunkline._frames import Decoder
from trunkline.protocol.categories import CLOSE_CODES
from trunkline.protocol.close import check_close

# RFC 6455 7.4 and the IANA registry, up to 1014.
ALLOWED = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
CLASSES = [
    *(0, 1, 125, 999, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1011, 1012, 1013, 1014, 1015, 1016),
    *(1099, 1999, 2000, 2999, 3000, 3999, 4000, 4999, 5000, 9999, 32_767, 32_768, 65_535),
]


def test_a_close_frame_may_carry_every_code_of_the_taxonomy_but_those_that_are_never_sent():
    assert CLOSE_CODES.keys() - ALLOWED == {1004, 1005, 1006, 1015}


@pytest.mark.parametrize("client", [True, False], ids=["client", "server"])
def test_every_code_that_is_received(client):
    for code in range(65_536):
        decoder = Decoder(client)
        items = decoder.feed(build(CLOSE, struct.pack("!H", code) + b"why", masked=not client))
        if code in ALLOWED:
            assert [(item.code, item.reason) for item in items] == [(code, "why")]
            assert (decoder.fault, decoder.closed) == (None, True)
        else:
            assert items == []
            assert decoder.fault.code == 1002, code
            assert f"close code {code} " in decoder.fault.text


@pytest.mark.parametrize("kind", [ConnectionType.CLIENT, ConnectionType.SERVER])
def test_every_code_without_a_loop(kind):
    for code in range(65_536):
        end = protocol.Connection(kind)
        end.receive_data(build(CLOSE, struct.pack("!H", code), masked=kind is ConnectionType.SERVER))
        (event,) = end.events()
        assert event.code == (code if code in ALLOWED else 1002)


def test_every_code_that_is_sent():
    for code in range(65_536):
        if code in ALLOWED:
            check_close(code, "why")
        else:
            with pytest.raises(LocalProtocolError, match=str(code)):
                check_close(code, "why")


PAYLOADS = {
    "1 byte": (b"\x03", 1002, "1 byte of payload"),
    "a reason that is not UTF-8": (b"\x03\xe8\xff", 1007, "not UTF-8 at byte 0"),
    "a reason cut off": (b"\x03\xe8ok\xe2\x82", 1007, "not UTF-8 at byte 2"),
    "a surrogate": (b"\x03\xe8\xed\xa0\x80", 1007, "not UTF-8 at byte 0"),
    "123 bytes, the last one bad": (b"\x03\xe8" + b"a" * 122 + b"\x80", 1007, "not UTF-8 at byte 122"),
    "126 bytes": (b"\x03\xe8" + b"a" * 124, 1002, "over 125 bytes"),
}


async def gone(ws, peer):
    """Let the connection end, and return what the peer still received."""
    with contextlib.suppress(OSError):  # a server has closed already, and what was behind the close frame resets it
        peer.writer.write_eof()
    rest = await peer.rest()
    await ws.wait_closed()
    return rest


@pytest.mark.anyio
class TestOnTheWire:
    """The same from real peers, with what they are told."""

    @pytest.mark.parametrize("code", CLASSES)
    async def test_a_code(self, line, code):
        async with line() as (ws, peer):
            peer.writer.write(peer.encode_close(code, "why") + peer.encode(TEXT, b"late"))
            answer = await peer.frame()
            await gone(ws, peer)
            if code in ALLOWED:
                assert answer.close == (code, "")
                assert ws.close_info == Close(code, "why", True, "remote")
            else:
                assert answer.close == (1002, "protocol error")
                assert ws.close_info.code == 1002
                assert f"close code {code} may not be sent" in ws.close_info.reason
            with pytest.raises(ConnectionClosed):
                await ws.recv()

    @pytest.mark.parametrize(("payload", "code", "words"), PAYLOADS.values(), ids=PAYLOADS)
    async def test_a_payload(self, line, payload, code, words):
        async with line() as (ws, peer):
            peer.send(CLOSE, payload)
            peer.send(TEXT, b"late")
            assert (await peer.frame()).close[0] == code
            with pytest.raises(RemoteProtocolError, match=words):
                await ws.recv()
            with pytest.raises(RemoteProtocolError):
                await ws.recv()

    @pytest.mark.parametrize("ours", [False, True], ids=["the peer closes", "we close"])
    async def test_anything_behind_a_close_frame(self, line, ours):
        """Data, control frames, a close frame with another code, bytes that are not frames: all are ignored."""
        async with line() as (ws, peer):
            if ours:
                ws.start_closing(4001, "ours")
                assert (await peer.frame()).close == (4001, "ours")
            late = [(TEXT, b"late"), (BINARY, b"late"), (CONTINUATION, b""), (PING, b"?"), (PONG, b"!")]
            behind = b"".join(peer.encode(*frame) for frame in late)
            peer.writer.write(peer.encode_close(4002, "first") + behind + peer.encode_close(4003) + b"\xff" * 1000)
            if not ours:
                assert (await peer.frame()).close == (4002, "")
            assert await gone(ws, peer) == b""
            assert ws.close_info == Close(4002, "first", True, "local" if ours else "remote")
            assert (ws.stats().messages_received, ws.stats().pings_received) == (0, 0)
            with pytest.raises(ConnectionClosed):
                await ws.recv()

    async def test_a_close_inside_a_message(self, line):
        async with line() as (ws, peer):
            peer.send(TEXT, b"half", fin=False)
            peer.send_close(1000)
            assert (await peer.frame()).close == (1000, "")
            with pytest.raises(ConnectionClosed):
                await asyncio.wait_for(ws.recv(), 10)
