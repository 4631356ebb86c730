"""The walk: one step after the other, each with the result of the step before."""

from __future__ import annotations

import argparse
import asyncio
import socket
import ssl
import statistics
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

import trunkline
from trunkline.cli.doctor.extensions import offer_extensions
from trunkline.cli.doctor.findings import Finding, Outcome, Step, fault
from trunkline.net.proxy import Proxy, find_proxy
from trunkline.net.route import Route
from trunkline.net.streams import name_of
from trunkline.net.uri import URI, parse_uri
from trunkline.protocol.errors import ConnectError, HandshakeError, OpenTimeout, ProxyError
from trunkline.protocol.wording import printable

__all__ = ["walk"]

PINGS: Final = 3
EXPIRES_SOON: Final = 14 * 86400  # seconds
SILENCE: Final = (
    "Every endpoint must answer a ping (RFC 6455 5.5.2): clients with a keepalive will consider the connection dead."
)
SHOWN_HEADERS: Final = ("server", "via", "retry-after", "location", "www-authenticate")


async def walk(options: argparse.Namespace, begin: Callable[[str], object]) -> AsyncIterator[Finding]:
    """Yield each step's finding. A fault is the last, unless it is an extension's.

    options: url, header (pairs), subprotocol (names), timeout (seconds a step), proxy (a URL, True or None).
    begin: called with a description of what the walk does next.
    """
    try:
        uri = parse_uri(options.url)
        proxy = find_proxy(uri, options.proxy)
    except trunkline.InvalidURI as error:
        yield fault(Step.URL, error)
        return
    path = printable(uri.target.partition("?")[0])  # the query may hold a token
    yield Finding(Step.URL, Outcome.OK, f"{uri.origin}, path {path}", facts={"url": uri.origin + path})
    sock: socket.socket | None = None
    if proxy is not None:
        yield _describe_proxy(proxy)
    else:
        begin(f"looking up {uri.host}")
        async for finding in _reach(uri, options.timeout, begin):
            sock = finding.facts.pop("sock", None)
            yield finding
            if finding.outcome is Outcome.FAULT:
                return
    begin("waiting for the server to open a WebSocket")
    async for finding in _talk(uri, sock, proxy, options, begin):
        yield finding
    if finding.step is Step.CLOSE:  # every step so far succeeded
        async for finding in offer_extensions(options, begin):
            yield finding


def _describe_proxy(proxy: Proxy) -> Finding:
    dials = "dials" if proxy.scheme in ("socks4", "socks5") else "looks the name up and dials"
    return Finding(Step.PROXY, Outcome.NOTE, f"through {proxy.where}: it {dials}", facts={"proxy": proxy.where})


async def _reach(uri: URI, timeout: float, begin: Callable[[str], object]) -> AsyncIterator[Finding]:
    """Resolve the name and connect, without a proxy. The last finding's facts hold the connected socket."""
    loop = asyncio.get_running_loop()
    where = Route(uri=uri).where
    began = time.perf_counter()
    try:
        async with asyncio.timeout(timeout):
            found = await loop.getaddrinfo(uri.host, uri.port, type=socket.SOCK_STREAM)
    except OSError as error:  # a TimeoutError is one
        yield fault(Step.DNS, ConnectError.wrap(error, "dns", where), time.perf_counter() - began)
        return
    addresses = [str(entry[4][0]) for entry in found]
    text = f"{uri.host} is " + ", ".join(addresses)
    yield Finding(Step.DNS, Outcome.OK, text, seconds=time.perf_counter() - began, facts={"addresses": addresses})
    begin(f"dialling {', '.join(addresses)} port {uri.port}")
    yield await _connect(found, where, timeout)


async def _connect(found: list[Any], where: str, timeout: float) -> Finding:
    """Try each address until one answers."""
    loop = asyncio.get_running_loop()
    failures: list[tuple[str, ConnectError]] = []
    for family, kind, protocol, _, address in found:
        began = time.perf_counter()
        sock = socket.socket(family, kind, protocol)
        sock.setblocking(False)
        try:
            async with asyncio.timeout(timeout):
                await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            failures.append((address[0], ConnectError.wrap(error, "tcp", where)))
        except BaseException:
            sock.close()
            raise
        else:
            seconds = time.perf_counter() - began
            dead = [f"{host}: {error}" for host, error in failures]
            text = f"{address[0]} port {address[1]} answers" + "".join(f"; but {line}" for line in dead)
            advice = "Clients that try that address first lose time." if dead else ""
            facts: dict[str, Any] = {"address": address[0], "failed": dead, "sock": sock}
            return Finding(Step.TCP, Outcome.NOTE if dead else Outcome.OK, text, advice, seconds, facts)
    return fault(Step.TCP, failures[-1][1], text="; ".join(f"{host}: {error}" for host, error in failures))


