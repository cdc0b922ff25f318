"""The probe asks every server how it does, and never waits for one that does not answer."""

from __future__ import annotations

import asyncio
import contextlib
import time

from mesh import AsyncClient, MeshError, NoServer
from mesh.top.board import Snapshot
from mesh.top.rows import Stats

__all__ = ["Probe"]

_PATIENCE_S = 0.2
"""How long a look waits for answers; later ones are for the next look."""
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

    async def settle(self) -> None:
        """Wait for the first servers to be found, half a second at most."""
        with contextlib.suppress(NoServer):
            await self._client.wait_for(1, timeout=_FIRST_S_MAX)
            await asyncio.sleep(_SETTLE_S)

    async def look(self) -> Snapshot:
        """Ask all live servers and return what is known a moment later."""
        asked = {
            view.peer_id: asyncio.create_task(self._ask(view.peer_id))
            for view in self._client.servers()
            if view.state == "alive" and view.proto == "mesh/1" and view.peer_id not in self._questions
        }
        self._questions |= asked
        if asked:  # who did not answer last time is not waited for again
            await asyncio.wait(asked.values(), timeout=_PATIENCE_S)
        servers = tuple(self._client.servers())
        known = {view.peer_id for view in servers}
        self._answers = {peer_id: stats for peer_id, stats in self._answers.items() if peer_id in known}
        return Snapshot(time.monotonic(), time.strftime("%H:%M:%S"), servers, dict(self._answers))

    async def close(self) -> None:
        """Drop the open questions."""
        questions = list(self._questions.values())
        for question in questions:
            question.cancel()
        await asyncio.gather(*questions, return_exceptions=True)

    async def _ask(self, peer_id: str) -> None:
        try:
            stats = Stats.read(await self._client.call("mesh.stats", peer=peer_id, timeout=_ANSWER_S_MAX))
        except MeshError:
            stats = None
        finally:
            del self._questions[peer_id]
        if stats is None:
            self._answers.pop(peer_id, None)
        else:
            self._answers[peer_id] = stats
