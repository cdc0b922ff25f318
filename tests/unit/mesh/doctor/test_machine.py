"""What this host says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from discovery import choose_interfaces
from mesh.doctor import machine as module
from mesh.doctor.machine import neighbours, observe_machine


def test_where_no_rules_can_be_read_none_are_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    firewall = module._firewall()
    assert not firewall.readable
    assert firewall.suspects == ()


def test_this_host_has_loopback_and_may_open_files() -> None:
    machine = observe_machine(choose_interfaces(["127.0.0.1"]))
    [lo] = [link for link in machine.links if link.name == "lo"]
    assert lo.used
    assert lo.is_loopback
    assert lo.holds("127.9.9.9")
    assert not lo.holds("10.0.0.1")
    assert not lo.holds("a.lan")
    assert not lo.is_wireless
    assert "127.0.0.1" in machine.hosts
    assert machine.descriptors >= 24
    assert all(not link.used for link in machine.links if link is not lo)


def test_neighbours_are_read_with_whether_they_answered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    head = "IP address       HW type     Flags       HW address            Mask     Device"
    rows = ["10.0.0.1 0x1 0x2 02:fc:00:00:00:05 * eth0", "10.0.0.9 0x1 0x0 00:00:00:00:00:00 * eth0", "odd"]
    monkeypatch.setattr(module, "_lines", lambda path: [head, *rows] if path == "/proc/net/arp" else [])
    assert neighbours() == {"10.0.0.1": True, "10.0.0.9": False}
    monkeypatch.undo()
    assert module._lines(str(tmp_path / "none")) == []
