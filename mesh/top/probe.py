"""The probe asks every server how it does, and never waits for one that does not answer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime

from mesh import AsyncClient, CallError, MeshError, NoServer, ServerView
from mesh.top.board import Snapshot
from mesh.top.controls import DRAIN, PING, Ask
from mesh.top.rows import MESH, Stats

__all__ = ["Probe"]

_ASKED = ("alive", "ejected", "draining")
_TIMED_MAX = 20
"""Questions of one look whose round trips count: each goes alone, for of several at once the answers would wait for
each other in this process. Of more servers, the others have their turn at the next looks."""
_TOGETHER = 10
"""The others go together: a look at 200 servers takes half the processor time so."""
_SPACING_S = 0.005
"""Until the next ones go."""
_PATIENCE_S = 0.1
"""What is left for the last answers before the look is over."""
_ANSWER_S_MAX = 2.0
"""A question that is open for longer has failed, and what the server said before is forgotten."""
_FIRST_S_MAX = 0.5
_SETTLE_S = 0.1
"""The others are found within a moment of the first."""


class Probe:
    """Looks at all servers of a client; call `close` before the client's."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._questions: dict[str, asyncio.Task[None]] = {}
        self._answers: dict[str, Stats] = {}
        self._servers: list[ServerView] = []
        """Who was there at the last look, and is asked at the next one: making this list takes milliseconds."""
        self._timed = 0
        """How many questions went alone so far."""

    async def settle(self) -> None:
        """Wait for the first servers to be found, half a second at most."""
        with contextlib.suppress(NoServer):
            await self._client.wait_for(1, timeout=_FIRST_S_MAX)
            await asyncio.sleep(_SETTLE_S)

    async def look(self, due: float) -> Snapshot:
        """Return what is known at `due`, by the clock of the loop.

        All live servers are asked shortly before, one after the other. Who does not answer in time has the figures of
        the last answer, until that is too old.
        """
        loop = asyncio.get_running_loop()
        batches = self._batches()
        await asyncio.sleep(due - loop.time() - _PATIENCE_S - _SPACING_S * len(batches))
        began = loop.time()
        spacing_s = min(_SPACING_S, max(0.0, due - began) / 2 / max(1, len(batches)))
        for number, batch in enumerate(batches):
            await asyncio.sleep(began + number * spacing_s - loop.time())
            for peer_id in batch:
                self._questions[peer_id] = asyncio.create_task(self._ask(peer_id, timed=len(batch) == 1))
        await asyncio.sleep(due - loop.time())
        self._servers = self._client.servers()
        known = {view.peer_id for view in self._servers}
        self._answers = {peer_id: told for peer_id, told in self._answers.items() if peer_id in known}
        now = datetime.now(UTC)
        return Snapshot(
            at=time.monotonic(),
            clock=now.astimezone().strftime("%H:%M:%S"),
            time=now.isoformat(timespec="milliseconds"),
            servers=tuple(self._servers),
            told=dict(self._answers),
        )

    async def act(self, ask: Ask) -> str:
        """Ask a server for what an operator wants of it, and say in a sentence what came of it."""
        try:
            reply = await self._client.invoke(f"mesh.{ask.what}", timeout=_ANSWER_S_MAX, peer=ask.peer_id)
        except MeshError as error:
            return f"{ask.name}: {error.message if isinstance(error, CallError) else error}"
        if ask.what == PING:
            return f"{ask.name} answered in {reply.elapsed_s * 1000:.3g} ms"
        if ask.what == DRAIN:
            calls = reply.value.get("in_flight") if isinstance(reply.value, dict) else None
            return f"{ask.name} takes no more calls" + (f", and finishes the {calls} that it has" if calls else "")
        return f"{ask.name} takes calls again"

    async def close(self) -> None:
        """Drop the open questions."""
        questions = list(self._questions.values())
        for question in questions:
            question.cancel()
        await asyncio.gather(*questions, return_exceptions=True)

    def _batches(self) -> list[list[str]]:
        """Return whom to ask at this look, and who goes together."""
        ids = [
            view.peer_id
            for view in self._servers or self._client.servers()
            if view.state in _ASKED and view.proto == MESH and view.peer_id not in self._questions
        ]
        start = self._timed % len(ids) if ids else 0
        self._timed += _TIMED_MAX
        ids = ids[start:] + ids[:start]
        together = [ids[at : at + _TOGETHER] for at in range(_TIMED_MAX, len(ids), _TOGETHER)]
        return [[peer_id] for peer_id in ids[:_TIMED_MAX]] + together

    async def _ask(self, peer_id: str, *, timed: bool) -> None:
        told = None
        try:
            reply = await self._client.invoke("mesh.stats", timeout=_ANSWER_S_MAX, peer=peer_id)
            told = Stats.read(reply.value, time.monotonic(), reply.elapsed_s if timed else None)
        except MeshError:
            pass
        finally:
            del self._questions[peer_id]
        if told is None:
            self._answers.pop(peer_id, None)
        else:
            self._answers[peer_id] = told
