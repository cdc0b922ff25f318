"""The table of peers: whatever happened, its last word is what the last sightings say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from discovery import Address, Change, Peer, PeerAdded, PeerRemoved, PeerTable

ADDRESSES = [Address("10.0.0.1", port) for port in (1, 2, 3)]
IDS = ["p1", "p2", "p3"]
SOURCES = ["mdns", "memory"]

found = st.builds(
    Peer,
    st.sampled_from(IDS),
    st.just("name"),
    st.lists(st.sampled_from(["echo", "time"]), unique=True).map(tuple),
    st.lists(st.sampled_from(ADDRESSES), unique=True).map(tuple),
    st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["1", "2"])),
)
named = st.sampled_from(
    [Peer(f"static:{address}", "s", (), (address,), {"pk": "k"}, ("static",)) for address in ADDRESSES]
)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("saw"), st.sampled_from(SOURCES), found),
        st.tuples(st.just("lost"), st.sampled_from(SOURCES), st.sampled_from(IDS)),
        st.tuples(st.just("saw"), st.just("static"), named),
        st.tuples(st.just("lost"), st.just("static"), named.map(lambda peer: peer.peer_id)),
        st.tuples(st.just("wait"), st.just(""), st.floats(0, 5)),
    ),
    max_size=60,
)


def follow(told: dict[str, Peer], changes: list[Change]) -> None:
    """Do what a listener does with changes, and check that they are in order."""
    for change in changes:
        peer = change.peer
        assert (peer.peer_id in told) != isinstance(change, PeerAdded)
        if isinstance(change, PeerRemoved):
            assert told.pop(peer.peer_id) == peer
        else:
            assert told.get(peer.peer_id) != peer or len(changes) == 1, "what is no news comes alone"
            told[peer.peer_id] = peer


def run(table: PeerTable, script: list[tuple[str, str, object]]) -> dict[str, Peer]:
    """Play a script, let everything that is held back come out, and return what a listener then knows."""
    told: dict[str, Peer] = {}
    now = 0.0
    for step, source, what in script:
        if step == "wait" and isinstance(what, float):
            now += what
            follow(told, table.tick(now))
        elif isinstance(what, Peer):
            follow(told, table.saw(source, what, now))
        else:
            follow(told, table.lost(source, str(what), now))
        assert {peer.peer_id: peer for peer in table.peers()} == told
    while (deadline := table.deadline()) is not None:
        assert deadline > now
        now = deadline
        follow(told, table.tick(now))
    return told


@given(steps)
def test_the_last_word_is_what_the_last_sightings_say(script: list[tuple[str, str, object]]) -> None:
    told = run(PeerTable(changes_burst=1), script)
    last: dict[tuple[str, str], Peer] = {}
    for step, source, what in script:
        if step == "saw" and isinstance(what, Peer):
            last[source, what.peer_id] = what
        elif step == "lost":
            last.pop((source, str(what)), None)
    fresh = run(PeerTable(), [("saw", source, peer) for (source, _), peer in sorted(last.items(), key=str)])
    # Of several sightings the order of their addresses is the order of the sources, not that of their arrival.
    assert told == fresh


@given(steps)
def test_without_damping_no_address_belongs_to_a_static_peer_and_another(
    script: list[tuple[str, str, object]],
) -> None:
    told = run(PeerTable(changes_burst=1000), script)
    statics = [peer for peer in told.values() if peer.sources == ("static",)]
    others = {address for peer in told.values() if "static:" not in peer.peer_id for address in peer.addresses}
    assert all(peer.addresses[0] not in others for peer in statics)


@given(steps)
def test_a_small_table_stays_small(script: list[tuple[str, str, object]]) -> None:
    table = PeerTable(peers_max=1, addresses_max=1)
    told = run(table, script)
    assert sum("static:" not in peer_id for peer_id in told) <= 1
    assert all(len(peer.addresses) <= 1 for peer in told.values())
