"""The Origin matrix: who may open a connection from a browser, in every spelling that may confuse a server."""

import pytest

import trunkline
from rawhttp import request, status_of

pytestmark = pytest.mark.anyio

HOST = "shop.example:8080"
# With Host: shop.example:8080 and nothing said of origins. The scheme is not compared: TLS may end before us.
SAME = {
    "its own": "http://shop.example:8080",
    "its own over TLS": "https://shop.example:8080",
    "in other cases": "HTTP://Shop.Example:8080",
}
FOREIGN = {
    "another host": "http://evil.example:8080",
    "another port": "http://shop.example:8081",
    "no port": "http://shop.example",
    "no port, TLS": "https://shop.example",
    "a host that begins like ours": "http://shop.example.evil.example:8080",
    "a host that ends like ours": "http://evilshop.example:8080",
    "our host as a user": "http://shop.example:8080@evil.example",
    "our host in a path": "http://evil.example/shop.example:8080",
    "our host in a query": "http://evil.example?http://shop.example:8080",
    "our host in a fragment": "http://evil.example#shop.example:8080",
    "a backslash": "http://evil.example\\@shop.example:8080",
    "null": "null",
    "nothing": "",
    "a space": "http://shop.example:8080 http://evil.example",
    "a comma": "http://shop.example:8080, http://evil.example",
    "a star": "*",
    "no scheme": "shop.example:8080",
    "a scheme alone": "http://",
    "a file": "file://",
    "a port that is no number": "http://shop.example:port",
    "a port out of range": "http://shop.example:99999",
    "half an IPv6 address": "http://[::1",
    "beyond ASCII": "http://shop\xe9.example:8080",
    "a dot at the end": "http://shop.example.:8080",
    "an extension": "chrome-extension://abcdefgh",
}
# origins= of the server; the Origin; whether it is welcome.
LISTS = {
    "a list with it": (["https://a.example"], "https://a.example", True),
    "a list, another scheme": (["https://a.example"], "http://a.example", False),
    "a list, another port": (["https://a.example"], "https://a.example:444", False),
    "a list, a name that ends like it": (["https://a.example"], "https://ba.example", False),
    "a list, other cases": (["https://a.example"], "https://A.example", True),
    "a list, the scheme's own port": (["https://a.example"], "https://a.example:443", True),
    "a list written otherwise": (["HTTPS://A.example:443"], "https://a.example", True),
    "a list, our own host": (["https://a.example"], "http://shop.example:8080", False),
    "a list, no Origin": (["https://a.example"], None, False),
    "a list with None, no Origin": ([None], None, True),
    "a list with None, an Origin": ([None], "https://a.example", False),
    "a list with null": (["null"], "null", True),
    "a list with a file": (["file://"], "file://", True),
    "a list with a file, a file on a host": (["file://"], "file://host", False),
    "a list with a program": (["APP://."], "app://.", True),
    "a list with a program, another one": (["app://."], "app://-", False),
    "a list without a file": (["https://a.example"], "file://", False),
    "an empty list": ([], "http://shop.example:8080", False),
    "an empty list, no Origin": ([], None, False),
    "any": ("*", "http://evil.example", True),
    "any, and none": ("*", None, True),
    "any, however it is spelt": ("*", "http://[::1", True),
}
MATRIX = {
    "no Origin": (None, None, True),
    **{name: (None, origin, True) for name, origin in SAME.items()},
    **{name: (None, origin, False) for name, origin in FOREIGN.items()},
    **LISTS,
}


async def status_for(server, origin, host=HOST):
    """The status that a browser's request with this Origin gets."""
    sent = None if origin is None else origin.encode("latin-1")
    fields = {"Host": host.encode(), "Connection": b"keep-alive, Upgrade", "Origin": sent}
    return await status_of(server.port, request(fields))


@pytest.mark.parametrize(("origins", "origin", "welcome"), MATRIX.values(), ids=MATRIX)
async def test_an_origin(origins, origin, welcome):
    async with trunkline.serve(trunkline.WebSocket.wait_closed, "127.0.0.1", 0, origins=origins) as server:
        assert await status_for(server, origin) == (101 if welcome else 403)
        assert server.health().refused == (not welcome)


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("shop.example", "http://shop.example", 101),
        ("shop.example", "https://shop.example", 101),
        ("shop.example:443", "https://shop.example", 101),
        ("shop.example:80", "http://shop.example", 101),
        ("shop.example:80", "https://shop.example", 403),
        ("[::1]:8080", "http://[::1]:8080", 101),
        ("[::1]:8080", "http://[::2]:8080", 403),
        ("", "http://", 400),
    ],
)
async def test_the_port_of_a_scheme(host, origin, status):
    async with trunkline.serve(trunkline.WebSocket.wait_closed, "127.0.0.1", 0) as server:
        assert await status_for(server, origin, host) == status
