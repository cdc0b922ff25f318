"""Peers from a fixed list."""

from __future__ import annotations

from pathlib import Path

import pytest

from discovery import (
    Address,
    Change,
    DiscoveryError,
    DiscoveryValueError,
    Peer,
    PeerAdded,
    StaticBrowser,
    parse_servers,
    read_servers,
    static_peers,
)


@pytest.mark.parametrize("endpoint", ["tcp://10.0.0.7:5555", "10.0.0.7:5555", "tcp://10.0.0.7:5555/"])
def test_an_endpoint_makes_a_peer(endpoint: str) -> None:
    expected = Peer("static:10.0.0.7:5555", "10.0.0.7:5555", (), (Address("10.0.0.7", 5555),), {}, ("static",))
    assert static_peers([endpoint]) == [expected]


def test_attributes_say_what_the_server_cannot() -> None:
    [peer] = static_peers(["tcp://[::1]:5?proto=flp&service=echo&service=time&name=old%20one&pk=a%26b+c"])
    assert (peer.peer_id, peer.name, peer.services) == ("static:[::1]:5", "old one", ("echo", "time"))
    assert dict(peer.properties) == {"proto": "flp", "pk": "a&b+c"}


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "tcp://h",
        "udp://h:1",
        "h:1?service=a%20b",
        "h:1?x",
        "h:1?=3",
        "h:1?pk=%ff",
        "h:1?id=x",
        "h:1?name=%00",
        "::1:5",
    ],
)
def test_a_bad_endpoint_is_named_with_the_remedy(endpoint: str) -> None:
    with pytest.raises(DiscoveryValueError) as caught:
        static_peers([endpoint])
    assert str(caught.value).startswith(repr(endpoint))
    assert "; " in str(caught.value)


def test_an_endpoint_named_twice_gives_one_peer() -> None:
    assert len(static_peers(["h:1", "tcp://h:1", "h:2"])) == 2


def test_a_host_name_of_any_length_has_a_name_that_fits() -> None:
    [peer] = static_peers(["é" * 100 + ":1"])
    assert peer.addresses == (Address("é" * 100, 1),)


def test_an_environment_variable_has_commas_or_spaces() -> None:
    assert [peer.name for peer in parse_servers(" a:1, b:2\tc:3\n,,")] == ["a:1", "b:2", "c:3"]
    assert parse_servers("") == []


def test_a_file_has_one_server_a_line_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "servers"
    path.write_text("# ours\n\na:1   # the first\n  tcp://b:2?pk=x#y\n")
    assert [(peer.name, dict(peer.properties)) for peer in read_servers(path)] == [
        ("a:1", {}),
        ("b:2", {"pk": "x#y"}),
    ]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DiscoveryError, match="No such file"):
        read_servers(tmp_path / "none")
    (tmp_path / "bad").write_bytes(b"\xff")
    with pytest.raises(DiscoveryError, match="UTF-8"):
        read_servers(tmp_path / "bad")


def test_a_static_browser_reports_its_peers_once() -> None:
    peers = static_peers(["a:1", "b:2"])
    seen: list[Change] = []
    with StaticBrowser(peers) as browser:
        browser.start(seen.append)
    browser.stop()
    assert seen == [PeerAdded(peer) for peer in peers]
