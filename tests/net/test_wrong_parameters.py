"""A wrong parameter raises when the call is made; the error names it, what it is and what it may be."""

import logging
from typing import Any

import pytest

import trunkline

PAIRS = "must be a mapping or pairs of str"
URL = "wss://a.test/"

# Wrong for every function: options, the error, what the error says.
EVERYWHERE: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"open_timeout": "1"}, ValueError, "open_timeout is '1', must be more than 0 seconds"),
    ({"open_timeout": True}, ValueError, "open_timeout is True, must be more than 0 seconds"),
    ({"close_timeout": float("nan")}, ValueError, "close_timeout is nan, must be more than 0 seconds"),
    ({"ping_interval": [1]}, ValueError, "ping_interval is [1], must be more than 0 seconds"),
    ({"ping_timeout": 1j}, ValueError, "ping_timeout is 1j, must be more than 0 seconds"),
    ({"send_timeout": "5"}, ValueError, "send_timeout is '5', must be more than 0 seconds"),
    ({"max_line": "8192"}, ValueError, "max_line is '8192', must be 1 or more"),
    ({"max_size": "1"}, ValueError, "max_size is '1', must be a whole number, 0 or more bytes, or None for no limit"),
    ({"max_size": 1.5}, ValueError, "max_size is 1.5, must be a whole number, 0 or more bytes, or None for no limit"),
    ({"max_fragments": "2"}, ValueError, "max_fragments is '2', must be a whole number, 1 or more, or None"),
    ({"max_control_rate": 1.5}, ValueError, "max_control_rate is 1.5, must be a whole number, 1 or more, or None"),
    ({"write_limit": (1, 2)}, ValueError, "write_limit is (1, 2), must be a whole number, 1 or more bytes"),
    ({"write_limit": None}, ValueError, "write_limit is None, must be a whole number, 1 or more bytes"),
    ({"max_queue": "16"}, ValueError, "max_queue is '16', must be a number or a pair (pause, resume)"),
    ({"max_queue": True}, ValueError, "max_queue is True, must be a number or a pair (pause, resume)"),
    ({"max_queue": [5, 2]}, ValueError, "max_queue is [5, 2], must be a number or a pair (pause, resume)"),
    ({"max_queue": ()}, ValueError, "max_queue is (), must be a number or a pair (pause, resume)"),
    ({"max_queue": (5, 2, 1)}, ValueError, "max_queue is (5, 2, 1), must be a number or a pair (pause, resume)"),
    ({"max_queue": ("5", "2")}, ValueError, "max_queue is ('5', '2'), must be a number or a pair (pause, resume)"),
    ({"logger": "net"}, TypeError, "logger is str, must be a logging.Logger or LoggerAdapter"),
    ({"subprotocols": 0}, TypeError, "subprotocols is int, must be a sequence of str"),
    ({"ssl": "yes"}, TypeError, "ssl is str, must be an ssl.SSLContext"),
    ({"port": "80"}, ValueError, "port is '80', must be a whole number, "),
    ({"port": True}, ValueError, "port is True, must be a whole number, "),
    ({"port": 80.0}, ValueError, "port is 80.0, must be a whole number, "),
    ({"unix": 5}, TypeError, "unix is int, must be a path or None (unix)"),
]
DIALLING: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"proxy_headers": "a: b"}, TypeError, f"proxy_headers is str, {PAIRS} (proxy_headers)"),
    ({"proxy_headers": 5}, TypeError, f"proxy_headers is int, {PAIRS} (proxy_headers)"),
    ({"proxy_headers": ["ab"]}, TypeError, f"proxy_headers holds str, which is not a pair: it {PAIRS}"),
    ({"proxy_headers": [("a", "b", "c")]}, TypeError, f"proxy_headers holds tuple, which is not a pair: it {PAIRS}"),
    ({"local_addr": 5}, ValueError, "local_addr is 5, must be (host, port), port 0 for any (local_addr)"),
    ({"local_addr": ("h", "0")}, ValueError, "local_addr is ('h', '0'), must be (host, port), port 0 for any"),
    ({"local_addr": ("h", True)}, ValueError, "local_addr is ('h', True), must be (host, port), port 0 for any"),
    ({"local_addr": (5, 0)}, ValueError, "local_addr is (5, 0), must be (host, port), port 0 for any"),
    ({"local_addr": "h:0"}, ValueError, "local_addr is 'h:0', must be (host, port), port 0 for any"),
    ({"family": "4"}, ValueError, "family is '4', must be socket.AF_INET, AF_INET6 or AF_UNSPEC (family)"),
    ({"host": 5}, TypeError, "host is int, must be a str or None (host)"),
    ({"origin": 5}, TypeError, "origin is int, must be a str or None (origin)"),
    ({"proxy": 5}, TypeError, "proxy is int, must be a URL, True (for the environment's) or None (proxy)"),
    ({"proxy_ssl": True}, TypeError, "proxy_ssl is bool, must be an ssl.SSLContext or None (proxy_ssl)"),
    ({"server_hostname": b"a"}, TypeError, "server_hostname is bytes, must be a str or None (server_hostname)"),
    ({"user_agent_header": 5}, TypeError, "user_agent_header is int, must be a str or None (user_agent_header)"),
    ({"max_redirects": None}, ValueError, "max_redirects is None, must be a whole number, 0 to 5"),
    ({"max_redirects": "1"}, ValueError, "max_redirects is '1', must be a whole number, 0 to 5"),
    ({"max_redirects": True}, ValueError, "max_redirects is True, must be a whole number, 0 to 5"),
    ({"max_redirects": 6}, ValueError, "max_redirects is 6, must be 0 to 5"),
]
CONNECT: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"sock": 5}, TypeError, "sock is int, must be a socket.socket or None (sock)"),
    ({"additional_headers": "a: b"}, TypeError, f"additional_headers is str, {PAIRS} (additional_headers)"),
    ({"additional_headers": 5}, TypeError, f"additional_headers is int, {PAIRS} (additional_headers)"),
    ({"additional_headers": ["a: b"]}, TypeError, f"additional_headers holds str, which is not a pair: it {PAIRS}"),
    ({"listener": trunkline.Listener}, TypeError, "listener is the class Listener, must be an instance of one"),
    ({"listener": 5}, TypeError, "listener is int, must be an object with on_message or on_batch, or None (listener)"),
]
SERVE: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"sock": 5}, TypeError, "sock is int, must be a socket.socket or None (sock)"),
    ({"additional_headers": "a: b"}, TypeError, f"additional_headers is str, {PAIRS} (additional_headers)"),
    ({"additional_headers": ["ab"]}, TypeError, f"additional_headers holds str, which is not a pair: it {PAIRS}"),
    ({"max_connections": "3"}, ValueError, "max_connections is '3', must be a whole number, 1 or more, or None"),
    ({"max_connections": 1.5}, ValueError, "max_connections is 1.5, must be a whole number, 1 or more, or None"),
    ({"max_connections": True}, ValueError, "max_connections is True, must be a whole number, 1 or more, or None"),
    ({"max_pending_handshakes": "3"}, ValueError, "max_pending_handshakes is '3', must be a whole number, 1 or more"),
    ({"backlog": "3"}, ValueError, "backlog is '3', must be a whole number, 0 or more"),
    ({"host": 5}, TypeError, "host is 5, must be a str, a sequence of str, or None (host)"),
    ({"host": ["::1", 5]}, TypeError, "host is ['::1', 5], must be a str, a sequence of str, or None (host)"),
    ({"port": 65536}, ValueError, "port is 65536, must be 0 to 65535, 0 for any (port)"),
    ({"ssl": True}, TypeError, "ssl is bool, must be an ssl.SSLContext or None (ssl)"),
    ({"handler": 5}, TypeError, "handler is int, must be a coroutine function"),
]
SERVICE: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"headers": "a: b"}, TypeError, "headers is str, must be a mapping, an async callable or None (headers)"),
    ({"headers": {"a": 5}}, TypeError, "header field a is str and int, name and value must be str (headers"),
    ({"headers": {"Upgrade": "x"}}, trunkline.LocalProtocolError, "header field Upgrade is set by the handshake"),
    ({"hook_timeout": "1"}, ValueError, "hook_timeout of chat is '1', must be more than 0 seconds"),
    ({"idle_timeout": True}, ValueError, "idle_timeout of chat is True, must be more than 0 seconds"),
]


