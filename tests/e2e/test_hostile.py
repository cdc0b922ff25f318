"""Hostile peers harm neither a live server nor a live client: a share of what `python -m scripts.hostile` does.

Everything is on loopback; an honest client calls all the time, and none of its calls may fail.
"""

from __future__ import annotations

import contextlib
import random
import sys
import time
from collections.abc import Iterator

import pytest

from discovery import Change, MdnsBrowser
from discovery.mdns import gate
from discovery.mdns.link import acquire, release
from scripts.fleet import LOOPBACK
from scripts.hostile_attacks import ATTACKS
from scripts.hostile_client import meet
from scripts.hostile_discovery import flood
from scripts.hostile_server import Prey, fuzz
from tests.helpers import PATIENCE_S, wait_until
from tests.helpers.process import spawn
from tests.helpers.rogue import Multicast, Rogue
from tests.helpers.zmtp import MORE, dial, frame

pytestmark = [pytest.mark.e2e, pytest.mark.network, pytest.mark.slow]

SEED = 7
GROWTH_MB_MAX = 16.0


def assert_harmless(prey: Prey) -> None:
    assert prey.felt.errors == []
    assert prey.felt.calls > 0


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_fuzzed_messages_harm_no_server(kind: str) -> None:
    with Prey(kind) as prey:
        fuzz(prey, 1500, SEED)
        prey.calm(GROWTH_MB_MAX / 2)
    assert_harmless(prey)
    assert prey.felt.grown_mb <= GROWTH_MB_MAX


def test_one_attack_after_the_other_harms_no_server() -> None:
    with Prey("async") as prey:
        for name in ("greetings", "giants", "mid-message", "others", "values"):
            ATTACKS[name](prey, random.Random(SEED))
            prey.answers()
        prey.calm(GROWTH_MB_MAX / 2)
    assert_harmless(prey)
    assert prey.felt.grown_mb <= GROWTH_MB_MAX


def test_a_message_that_never_ends_is_cut_and_its_memory_given_back() -> None:
    with Prey("sync") as prey:
        octets = frame(b"a", MORE) * 20_000
        with dial(prey.port, b"DEALER") as bomber:
            descriptors = prey.descriptors()
            bomber.sock.settimeout(0.2)
            give_up_at = time.monotonic() + PATIENCE_S
            with contextlib.suppress(ConnectionError):
                while prey.descriptors() >= descriptors:
                    assert time.monotonic() < give_up_at, "nobody cuts it"
                    with contextlib.suppress(TimeoutError):
                        bomber.sock.sendall(octets)
                    prey.resident_mb()
        prey.calm(GROWTH_MB_MAX / 2)
    assert_harmless(prey)
    assert prey.felt.peak_mb - prey.felt.before_mb < 200.0  # 400 MB a second without the cut
    assert prey.felt.grown_mb <= GROWTH_MB_MAX


def test_silent_connections_are_shed_before_the_descriptors_run_out() -> None:
    with Prey("sync", descriptors=300) as prey, contextlib.ExitStack() as stack:
        for _ in range(600):
            stack.enter_context(dial(prey.port, b"DEALER"))
        prey.answers()
        wait_until(lambda: prey.descriptors() < 0.8 * 300)
    assert_harmless(prey)


@pytest.fixture
def honest() -> Iterator[Prey]:
    with Prey("sync") as prey:
        yield prey


@pytest.mark.parametrize("name", ["garbage", "wrong-ids", "absurd", "refuses", "pongs"])
def test_a_client_that_meets_a_villain_loses_no_call(honest: Prey, name: str) -> None:
    felt, _ = meet(name, honest.endpoint, SEED, 1.0)
    assert felt.errors == []
    assert felt.calls > 0
    assert felt.grown_mb <= GROWTH_MB_MAX


def test_an_honest_server_is_found_though_answers_from_its_address_are_shut_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gate, "_SHUT_OUT_S", (60.0, 60.0))  # so that it is not found because the flood was let in again
    rogue = Rogue(random.Random(SEED), "default", [], 9)
    found: list[Change] = []
    link = acquire([LOOPBACK])
    with Multicast() as multicast, MdnsBrowser([LOOPBACK]) as browser:
        browser.start(found.append)

        def is_shut_out() -> bool:
            for _ in range(50):
                multicast.send(rogue.new_name())
            return link.gate.misses_answers

        wait_until(is_shut_out)
        release(link)
        with spawn([sys.executable, "-m", "scripts.hostile_prey", "sync", "default"]) as server:
            server.wait_line("^tcp://")
            wait_until(lambda: any(not change.peer.name.startswith("rogue") for change in found))


def test_false_advertisements_get_no_call_and_cost_no_healthy_server() -> None:
    felt = flood(1.5, 1000.0, SEED)
    assert felt.felt.errors == []
    assert felt.healthy_alive == 3
    assert felt.healthy_used == 3
    assert felt.rogue_calls == 0
    assert felt.felt.grown_mb <= 32.0
