"""nginx before a trunkline server: as it comes, with HTTP/1.0 towards it, and as a proxy of WebSockets."""

import pytest

import trunkline
from handlers import echo
from rawhttp import dialled, request, status_of

pytestmark = pytest.mark.anyio

PLAIN = "location / {{ proxy_pass http://127.0.0.1:{port}; }}"
WEBSOCKET = """
location / {{
    proxy_pass http://127.0.0.1:{port};
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection "upgrade";
    proxy_set_header Host $http_host;
}}
"""
WITHOUT_A_VERSION = WEBSOCKET.replace("proxy_http_version 1.1;", "")


def admit(ws, request):
    return ws.respond(200, "fine") if request.path == "/healthz" else None


@pytest.fixture
async def before(nginx, caplog):
    """Starts a server and nginx before it; whoever knocks may write no more than INFO into the log."""
    caplog.set_level("INFO", "trunkline.net")

    class Before:
        def __init__(self, locations, **options):
            self.locations, self.options = locations, options

        async def __aenter__(self):
            self.server = await trunkline.serve(echo, "127.0.0.1", 0, **self.options)
            self.proxy = nginx(self.locations.format(port=self.server.port))
            return await self.proxy.__aenter__()

        async def __aexit__(self, *error):
            await self.proxy.__aexit__(*error)
            await self.server.close()

    yield Before
    assert [record for record in caplog.records if record.levelname != "INFO"] == []


async def ask(port, data):
    async with dialled(port) as (reader, writer):
        writer.write(data)
        return await reader.read()


@pytest.mark.parametrize("locations", [PLAIN, WEBSOCKET, WITHOUT_A_VERSION], ids=["plain", "websocket", "no version"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_a_health_check(before, locations, method):
    async with before(locations, process_request=admit) as port:
        data = f"{method} /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
        answer = await ask(port, data)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"\r\n\r\n" if method == "HEAD" else b"\r\n\r\nfine")


@pytest.mark.parametrize(("method", "status"), [("GET", 426), ("HEAD", 426), ("POST", 405), ("DELETE", 405)])
async def test_a_plain_request_that_nobody_answers(before, method, status):
    async with before(PLAIN) as port:
        answer = await ask(port, f"{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 %d " % status)


async def test_websockets(before):
    async with before(WEBSOCKET) as port:
        origin = f"http://127.0.0.1:{port}"
        async with trunkline.connect(f"ws://127.0.0.1:{port}/chat?x=1", origin=origin, compression="deflate") as ws:
            await ws.send("through" * 1000)
            assert await ws.recv() == "through" * 1000


async def test_websockets_as_it_comes(before, caplog):
    """It asks with HTTP/1.0, and drops Upgrade."""
    async with before(PLAIN) as port:
        with pytest.raises(trunkline.HandshakeError) as caught:
            await trunkline.connect(f"ws://127.0.0.1:{port}/")
    assert caught.value.status == 426
    assert "the request does not ask for a WebSocket" in caplog.text


async def test_websockets_without_proxy_http_version(before, caplog):
    async with before(WITHOUT_A_VERSION) as port:
        with pytest.raises(trunkline.HandshakeError) as caught:
            await trunkline.connect(f"ws://127.0.0.1:{port}/")
    assert caught.value.status == 505
    assert "HTTP/1.0, must be 1.1 or later" in caplog.text


async def test_a_request_for_a_whole_url(before):
    async with before(WEBSOCKET) as port:
        assert await status_of(port, request(line=b"GET http://a.example/chat HTTP/1.1")) == 101