async def _talk(
    uri: URI,
    sock: socket.socket | None,
    proxy: Proxy | None,
    options: argparse.Namespace,
    begin: Callable[[str], object],
) -> AsyncIterator[Finding]:
    """Open a WebSocket on the connected socket or through the proxy, ping it and close it."""
    began = time.perf_counter()
    try:
        ws = await trunkline.connect(
            options.url,
            sock=sock,
            proxy=None if proxy is None else options.proxy,
            additional_headers=options.header,
            subprotocols=options.subprotocol,
            open_timeout=options.timeout,
            close_timeout=options.timeout,
            ping_interval=None,
        )
    except (trunkline.TrunklineError, OSError) as error:
        yield _refused(uri, error, time.perf_counter() - began)
        return
    try:
        if uri.secure:
            yield _describe_tls(ws)
        yield _describe_handshake(ws, time.perf_counter() - began)
        begin("waiting for a pong")
        pinged = await _ping(ws, options.timeout)
        yield pinged
        if pinged.outcome is not Outcome.FAULT:
            begin("waiting for the server's close frame")
            yield await _close(ws, options.timeout)
    finally:
        ws.abort()
        await ws.wait_closed()


def _refused(uri: URI, error: BaseException, seconds: float) -> Finding:
    """Make the finding for a handshake that failed. The error tells which step it was."""
    step = Step.HANDSHAKE
    text = ""
    if isinstance(error, ProxyError):
        step = Step.PROXY
    elif isinstance(error, ConnectError):
        step = {"tls": Step.TLS, "proxy": Step.PROXY, "dns": Step.DNS, "tcp": Step.TCP}.get(error.phase, step)
        if isinstance(error, OpenTimeout) and step is Step.HANDSHAKE:
            text = f"connected, but {uri.origin} does not answer: {error}"
    elif isinstance(error, trunkline.LocalProtocolError):
        step = Step.URL
    finding = fault(step, error, seconds, text)
    if isinstance(error, HandshakeError):
        shown = {name.lower(): _shown(name, value) for name, value in error.headers if name.lower() in SHOWN_HEADERS}
        finding.facts.update(status=error.status, headers=shown)
    return finding


def _shown(name: str, value: str) -> str:
    """Return a header value that is safe to print: a Location without user, query and fragment, which may be secret."""
    if name.lower() == "location":
        place = value.partition("#")[0].partition("?")[0]
        scheme, slashes, rest = place.partition("//")
        authority, slash, path = rest.partition("/")
        if slashes:
            authority = authority.rpartition("@")[2]
        value = f"{scheme}{slashes}{authority}{slash}{path}"
    return printable(value)


def _describe_tls(ws: trunkline.WebSocket) -> Finding:
    assert ws.transport is not None
    wrapped = ws.transport.get_extra_info("ssl_object")
    cipher, version, _ = wrapped.cipher()
    certificate = wrapped.getpeercert()
    left = ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()
    issuer = dict(pair for entry in certificate.get("issuer", ()) for pair in entry)
    who = printable(issuer.get("organizationName") or issuer.get("commonName") or "unknown")
    facts = {"version": version, "cipher": cipher, "issuer": who, "days_left": int(left // 86400)}
    text = f"{version}, {cipher}; certificate by {who}, valid for {int(left // 86400)} more days"
    if left < EXPIRES_SOON:
        return Finding(Step.TLS, Outcome.NOTE, text, "The certificate expires soon: have it renewed.", facts=facts)
    return Finding(Step.TLS, Outcome.OK, text, facts=facts)


def _describe_handshake(ws: trunkline.WebSocket, seconds: float) -> Finding:
    headers = trunkline.Headers(ws.response.headers if ws.response is not None else ())
    shown = {name: _shown(name, value) for name in SHOWN_HEADERS if (value := headers.get(name)) is not None}
    parts = ["101 Switching Protocols"]
    if ws.subprotocol:
        parts.append(f"subprotocol {printable(ws.subprotocol)}")
    parts += [f"{name} {value}" for name, value in shown.items()]
    facts = {"status": 101, "subprotocol": ws.subprotocol, "headers": shown, "transport": name_of(ws.transport)}
    parts.append(f"transport {facts['transport']}")
    return Finding(Step.HANDSHAKE, Outcome.OK, ", ".join(parts), seconds=seconds, facts=facts)


async def _ping(ws: trunkline.WebSocket, timeout: float) -> Finding:
    """Measure a few round trips. Other messages that come meanwhile do not count as an answer."""
    trips: list[float] = []
    try:
        for _ in range(PINGS):
            async with asyncio.timeout(timeout):
                trips.append(await ws.ping())
    except TimeoutError:
        received = ws.stats().bytes_received
        text = f"no pong within {timeout:g} s" + (f", although {received} bytes came" if received else "")
        return Finding(Step.PING, Outcome.FAULT, text, SILENCE, facts={"trips": trips})
    except trunkline.ConnectionClosed as error:
        return fault(Step.PING, error, text=f"the connection ended before a pong came: {error}")
    middle = statistics.median(trips)
    text = f"{len(trips)} round trips, median {middle * 1e3:.2f} ms, longest {max(trips) * 1e3:.2f} ms"
    return Finding(Step.PING, Outcome.OK, text, seconds=middle, facts={"trips": trips})


async def _close(ws: trunkline.WebSocket, timeout: float) -> Finding:
    began = time.perf_counter()
    await ws.close()
    seconds = time.perf_counter() - began
    close = ws.close_info
    assert close is not None
    if close.clean:
        return Finding(Step.CLOSE, Outcome.OK, f"closing handshake done, code {close.code}", seconds=seconds)
    text = f"the server did not answer our close frame within {timeout:g} s"
    return Finding(Step.CLOSE, Outcome.NOTE, text, "Clients that close it wait until close_timeout.", seconds)
