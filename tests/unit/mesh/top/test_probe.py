"""The probe: it asks who is alive, waits for nobody who is silent, and forgets what is no longer true."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import cast

from mesh import AsyncClient, CallTimeout, NoServer, ServerView
from mesh.top.board import Snapshot
from mesh.top.probe import Probe
from tests.helpers.top import answer, view


class Servers:
    """Stands for a client: a list of servers, and what each answers; None is silence."""

    def __init__(self, *views: ServerView) -> None:
        self.views = list(views)
        self.answers: Mapping[str, object] = {}
        self.asked: list[str] = []

    def servers(self) -> list[ServerView]:
        return self.views

    async def call(self, method: str, *, peer: str, **options: float) -> object:
        assert method == "mesh.stats"
        self.asked.append(peer)
        said = self.answers.get(peer)
        if said is None:
            await asyncio.sleep(60.0)
        if isinstance(said, Exception):
            raise said
        return said

    async def wait_for(self, count: int, **options: float) -> list[ServerView]:
        raise NoServer("nobody")


def looks(servers: Servers, *answers: Mapping[str, object]) -> list[Snapshot]:
    """Look once for each of these sets of answers."""

    async def look_often() -> list[Snapshot]:
        probe = Probe(cast("AsyncClient", servers))
        seen = []
        for servers.answers in answers:
            seen.append(await probe.look())
        await probe.close()
        return seen

    return asyncio.run(look_often())


def test_only_who_lives_and_speaks_mesh_is_asked() -> None:
    servers = Servers(
        view(peer_id="alive"),
        view(peer_id="suspect", state="suspect"),
        view(peer_id="dead", state="waiting"),
        view(peer_id="foreign", proto="flp"),
    )
    [snapshot] = looks(servers, {"alive": answer(uptime_s=3.0)})
    assert servers.asked == ["alive"]
    assert {peer_id: stats.uptime_s for peer_id, stats in snapshot.stats.items()} == {"alive": 3.0}
    assert len(snapshot.servers) == 4


def test_who_is_silent_delays_one_look_by_a_moment_and_is_not_asked_twice() -> None:
    servers = Servers(view(peer_id="silent"), view(peer_id="quick"))
    started = time.monotonic()
    first, second, *_ = looks(servers, {"quick": answer()}, *[{"quick": answer(uptime_s=2.0)}] * 9)
    assert time.monotonic() - started < 1.0
    assert servers.asked == ["silent", *["quick"] * 10]
    assert list(first.stats) == list(second.stats) == ["quick"]
    assert second.stats["quick"].uptime_s == 2.0


def test_what_a_server_said_is_forgotten_when_it_fails_to_answer_or_is_gone() -> None:
    servers = Servers(view(peer_id="a"))
    said, failed, garbage = looks(servers, {"a": answer()}, {"a": CallTimeout("late")}, {"a": "nonsense"})
    assert (list(said.stats), list(failed.stats), list(garbage.stats)) == (["a"], [], [])


def test_settling_ends_without_a_server() -> None:
    asyncio.run(Probe(cast("AsyncClient", Servers())).settle())
