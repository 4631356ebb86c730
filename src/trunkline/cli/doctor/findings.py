"""What the doctor finds: a finding a step, and the words for what is wrong."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Final

import trunkline
from trunkline.protocol.categories import ErrorCategory
from trunkline.protocol.wording import printable

__all__ = ["EXITS", "Finding", "Outcome", "Step", "advise", "fault"]


class Step(enum.StrEnum):
    """The steps of the way, in order."""

    URL = "url"
    PROXY = "proxy"
    DNS = "dns"
    TCP = "tcp"
    TLS = "tls"
    HANDSHAKE = "handshake"
    PING = "ping"
    CLOSE = "close"
    EXTENSION = "extension"


# The exit status for a fault in a step. 2 is argparse's for a command line that makes no sense.
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
    NOTE = "note"  # it works, but somebody should know
    FAULT = "fault"  # it does not; the walk goes no further on this way


@dataclass(frozen=True, slots=True)
class Finding:
    """One step.

    text: what was seen, in one line that is safe to print; more: a second one, or "". advice: what to look at next, ""
    if there is nothing to do. seconds: how long the step took, None where that means nothing. facts: the same as data.
    """

    step: Step
    outcome: Outcome
    text: str
    advice: str = ""
    seconds: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    more: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        shown = {"step": self.step, "outcome": self.outcome, "text": self.text, "seconds": self.seconds}
        return {**shown, "advice": self.advice, **self.facts}


_C = ErrorCategory

ADVICE: Final[dict[ErrorCategory, str]] = {
    _C.DNS_FAILED: "Is the name spelled right, and does this machine's resolver answer for other names?",
    _C.CONNECTION_REFUSED: "The machine is there, but nothing listens on this port: is the server up, the port right?",
    _C.UNREACHABLE: "No route leads there: look at the network, a VPN, a firewall.",
    _C.TIMEOUT: "Nobody says no, but nobody answers: a firewall that drops, or a server that is stuck.",
    _C.NETWORK_ERROR: "The other side, or something in between, cut the line.",
    _C.TLS_FAILED: "Does this port speak TLS at all, and a version that both sides know? Without TLS it is ws://.",
    _C.PROXY_FAILED: "The proxy would not make a tunnel; http_proxy, https_proxy, all_proxy, no_proxy say which it is.",
    _C.PROXY_AUTHENTICATION: "The proxy wants a user and a password: http://user:password@host:port, or socks5h://.",
    _C.AUTHENTICATION_FAILED: "The server wants to know who you are: --header 'Authorization: Bearer ...' sends it.",
    _C.FORBIDDEN: "The server understood and will not: an Origin it does not list (--header 'Origin: ...'), or rights.",
    _C.NOT_FOUND: "The server has nothing at this path.",
    _C.REDIRECT: "The server sends its clients elsewhere: use that address.",
    _C.THROTTLED: "Too many attempts: wait as long as the server says.",
    _C.SERVICE_UNAVAILABLE: "The server, or the one behind its front, is in trouble; it may pass.",
    _C.INVALID_UPGRADE: "Something answers, but it does not speak WebSocket here: are port and path right, does a "
    "proxy in front pass upgrades on?",
    _C.CONNECTION_FAILED: "The server will not open a WebSocket for this request.",
}

CERTIFICATE_ADVICE: Final[dict[int, str]] = {  # by OpenSSL's X509_V_ERR numbers (x509_vfy.h)
    9: "The certificate is not valid yet: compare the clocks of both machines.",
    10: "The certificate has expired: the server's owner must renew it (or a clock is wrong).",
    18: "The certificate is signed by nobody but itself: give the server one of a known authority.",
    19: "Its authority is not known on this machine: install its root, or use another certificate.",
    20: "Its authority is not known on this machine, or the server does not send the intermediate certificate.",
    62: "The certificate is for another name than the one in the URL.",
    64: "The certificate is for another address than the one in the URL.",
}


def advise(error: BaseException) -> str:
    """What to look at after `error`; "" if nobody knows."""
    if isinstance(error, trunkline.InvalidURI):
        return "An address begins with ws:// or wss://, then come host, port and path."
    cause = error.__cause__
    number = getattr(cause, "verify_code", None)
    if number is not None:
        return CERTIFICATE_ADVICE.get(number, "The certificate is not accepted on this machine.")
    category = trunkline.manager.categorize(error).category
    return ADVICE.get(category, "")


def fault(step: Step, error: BaseException, seconds: float | None = None, text: str = "") -> Finding:
    """The finding for a step that failed with `error`; text: in place of the error's own."""
    issue = trunkline.manager.categorize(error)
    facts = {"category": issue.category, "code": issue.code, "recoverable": issue.recoverable}
    shown = printable(text or str(error))
    return Finding(step, Outcome.FAULT, shown, advise(error), seconds, facts)
