"""A browser that begins with whom it knew last, and only later asks who is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from discovery import (
    Address,
    Browser,
    Change,
    DiscoveryError,
    MemoryHub,
    Peer,
    PeerAdded,
    PeerCache,
    PeerRemoved,
    PeerUpdated,
    WarmBrowser,
    warm,
)
from tests.helpers.wait import wait_until

A, B, C = (Peer(key, key, ("echo",), (Address("10.0.0.1", port),), {}) for port, key in enumerate("abc", 1))


def cached(peer: Peer) -> Peer:
    return replace(peer, sources=("cache",))


class Lan:
    """A network with a cache, and the browser that is made when it is needed."""

    def __init__(self, folder: Path) -> None:
        self.hub = MemoryHub()
        self.cache = PeerCache(str(folder), "test")
        self.made = 0
        self.problem: DiscoveryError | None = None
        self.changes: list[Change] = []
        self.browser = WarmBrowser(self.make, self.cache, lambda peer: peer != C, lambda peer: "echo" in peer.services)

    def make(self) -> Browser:
        self.made += 1
        if self.problem is not None:
            raise self.problem
        return self.hub.browser()

    def remembered(self) -> list[Peer]:
        return [each.peer for each in self.cache.read()]


@pytest.fixture
def lan(tmp_path: Path) -> Iterator[Lan]:
    lan = Lan(tmp_path)
    with lan.browser:
        yield lan


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the other browser not start by itself."""
    monkeypatch.setattr(warm, "_PATIENCE_S", 60.0)


def test_with_nothing_to_propose_the_other_browser_starts_at_once_and_is_remembered(lan: Lan) -> None:
    lan.cache.write([replace(B, services=("other",))])
    lan.hub.put(A)
    lan.hub.put(C)
    lan.browser.start(lan.changes.append)
    assert lan.changes == [PeerAdded(A), PeerAdded(C)]
    lan.browser.stop()
    assert lan.remembered() == [A, replace(B, services=("other",))]


@pytest.mark.usefixtures("patient")
def test_who_is_content_with_a_proposal_pays_for_nothing_else(lan: Lan) -> None:
    lan.cache.write([A])
    lan.browser.start(lan.changes.append)
    assert lan.changes == [PeerAdded(cached(A))]
    lan.browser.stop()
    lan.browser.stop()
    assert lan.made == 0
    assert lan.remembered() == [A]


def test_the_other_browser_starts_a_moment_later(lan: Lan) -> None:
    lan.cache.write([A])
    lan.hub.put(B)
    lan.browser.start(lan.changes.append)
    wait_until(lambda: lan.changes == [PeerAdded(cached(A)), PeerAdded(B)], what="B to be found")


@pytest.mark.usefixtures("patient")
def test_a_search_starts_the_other_browser_at_once_and_then_reaches_it(
    lan: Lan, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches: list[Browser] = []
    monkeypatch.setattr("discovery.memory.MemoryBrowser.search", lambda browser: searches.append(browser))
    lan.cache.write([A])
    lan.browser.search()
    lan.browser.start(lan.changes.append)
    assert lan.made == 0
    lan.hub.put(A)
    lan.browser.search()
    wait_until(lambda: lan.changes == [PeerAdded(cached(A)), PeerUpdated(A)], what="A to be confirmed")
    wait_until(lambda: lan.browser._browser is not None, what="the other browser")
    lan.browser.search()
    assert len(searches) == 1


def test_who_was_proposed_and_is_not_seen_is_taken_back_and_forgotten(
    lan: Lan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warm, "_DOUBT_S", 0.01)
    lan.cache.write([A, B])
    lan.hub.put(B)
    lan.browser.start(lan.changes.append)
    wait_until(lambda: PeerRemoved(cached(A)) in lan.changes, what="A to be taken back")
    assert PeerRemoved(cached(B)) not in lan.changes
    lan.browser.stop()
    assert lan.remembered() == [B]


def test_who_says_goodbye_is_forgotten(lan: Lan) -> None:
    lan.cache.write([A])
    lan.hub.put(A)
    lan.browser.start(lan.changes.append)
    wait_until(lambda: PeerUpdated(A) in lan.changes, what="A to be confirmed")
    lan.hub.drop("a")
    assert lan.changes[-1] == PeerRemoved(A)
    lan.browser.stop()
    assert lan.remembered() == []


def test_eight_are_proposed_at_most(lan: Lan) -> None:
    lan.cache.write([replace(A, peer_id=f"a{number}") for number in range(20)])
    lan.browser.start(lan.changes.append)
    assert [change.peer.peer_id for change in lan.changes] == [f"a{number}" for number in range(8)]


def test_a_browser_that_cannot_start_is_an_error_at_once_or_told_later(lan: Lan) -> None:
    lan.problem = DiscoveryError("eth7", "is no interface", "choose another")
    with pytest.raises(DiscoveryError, match="eth7"):
        lan.browser.start(lan.changes.append)
    lan.cache.write([A])
    lan.browser.start(lan.changes.append)
    wait_until(lambda: lan.browser.failure is lan.problem, what="the failure to be told")
    lan.browser.stop()
    assert lan.remembered() == [A]
    lan.problem = None
    lan.browser.start(lan.changes.append)
    assert lan.browser.failure is None


def test_it_is_started_once(lan: Lan) -> None:
    lan.browser.start(lan.changes.append)
    with pytest.raises(DiscoveryError, match="browsed already"):
        lan.browser.start(lan.changes.append)
