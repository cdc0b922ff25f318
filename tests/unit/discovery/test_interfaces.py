"""Which interfaces are used, and which addresses come first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ifaddr
import pytest

from discovery import (
    Address,
    DiscoveryError,
    DiscoveryValueError,
    Interface,
    choose_interfaces,
    rank_addresses,
)
from discovery import interfaces as module
from discovery.interfaces import is_linked, present_interfaces, why_left_out


def adapter(name: str, index: int, *networks: str) -> Any:
    ips = []
    for network in networks:
        host, _, prefix = network.partition("/")
        ips.append(ifaddr.IP((host, 0, index) if ":" in host else host, int(prefix), name))
    return ifaddr.Adapter(name, name, ips, index)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A host whose network adapters are those of the list; all are up and can do multicast."""
    adapters: list[Any] = [adapter("lo", 1, "127.0.0.1/8", "::1/128")]
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: adapters)
    monkeypatch.setattr(module, "_flags", lambda name: 0 if name == "down0" else 0x1001)
    return adapters


def chosen(names: list[str] | None = None) -> list[str]:
    return [interface.name for interface in choose_interfaces(names)]


def test_by_default_containers_tunnels_and_what_is_down_are_left_out(host: list[Any]) -> None:
    for number, name in enumerate(["eth0", "docker0", "veth1", "br-x", "virbr0", "tun0", "wg0", "down0"], start=2):
        host.append(adapter(name, number, f"10.0.{number}.1/24"))
    host.append(adapter("bare0", 20))
    assert chosen() == ["lo", "eth0"]


def test_it_is_told_why_an_interface_is_left_out(host: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in enumerate(["eth0", "docker0", "mute0"], start=2):
        host.append(adapter(name, number, f"10.0.{number}.1/24"))
    flags = {"mute0": 0x1, "lo": 0x1}
    monkeypatch.setattr(module, "_flags", lambda name: flags.get(name, 0x1001))
    why = {interface.name: why_left_out(interface) for interface in present_interfaces()}
    assert why == {
        "lo": "",
        "eth0": "",
        "docker0": "leads to containers, virtual machines or through a tunnel",
        "mute0": "cannot do multicast",
    }


def test_link_local_addresses_count_only_if_alone(host: list[Any]) -> None:
    host.append(adapter("usb0", 2, "169.254.3.4/16", "fe80::1/64"))
    assert chosen() == ["lo", "usb0"]
    host.append(adapter("eth0", 3, "10.0.0.1/24", "fe80::2/64"))
    assert chosen() == ["lo", "eth0"]


def test_interfaces_are_named_by_name_or_by_address(host: list[Any]) -> None:
    host.append(adapter("tun0", 2, "10.8.0.1/24", "10.9.0.1/24", "fe80::1/64"))
    assert choose_interfaces(["tun0"])[0].addresses == ("10.8.0.1", "10.9.0.1", "fe80::1")
    assert choose_interfaces(["10.9.0.1"]) == [Interface("tun0", 2, ("10.9.0.1/24",))]
    assert choose_interfaces(["10.9.0.1", "fe80::1%tun0"]) == [Interface("tun0", 2, ("10.9.0.1/24", "fe80::1/64"))]


def test_an_ipv6_address_is_not_used_before_it_is_known_to_be_alone(
    host: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    host.append(adapter("eth0", 2, "10.0.0.1/24", "fd00::1/64", "fe80::1/64"))
    table = tmp_path / "if_inet6"
    monkeypatch.setattr(module, "_IPV6_ADDRESSES", str(table))
    table.write_text(
        "fd000000000000000000000000000001 02 40 00 80     eth0\n"
        "fe800000000000000000000000000001 02 40 20 c0     eth0\n"  # tentative (RFC 4862 section 5.4)
    )
    assert choose_interfaces(["eth0"])[0].addresses == ("10.0.0.1", "fd00::1")


def test_an_interface_without_a_carrier_is_not_linked(monkeypatch: pytest.MonkeyPatch) -> None:
    [lo] = choose_interfaces(["lo"])
    assert is_linked(lo)
    monkeypatch.setattr(module, "_flags", lambda name: 0x1003)
    assert not is_linked(lo)


def test_an_unknown_name_is_answered_with_the_known_ones(host: list[Any]) -> None:
    with pytest.raises(DiscoveryValueError, match=r"'eth9'.*choose one of: lo \(127.0.0.1 ::1\)\."):
        choose_interfaces(["eth9"])


def test_a_host_without_interfaces_is_an_error(host: list[Any]) -> None:
    host.clear()
    with pytest.raises(DiscoveryError, match="no network interface"):
        choose_interfaces()


def test_this_host_has_loopback() -> None:
    [interface] = choose_interfaces(["127.0.0.1"])
    assert interface.addresses == ("127.0.0.1",)


def test_addresses_are_ranked_by_how_likely_they_lead_somewhere() -> None:
    own = [Interface("lo", 1, ("127.0.0.1/8",)), Interface("eth0", 2, ("10.0.0.1/24", "fd00::1/64"))]
    ordered = ["10.0.0.9", "fd00::9", "127.0.0.1", "8.8.8.8", "a.lan", "fe80::1%eth0", "169.254.1.1", "::1"]
    addresses = [Address(host, 1) for host in ordered]
    assert rank_addresses(addresses, own) == addresses
    assert rank_addresses([*addresses[3:], *addresses[:3]], own) == addresses
    assert rank_addresses([Address("fe80::1", 1)], own) == []
