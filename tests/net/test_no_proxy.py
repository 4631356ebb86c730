"""What no_proxy excludes: entries as curl, Go, requests and urllib read them."""

import pytest

from trunkline.net.bypass import is_bypassed

# no_proxy, then hosts that bypass the proxy, then hosts that do not; on port 443 unless they name one.
ENTRIES: dict[str, tuple[str, str, str]] = {
    "nothing": ("", "", "example.com 127.0.0.1 ::1"),
    "everything": ("*", "example.com 127.0.0.1 ::1", ""),
    "everything among others": ("a.test, *", "example.com ::1", ""),
    "a name": (
        "example.com",
        "example.com www.example.com a.b.example.com",
        "com notexample.com example.com.a.test",
    ),
    "a name with a dot before it": (".example.com", "example.com www.example.com", "notexample.com"),
    "subdomains": ("*.example.com", "www.example.com a.b.example.com", "example.com notexample.com"),
    "a name in capitals": ("EXAMPLE.com", "example.com www.Example.COM", "example.org"),
    "a name with a dot behind it": ("example.com.", "example.com example.com. www.example.com.", "example.org."),
    "a host with a dot behind it": ("example.com", "example.com.", "example.org."),
    "one label": ("localhost", "localhost a.localhost", "local host"),
    "a name beyond ASCII": ("bücher.example", "xn--bcher-kva.example www.xn--bcher-kva.example", "bcher.example"),
    "an address": ("192.0.2.7", "192.0.2.7", "192.0.2.70 2.192.0.2.7.test 92.0.2.7"),
    "the end of an address": ("0.2.7", "", "192.0.2.7"),
    "a block": ("10.0.0.0/8", "10.0.0.1 10.255.255.255", "11.0.0.1 10.example 10.0.0.1.example ::1"),
    "a block that is not at its start": ("10.1.2.3/8", "10.200.0.1", "11.0.0.1"),
    "a block of one": ("192.0.2.7/32", "192.0.2.7", "192.0.2.8"),
    "all of IPv4": ("0.0.0.0/0", "8.8.8.8", "::1 example.com"),
    "a block that is none": ("10.0.0.0/33,10.0.0.0/x", "", "10.0.0.1"),
    "an IPv6 address": ("2001:db8::7", "2001:db8::7 2001:0DB8:0::7", "2001:db8::8"),
    "one in brackets": ("[2001:db8::7]", "2001:db8::7", "2001:db8::8"),
    "an IPv6 block": ("fd00::/8", "fd12:3456::1", "fe80::1 10.0.0.1"),
    "one with brackets": ("[fd00::]/8", "fd12:3456::1", "fe80::1"),
    "IPv4 in IPv6": ("192.0.2.0/24", "::ffff:192.0.2.7", "::ffff:192.0.3.7"),
    "a zone": ("fe80::1", "fe80::1%eth0", "fe80::2%eth0"),
    "a list with commas": ("a.test,b.test", "a.test b.test", "c.test"),
    "a list with spaces": (" a.test  b.test\t,c.test,, ", "a.test b.test c.test", "d.test"),
    "a port": ("example.com:8443", "example.com:8443 www.example.com:8443", "example.com example.com:80"),
    "a port of subdomains": ("*.example.com:8443", "www.example.com:8443", "www.example.com example.com:8443"),
    "a port of an address": ("192.0.2.7:8443", "192.0.2.7:8443", "192.0.2.7"),
    "a port of IPv6": ("[::1]:8443", "[::1]:8443", "::1"),
    "a port of everything": ("*:8443", "example.com:8443 [::1]:8443", "example.com ::1"),
    "a port that is none": ("example.com:x,example.com:,a.test:999999", "", "example.com a.test"),
    "a bracket that does not close": ("[::1", "", "::1"),
    "dots alone": (".,*.,..", "", "example.com"),
    "a URL": ("http://example.com", "", "example.com"),
}


def split(host: str) -> tuple[str, int]:
    if host.startswith("["):
        address, _, port = host[1:].partition("]:")
        return address, int(port)
    if host.count(":") == 1:
        name, _, port = host.partition(":")
        return name, int(port)
    return host, 443


@pytest.mark.parametrize(("no_proxy", "past", "through"), ENTRIES.values(), ids=ENTRIES)
def test_an_entry(no_proxy: str, past: str, through: str) -> None:
    assert [host for host in past.split() if not is_bypassed(*split(host), no_proxy)] == []
    assert [host for host in through.split() if is_bypassed(*split(host), no_proxy)] == []