def connect(options: dict[str, Any]) -> None:
    trunkline.connect(URL, **options)


def serve(options: dict[str, Any]) -> None:
    trunkline.serve(**{"handler": trunkline.WebSocket.wait_closed, **options})


def service(options: dict[str, Any]) -> None:
    trunkline.Service("chat", URL, sends=str, receives=str, **options)


CASES = [
    *((connect, case) for case in EVERYWHERE + DIALLING + CONNECT),
    *((serve, case) for case in EVERYWHERE + SERVE),
    *((service, case) for case in EVERYWHERE + DIALLING + SERVICE),
]


@pytest.mark.parametrize(("call", "case"), CASES, ids=[f"{call.__name__} {case[0]}" for call, case in CASES])
def test_a_parameter_that_cannot_be(call: Any, case: Any) -> None:
    options, kind, text = case
    with pytest.raises(kind) as caught:
        call(options)
    assert text in str(caught.value)


@pytest.mark.anyio
async def test_no_headers() -> None:
    """None means none, and a Service passes it on."""
    async with trunkline.serve(trunkline.WebSocket.wait_closed, "127.0.0.1", 0, additional_headers=None) as server:
        url = f"ws://127.0.0.1:{server.port}/"
        async with trunkline.connect(url, additional_headers=None, proxy_headers=None) as ws:
            await ws.ping()
        service = trunkline.Service("chat", url, sends=str, receives=str, headers=None, proxy_headers=None)
        async with trunkline.ConnectionManager([service]) as manager:
            await manager.connect(service)


def test_what_is_right_in_another_form() -> None:
    """A logger may be an adapter, pairs may be lists, and any iterable may hold them."""
    logger = logging.LoggerAdapter(logging.getLogger("trunkline.net"), {})
    pairs = (pair for pair in (["X-A", "1"], ("X-B", "2")))
    trunkline.connect(URL, logger=logger, additional_headers=pairs, local_addr=["127.0.0.1", 0], max_queue=(4, 4))


@pytest.mark.parametrize(
    ("listed", "sent"),
    [
        ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
        ("http://[2001:0DB8::0]:81", "http://[2001:db8::]:81"),
        ("http://[::ffff:1.2.3.4]", "http://[::ffff:102:304]"),
        ("http://[::1]", "http://[0:0:0:0:0:0:0:1]"),
    ],
)
@pytest.mark.anyio
async def test_an_address_in_origins_is_compared_as_browsers_write_it(listed: str, sent: str) -> None:
    serving = trunkline.serve(trunkline.WebSocket.wait_closed, "127.0.0.1", 0, origins=[listed])
    async with serving as server, trunkline.connect(f"ws://127.0.0.1:{server.port}/", origin=sent) as ws:
        await ws.ping()
