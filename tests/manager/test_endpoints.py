"""Several endpoints of a service: the order, the change to another, and the way back."""

from typing import Any
from urllib.parse import urlsplit

import pytest

from trunkline.manager.dialing.endpoints import endpoint_name
from trunkline.manager.failure.retry import RetryPolicy
from trunkline.manager.service import Service
from trunkline.protocol.errors import HandshakeError, InvalidURI

pytestmark = pytest.mark.anyio

URLS = [f"ws://{name}.example/{{book}}" for name in "abc"]


@pytest.fixture
def line(make_line: Any) -> Any:
    return make_line(url=URLS, retry=RetryPolicy(base=0.1))


def hosts(net: Any) -> str:
    """The hosts that were dialled, one letter each."""
    return "".join(urlsplit(uri).netloc[0] for uri, _ in net.dials)


async def test_the_first_one_is_preferred(line: Any, net: Any) -> None:
    await line.start()
    assert net.dials[0][0] == "ws://a.example/b"


async def test_one_that_refuses_is_followed_by_the_next(line: Any, clock: Any, net: Any) -> None:
    net.down = {"a.example", "b.example"}
    await line.start()
    await clock.advance(30)
    assert hosts(net).startswith("ab")
    assert hosts(net).endswith("c")
    assert line.last.after == "connected"


async def test_a_lost_link_goes_to_another_endpoint(line: Any, clock: Any, net: Any) -> None:
    await line.start()
    net.link.lose()
    await clock.advance(6)
    assert hosts(net) == "ab"
    net.link.lose()
    await clock.advance(6)
    assert hosts(net) == "aba"


async def test_a_dead_one_is_left_alone_by_every_line(line: Any, clock: Any, net: Any) -> None:
    net.down = {"a.example"}
    for number in range(8):
        await line.start(str(number))
    await clock.advance(5)
    del net.dials[:]
    for number in range(8, 30):
        await line.start(str(number))
    await clock.advance(1)
    assert set(hosts(net)) == {"b"}


async def test_an_overloaded_one_is_left_alone_by_every_line(line: Any, clock: Any, net: Any) -> None:
    await line.start("1")
    net.link.lose(1013, "", "remote")
    await clock.advance(3)
    await line.start("2")
    assert hosts(net) == "abb"
    await clock.advance(60)
    await line.start("3")
    assert hosts(net) == "abba"


@pytest.mark.parametrize(("asked", "held"), [("200", 200), ("86400", 300), ("9" * 400, 300)])
async def test_retry_after_holds_for_the_endpoint_that_asked_and_no_longer_than_a_line_would_wait(
    asked: str, held: int, line: Any, clock: Any, net: Any
) -> None:
    net.script = [HandshakeError(503, [("Retry-After", asked)])]
    await line.start("1")
    await clock.advance(1)
    assert (hosts(net), line.last.after) == ("ab", "connected")
    await clock.advance(held - 2)
    await line.start("2")
    assert hosts(net) == "abb"
    await clock.advance(2)
    await line.start("3")
    assert hosts(net) == "abba"


async def test_without_another_one_retry_after_is_waited_out(make_line: Any, clock: Any, net: Any) -> None:
    line = make_line(url=URLS[:1])
    net.script = [HandshakeError(503, [("Retry-After", "200")])]
    await line.start()
    await clock.advance(199)
    assert hosts(net) == "a"
    await clock.advance(2)
    assert hosts(net) == "aa"


async def test_when_all_are_down_each_gets_its_turn(line: Any, clock: Any, net: Any) -> None:
    net.down = {"a.example", "b.example", "c.example"}
    await line.start()
    await clock.advance(300)
    assert set(hosts(net)) == {"a", "b", "c"}
    net.down = {"a.example", "b.example"}
    await clock.advance(300)
    assert line.last.after == "connected"


def test_a_service_with_several_urls() -> None:
    service = Service("notes", URLS, sends=str, receives=str)
    assert (service.url, service.urls) == (URLS[0], tuple(URLS))
    assert service.locate_all({"book": "a/b"}) == [f"ws://{name}.example/a%2Fb" for name in "abc"]
    assert service.locate({"book": "x"}) == "ws://a.example/x"


@pytest.mark.parametrize(
    ("urls", "text"), [([], "given none"), (["ws://a/{x}", "ws://b/"], "have different parameters")]
)
def test_urls_that_make_no_service(urls: list[str], text: str) -> None:
    with pytest.raises(InvalidURI, match=text):
        Service("notes", urls, sends=str, receives=str)


def test_what_lines_to_one_server_have_in_common() -> None:
    assert endpoint_name("wss://host.example/a") == endpoint_name("wss://HOST.example:443/b?c") == "host.example:443"
    assert endpoint_name("ws://localhost/", "/run/x") == "/run/x"
