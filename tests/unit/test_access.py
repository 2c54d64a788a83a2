"""Who may ask the agent."""

import ipaddress

import pytest

from monitoring_agent.access import Access

ACCESS = Access((ipaddress.ip_network("10.0.0.0/24"), ipaddress.ip_network("::1/128")), ("0123456789abcdef",))


@pytest.mark.parametrize("peer", ["10.0.0.7", "::1", "::ffff:10.0.0.7"])
def test_an_address_of_an_allowed_network_may_ask(peer: str) -> None:
    assert ACCESS.allows(peer)


@pytest.mark.parametrize("peer", ["10.0.1.7", "::2", "::ffff:10.0.1.7", "fe80::1%eth0", "", "unix"])
def test_any_other_may_not(peer: str) -> None:
    assert not ACCESS.allows(peer)


def test_while_the_token_is_changed_both_are_accepted_and_nothing_else() -> None:
    access = Access((), ("0123456789abcdef", "fedcba9876543210"))
    assert access.has_token("Bearer 0123456789abcdef")
    assert access.has_token("Bearer fedcba9876543210")
    assert not access.has_token("Bearer 0123456789abcdeffedcba9876543210")


def test_only_the_very_token_is_accepted() -> None:
    assert ACCESS.has_token("Bearer 0123456789abcdef")
    for wrong in ("", "0123456789abcdef", "Bearer 0123456789abcde", "Bearer 0123456789abcdeff", "Bearer \udcff", "é"):
        assert not ACCESS.has_token(wrong)
