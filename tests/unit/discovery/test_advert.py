"""What may be advertised."""

from __future__ import annotations

import pytest

from discovery import Address, DiscoveryError, DiscoveryValueError, Peer
from discovery.advert import check_start, check_update, is_wildcard, resolved_addresses


def peer(*addresses: str, name: str = "n") -> Peer:
    return Peer("p1", name, addresses=tuple(map(Address.parse, addresses)))


def test_a_wildcard_stands_for_our_own_addresses() -> None:
    own = ("10.0.0.7", "fd00::7")
    assert resolved_addresses(peer("0.0.0.0:5"), own) == (Address("10.0.0.7", 5),)
    assert resolved_addresses(peer("*:5"), own) == (Address("10.0.0.7", 5), Address("fd00::7", 5))
    assert resolved_addresses(peer("[::]:5", "10.0.0.7:5"), own) == (
        Address("10.0.0.7", 5),
        Address("fd00::7", 5),
    )
    assert is_wildcard(peer("*:5"))
    assert not is_wildcard(peer("10.0.0.7:5"))


@pytest.mark.parametrize("addresses", [(), ("h:5",), ("10.0.0.1:5", "10.0.0.2:6")])
def test_addresses_that_one_srv_record_cannot_say_are_refused(addresses: tuple[str, ...]) -> None:
    with pytest.raises(DiscoveryValueError):
        resolved_addresses(peer(*addresses), ())


def test_an_advertiser_starts_once_and_keeps_its_peer() -> None:
    check_start(None, peer())
    check_update(peer(), peer("h:1"))
    with pytest.raises(DiscoveryError, match="call stop"):
        check_start(peer(), peer())
    with pytest.raises(DiscoveryError, match="call start"):
        check_update(None, peer())
    with pytest.raises(DiscoveryValueError, match="keep id and name"):
        check_update(peer(), peer(name="other"))
