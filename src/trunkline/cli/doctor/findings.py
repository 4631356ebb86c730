"""Findings: one for each step, with the advice for what is wrong."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Final

import trunkline
from trunkline.protocol.categories import ErrorCategory
from trunkline.protocol.wording import printable

__all__ = ["EXITS", "Finding", "Outcome", "Step", "advise", "fault"]


class Step(enum.StrEnum):
    """The steps, in order."""

    URL = "url"
    PROXY = "proxy"
    DNS = "dns"
    TCP = "tcp"
    TLS = "tls"
    HANDSHAKE = "handshake"
    PING = "ping"
    CLOSE = "close"
    EXTENSION = "extension"


# The exit status for a fault in each step. 2 is argparse's, for invalid arguments.
EXITS: Final[dict[Step, int]] = {
    Step.URL: 2,
    Step.DNS: 10,
    Step.TCP: 11,
    Step.PROXY: 12,
    Step.TLS: 13,
    Step.HANDSHAKE: 14,
    Step.PING: 15,
    Step.CLOSE: 16,
    Step.EXTENSION: 17,
}


class Outcome(enum.StrEnum):
    """How a step went."""

    OK = "ok"
    NOTE = "note"  # it works, but has a problem worth knowing
    FAULT = "fault"  # it does not work; the walk ends here


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one step.

    text: what was seen, in one line that is safe to print. more: a second such line, or "". advice: what to check next,
    "" if there is nothing to do. seconds: how long the step took, None if that has no meaning. facts: the same as data.
    """

    step: Step
    outcome: Outcome
    text: str
    advice: str = ""
    seconds: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    more: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return the finding for JSON."""
        shown = {"step": self.step, "outcome": self.outcome, "text": self.text, "seconds": self.seconds}
        return {**shown, "advice": self.advice, **self.facts}


_C = ErrorCategory

ADVICE: Final[dict[ErrorCategory, str]] = {
    _C.DNS_FAILED: "Is the name spelled right, and does this machine's resolver answer for other names?",
    _C.CONNECTION_REFUSED: "Nothing listens on this port: is the server running, and is the port right?",
    _C.UNREACHABLE: "There is no route to the host: check the network, the VPN and the firewall.",
    _C.TIMEOUT: "No answer, and no refusal either: a firewall may drop the traffic, or the server is stuck.",
    _C.NETWORK_ERROR: "The server, or something in between, cut the connection.",
    _C.TLS_FAILED: "Does this port speak TLS at all, in a version that both sides support? Without TLS, use ws://.",
    _C.PROXY_FAILED: "The proxy did not open a tunnel. It comes from http_proxy, https_proxy, all_proxy and no_proxy.",
    _C.PROXY_AUTHENTICATION: "The proxy needs a user and a password: http://user:password@host:port, or socks5h://.",
    _C.AUTHENTICATION_FAILED: "The server needs credentials: send them with --header 'Authorization: Bearer ...'.",
    _C.FORBIDDEN: "The server does not allow this: is the Origin (--header 'Origin: ...') or the user not permitted?",
    _C.NOT_FOUND: "The server has nothing at this path.",
    _C.REDIRECT: "The server redirects its clients: use the new address.",
    _C.THROTTLED: "Too many attempts: wait as long as the server says.",
    _C.SERVICE_UNAVAILABLE: "The server, or one behind it, is down or overloaded: try again later.",
    _C.INVALID_UPGRADE: "Something answers, but it does not speak WebSocket here: are port and path right, does a "
    "proxy in front pass upgrades on?",
    _C.CONNECTION_FAILED: "The server will not open a WebSocket for this request.",
}

CERTIFICATE_ADVICE: Final[dict[int, str]] = {  # by OpenSSL's X509_V_ERR numbers (x509_vfy.h)
    9: "The certificate is not valid yet: compare the clocks of both machines.",
    10: "The certificate has expired: the server's owner must renew it (or a clock is wrong).",
    18: "The certificate is self-signed: give the server one from a known authority.",
    19: "Its authority is not known on this machine: install its root, or use another certificate.",
    20: "Its authority is not known on this machine, or the server does not send the intermediate certificate.",
    62: "The certificate is for another name than the one in the URL.",
    64: "The certificate is for another address than the one in the URL.",
}


def advise(error: BaseException) -> str:
    """Return what to check after `error`, or "" if there is no advice."""
    if isinstance(error, trunkline.InvalidURI):
        return "A URL begins with ws:// or wss://, followed by host, port and path."
    cause = error.__cause__
    number = getattr(cause, "verify_code", None)
    if number is not None:
        return CERTIFICATE_ADVICE.get(number, "The certificate is not accepted on this machine.")
    category = trunkline.manager.categorize(error).category
    return ADVICE.get(category, "")


def fault(step: Step, error: BaseException, seconds: float | None = None, text: str = "") -> Finding:
    """Make the finding for a step that failed with `error`. text: replaces the error's own text."""
    issue = trunkline.manager.categorize(error)
    facts = {"category": issue.category, "code": issue.code, "recoverable": issue.recoverable}
    shown = printable(text or str(error))
    return Finding(step, Outcome.FAULT, shown, advise(error), seconds, facts)
