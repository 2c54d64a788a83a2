"""How people write where an agent is."""

import pytest

from monitoring_agent.shared.address import Address, expand, join, parse_address

GOOD = {
    "10.0.0.5": Address("10.0.0.5"),
    "10.0.0.5:81": Address("10.0.0.5", 81),
    "web-1.example": Address("web-1.example"),
    "WEB-1:5001": Address("web-1", 5001),
    "::1": Address("::1"),
    "[::1]:5000": Address("::1", 5000),
    "[fe80:0::1]": Address("fe80::1"),
    "[fe80::1%eth0.5]:81": Address("fe80::1%eth0.5", 81),
    "http://web:5000/": Address("web", 5000),
    "https://[2001:db8::1]:443": Address("2001:db8::1", 443, tls=True),
}

BAD = {
    "": "neither an IP address nor a host name",
    "10.0.0.256": "neither an IP address nor a host name",
    "10.0.0": "neither an IP address nor a host name",
    "-web": "neither an IP address nor a host name",
    "we b": "neither an IP address nor a host name",
    "web\n": "neither an IP address nor a host name",
    "web:": "a port is a number from 1 to 65535",
    "web:0": "a port is a number from 1 to 65535",
    "web:٣": "a port is a number from 1 to 65535",
    "web:5000x": "a port is a number from 1 to 65535",
    "[web]:5000": "brackets around something that is not an IPv6 address",
    "http://web/metrics": "has a path",
    "http://user@web": "neither an IP address nor a host name",
    "[fe80::1%é]:5000": "that is no name of one",
    "fe80::1%": "that is no name of one",
    "1:2:3": "neither an IP address nor a host name",
}


@pytest.mark.parametrize("text", GOOD)
def test_an_address_is_understood(text: str) -> None:
    assert parse_address(text) == GOOD[text]


@pytest.mark.parametrize("text", BAD)
def test_a_wrong_address_is_refused_with_the_reason(text: str) -> None:
    with pytest.raises(ValueError, match=BAD[text]):
        parse_address(text)


def test_a_network_means_its_hosts_without_its_own_and_its_broadcast_address() -> None:
    assert [at.host for at in expand("10.0.0.0/29")] == [f"10.0.0.{number}" for number in range(1, 7)]
    assert [at.host for at in expand("2001:db8::/127")] == ["2001:db8::", "2001:db8::1"]


def test_a_network_too_large_to_ask_is_refused() -> None:
    with pytest.raises(ValueError, match="'10.0.0.0/8' has 16777216 addresses; at most 65536"):
        expand("10.0.0.0/8")


def test_names_of_agents_have_brackets_around_ipv6() -> None:
    assert (join("10.0.0.1", 5000), join("::1", 5000)) == ("10.0.0.1:5000", "[::1]:5000")
