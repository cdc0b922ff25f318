"""What changed between two looks at the servers."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import cast

import pytest

from mesh import Client, ServerView
from mesh.cli.sightings import changes, settled
from tests.helpers.top import view

CALC = view(peer_id="c1", address="tcp://10.0.0.1:5")
GEO = dataclasses.replace(CALC, name="geo-1", peer_id="g1", address="tcp://10.0.0.2:5")


def test_servers_come_and_leave() -> None:
    assert changes([], [CALC]) == [("+", CALC)]
    assert changes([CALC], [GEO]) == [("-", CALC), ("+", GEO)]
    assert changes([CALC, GEO], [GEO, CALC]) == []


def test_a_state_is_a_change_and_a_figure_is_none() -> None:
    dead = dataclasses.replace(CALC, state="dead")
    assert changes([CALC], [dead]) == [("=", dead)]
    assert changes([CALC], [dataclasses.replace(CALC, rtt_s=0.5, answered=7, last_seen_s=3.0, load=1)]) == []


def test_a_server_that_says_its_id_is_still_the_same() -> None:
    named = dataclasses.replace(CALC, peer_id="static:10.0.0.1:5", name="10.0.0.1:5")
    assert changes([named, GEO], [CALC, GEO]) == [("=", CALC)]


def test_servers_without_an_address_are_told_apart() -> None:
    bare = [dataclasses.replace(server, address="") for server in (CALC, GEO)]
    assert changes(bare[:1], bare[1:]) == [("-", bare[0]), ("+", bare[1])]


class Seer:
    """Stands for a client, with a clock that `sleep` turns."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *sights: tuple[float, list[ServerView]]) -> None:
        self.now = 0.0
        self._sights = sights
        clock = SimpleNamespace(monotonic=lambda: self.now, sleep=self._sleep)
        monkeypatch.setattr("mesh.cli.sightings.time", clock)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def servers(self) -> list[ServerView]:
        """Return the latest of the sights that have come."""
        return [servers for at, servers in self._sights if at <= self.now][-1]

    def settle(self, wait_s: float | None, discovers: bool) -> tuple[list[ServerView], float]:
        """Return what was seen in the end, and when."""
        return settled(cast(Client, self), wait_s, discovers), self.now


def test_others_may_appear_for_half_a_second_where_they_are_discovered(monkeypatch: pytest.MonkeyPatch) -> None:
    seer = Seer(monkeypatch, (0.0, []), (0.3, [CALC]), (0.7, [CALC, GEO]))
    servers, at = seer.settle(None, discovers=True)
    assert servers == [CALC, GEO]
    assert at == pytest.approx(1.2, abs=0.05)
    busy = Seer(monkeypatch, *((number / 10, [CALC] * (number % 2)) for number in range(99)))
    assert busy.settle(None, discovers=True)[1] == pytest.approx(3.0, abs=0.05)
    assert Seer(monkeypatch, (0.0, [])).settle(0.2, discovers=True)[1] == pytest.approx(0.2, abs=0.05)


def test_servers_that_were_named_need_no_waiting_but_for_their_dials(monkeypatch: pytest.MonkeyPatch) -> None:
    dialled = dataclasses.replace(CALC, state="connecting")
    assert Seer(monkeypatch, (0.0, [CALC])).settle(None, discovers=False)[1] == pytest.approx(0.1, abs=0.05)
    servers, at = Seer(monkeypatch, (0.0, [dialled]), (0.4, [CALC])).settle(None, discovers=False)
    assert servers == [CALC]
    assert at == pytest.approx(0.5, abs=0.05)
