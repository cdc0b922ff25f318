"""What changed between two looks at the servers."""

from __future__ import annotations

import dataclasses

from mesh.cli.sightings import changes
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
