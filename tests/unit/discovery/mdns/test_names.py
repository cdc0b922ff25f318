"""Service types."""

from __future__ import annotations

import pytest

from discovery import SERVICE_TYPE, DiscoveryValueError, MdnsAdvertiser, MdnsBrowser
from discovery.mdns.names import check_service_type


def test_our_own_service_type_is_one() -> None:
    assert check_service_type(SERVICE_TYPE) == SERVICE_TYPE


@pytest.mark.parametrize(
    "text",
    ["", "x", "_a._tcp", "_sixteen-letters-x._tcp.local.", "a._tcp.local.", "x._a._tcp.local.", "_--._tcp.local."],
)
def test_what_is_none_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(DiscoveryValueError, match=SERVICE_TYPE):
        check_service_type(text)
    with pytest.raises(DiscoveryValueError):
        MdnsBrowser(service_type=text)
    with pytest.raises(DiscoveryValueError):
        MdnsAdvertiser(service_type=text)
