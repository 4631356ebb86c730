"""The extension step: offers each variant of permessage-deflate in an opening handshake of its own."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

import trunkline
from trunkline.cli.doctor.findings import Finding, Outcome, Step, fault
from trunkline.protocol.deflate import Agreement, PerMessageDeflate
from trunkline.protocol.wording import printable

__all__ = ["offer_extensions"]

OFFERS: Final = (
    trunkline.Deflate(),
    trunkline.Deflate(server_no_context_takeover=True),
    trunkline.Deflate(client_no_context_takeover=True),
    trunkline.Deflate(server_max_window_bits=10),
    trunkline.Deflate(client_max_window_bits=10),
)

BREAKS: Final = (
    "Without the offer, the connection opened. A server must decline what it does not want and go on (RFC 7692 5.1). "
    "Browsers always offer permessage-deflate, so they cannot connect."
)
DEAD: Final = "The connection opened with it, but does not work: something in between cannot handle what was agreed."


async def offer_extensions(options: argparse.Namespace, begin: Callable[[str], object]) -> AsyncIterator[Finding]:
    """Yield a finding for each offer: accepted and on what terms, declined, or failed."""
    for offer in OFFERS:
        name = f"{PerMessageDeflate.name}; {PerMessageDeflate(offer).offer()}"
        begin(f"offering {name}")
        yield await _offer(offer, name, options)


async def _offer(offer: trunkline.Deflate, name: str, options: argparse.Namespace) -> Finding:
    began = time.perf_counter()
    try:
        ws = await trunkline.connect(
            options.url,
            proxy=options.proxy,
            additional_headers=options.header,
            subprotocols=options.subprotocol,
            compression=offer,
            open_timeout=options.timeout,
            close_timeout=options.timeout,
            ping_interval=None,
        )
    except (trunkline.TrunklineError, OSError) as error:
        found = fault(
            Step.EXTENSION, error, time.perf_counter() - began, f"the server fails when offered {name}: {error}"
        )
        return dataclasses.replace(found, advice=BREAKS, facts={**found.facts, "offer": name})
    seconds = time.perf_counter() - began
    try:
        return await _judge(ws, name, seconds, options.timeout)
    finally:
        ws.abort()
        await ws.wait_closed()


async def _judge(ws: trunkline.WebSocket, name: str, seconds: float, timeout: float) -> Finding:
    """Report what the server answered, and whether the connection works with it."""
    agreed = "" if ws.agreement is None else _terms(ws.agreement)
    facts = {"offer": name, "accepted": ws.agreement is not None, "agreed": agreed}
    if ws.agreement is None:
        return Finding(Step.EXTENSION, Outcome.OK, f"{name}: declined", seconds=seconds, facts=facts)
    try:
        async with asyncio.timeout(timeout):
            await ws.ping()
            await ws.close()
    except (TimeoutError, trunkline.ConnectionClosed) as error:
        why = "no pong" if isinstance(error, TimeoutError) else str(error)
        return Finding(
            Step.EXTENSION, Outcome.FAULT, f"the connection fails with {name}: {printable(why)}", DEAD, seconds, facts
        )
    more = f"with {agreed}"
    return Finding(Step.EXTENSION, Outcome.OK, f"{name}: accepted", seconds=seconds, facts=facts, more=more)


def _terms(agreement: Agreement) -> str:
    """Return the agreed parameters, by their names in RFC 7692."""
    terms = [] if agreement.server_keeps else ["server_no_context_takeover"]
    terms += [] if agreement.client_keeps else ["client_no_context_takeover"]
    bits = f"server_max_window_bits={agreement.server_bits}", f"client_max_window_bits={agreement.client_bits}"
    return "; ".join([*terms, *bits])
