"""The probe: it asks who is alive, waits for nobody who is silent, and forgets what is no longer true."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from types import SimpleNamespace
from typing import cast

import pytest

from mesh import AsyncClient, CallTimeout, NoServer, RemoteError, ServerView
from mesh.top.board import Snapshot
from mesh.top.controls import Ask
from mesh.top.probe import Probe
from tests.helpers.top import answer, view

_LOOK_S = 0.05


class Servers:
    """Stands for a client: a list of servers, and what each answers; None is silence."""

    def __init__(self, *views: ServerView) -> None:
        self.views = list(views)
        self.answers: Mapping[str, object] = {}
        self.asked: list[str] = []
        self.methods: list[str] = []

    def servers(self) -> list[ServerView]:
        return self.views

    async def invoke(self, method: str, *, peer: str, timeout: float) -> object:  # noqa: ASYNC109
        self.asked.append(peer)
        self.methods.append(method)
        said = self.answers.get(peer)
        if said is None:
            await asyncio.sleep(60.0)
        if isinstance(said, Exception):
            raise said
        return SimpleNamespace(value=said, elapsed_s=0.00042)

    async def wait_for(self, count: int, **options: float) -> list[ServerView]:
        raise NoServer("nobody")


def looks(servers: Servers, *answers: Mapping[str, object]) -> list[Snapshot]:
    """Look once for each of these sets of answers."""

    async def look_often() -> list[Snapshot]:
        probe = Probe(cast("AsyncClient", servers))
        seen = []
        for servers.answers in answers:
            seen.append(await probe.look(asyncio.get_running_loop().time() + _LOOK_S))
        await probe.close()
        return seen

    return asyncio.run(look_often())


def test_who_answers_and_speaks_mesh_is_asked() -> None:
    servers = Servers(
        view(peer_id="alive"),
        view(peer_id="ejected", state="ejected"),
        view(peer_id="draining", state="draining"),
        view(peer_id="suspect", state="suspect"),
        view(peer_id="dead", state="waiting"),
        view(peer_id="foreign", proto="flp"),
    )
    [snapshot] = looks(servers, {"alive": answer(uptime_s=3.0)})
    assert servers.asked == ["alive", "ejected", "draining"]
    assert set(servers.methods) == {"mesh.stats"}
    assert {peer_id: told.uptime_s for peer_id, told in snapshot.told.items()} == {"alive": 3.0}
    assert len(snapshot.servers) == 6


def test_a_look_ends_when_it_is_due_whoever_is_silent_and_asks_nobody_twice() -> None:
    servers = Servers(view(peer_id="silent"), view(peer_id="quick"))
    started = time.monotonic()
    first, second, *_ = looks(servers, {"quick": answer()}, *[{"quick": answer(uptime_s=2.0)}] * 9)
    assert 10 * _LOOK_S <= time.monotonic() - started < 30.0, "half of what the silent one takes"
    assert Counter(servers.asked) == {"silent": 1, "quick": 10}
    assert list(first.told) == list(second.told) == ["quick"]
    assert second.told["quick"].uptime_s == 2.0


def test_an_answer_has_its_time_and_a_few_have_round_trips_in_turn() -> None:
    ids = [f"id-{number}" for number in range(50)]
    said = {peer_id: answer() for peer_id in ids}
    began = time.monotonic()
    seen = looks(Servers(*(view(peer_id=peer_id) for peer_id in ids)), said, said, said)
    timed = [[peer_id for peer_id in ids if snapshot.told[peer_id].rtt_s is not None] for snapshot in seen]
    assert timed == [ids[:20], ids[20:40], ids[:10] + ids[40:]]
    for before, snapshot in zip([began, *(snapshot.at for snapshot in seen)], seen, strict=False):
        assert all(before <= told.told_at <= snapshot.at for told in snapshot.told.values()), "of this look"


def test_what_a_server_said_is_forgotten_when_it_fails_to_answer_or_is_gone() -> None:
    servers = Servers(view(peer_id="a"))
    said, failed, garbage = looks(servers, {"a": answer()}, {"a": CallTimeout("late")}, {"a": "nonsense"})
    assert (list(said.told), list(failed.told), list(garbage.told)) == (["a"], [], [])


def test_settling_ends_without_a_server() -> None:
    asyncio.run(Probe(cast("AsyncClient", Servers())).settle())


@pytest.mark.parametrize(
    ("what", "said", "sentence"),
    [
        ("ping", {}, "calc-1 answered in 0.42 ms"),
        ("drain", {"in_flight": 3}, "calc-1 takes no more calls, and finishes the 3 that it has"),
        ("drain", "nonsense", "calc-1 takes no more calls"),
        ("resume", {}, "calc-1 takes calls again"),
        ("drain", RemoteError("lets nobody drain it"), "calc-1: lets nobody drain it"),
        ("ping", CallTimeout("no answer within 2 s."), "calc-1: no answer within 2 s."),
    ],
)
def test_an_operator_is_told_what_came_of_it(what: str, said: object, sentence: str) -> None:
    servers = Servers(view())
    servers.answers = {"id-1": said}
    ask = Ask(what, "id-1", "calc-1")
    assert asyncio.run(Probe(cast("AsyncClient", servers)).act(ask)).startswith(sentence)
    assert servers.methods == [f"mesh.{what}"]
