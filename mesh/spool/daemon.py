"""What `mesh spool run` runs: listeners, a spool, and how they stop in good order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from mesh.notify import Notifier
from mesh.spool.keeper import Keeper
from mesh.spool.record import SpoolStats
from mesh.workers.actions import Say

__all__ = ["Complaints", "Daemon", "Listener"]

_STOP_S = 10.0
"""How long what was read may take to become durable at the end."""
_LOOK_S = 5.0
"""How often it looks how the spool stands."""
_DROPS_EVERY_S = 60.0
"""How often it says that datagrams were dropped, at the most."""
_STUCK_S = 10.0
"""Without a delivery for so long while records wait, it says so."""


class Listener(Protocol):
    """Takes records from outside: `open`, `run` until `stop`, then `close`."""

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        ...

    def counts(self) -> dict[str, int]:
        """Return what was counted since it was opened."""
        ...

    def open(self) -> None:
        """Bind. Raises ConfigError."""
        ...

    async def run(self) -> None:
        """Take in what comes, until `stop` and everything is durable."""
        ...

    def stop(self) -> None:
        """Read what has come already, and no more."""
        ...

    def close(self) -> None:
        """Release the sockets."""
        ...


class Complaints:
    """Passes each sentence on once a minute at the most: thousands of packets may have the same fault.

    Args:
        tell: Is told.
        monotonic: Seconds that never go back.
    """

    _EVERY_S = 60.0
    _SENTENCES_MAX = 1000

    def __init__(self, tell: Callable[[Say], None], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._tell = tell
        self._monotonic = monotonic
        self._said_at: dict[str, float] = {}

    def __call__(self, sentence: str) -> None:
        """Say it, unless it was said just now."""
        now = self._monotonic()
        if now - self._said_at.get(sentence, -self._EVERY_S) >= self._EVERY_S:
            if len(self._said_at) >= self._SENTENCES_MAX:
                self._said_at.clear()
            self._said_at[sentence] = now
            self._tell(Say("ignored", sentence, trouble=True))


class Daemon:
    """Listens, and looks after a spool that delivers.

    Args:
        keeper: The spool.
        listeners: What takes records in; may be none, then it only delivers.
        notifier: The way to the service manager.
        tell: Is told what happens.
    """

    def __init__(
        self, keeper: Keeper, listeners: Sequence[Listener], notifier: Notifier, tell: Callable[[Say], None]
    ) -> None:
        self._keeper = keeper
        self._listeners = listeners
        self._notifier = notifier
        self._tell = tell
        self._stopped = asyncio.Event()
        self._advanced_at = 0.0
        self._delivered = -1
        self._stuck = False
        self._dropped: dict[str, int] = {}
        self._drops_told_at = -_DROPS_EVERY_S

    def stop(self) -> None:
        """Stop in good order; `run` returns then."""
        self._stopped.set()

    async def run(self) -> None:
        """Listen and deliver until `stop`. Raises ConfigError, SpoolError: it cannot begin."""
        try:
            for listener in self._listeners:
                listener.open()
            await self._keeper.open()
            try:
                async with asyncio.TaskGroup() as group:
                    watching = group.create_task(self._watch())
                    running = [group.create_task(listener.run()) for listener in self._listeners]
                    self._begun()
                    await self._stopped.wait()
                    self._notifier.stopping("storing what was read")
                    watching.cancel()
                    await self._finish(running)
            finally:
                await self._keeper.close()
        finally:
            for listener in self._listeners:
                listener.close()

    def _begun(self) -> None:
        endpoints = [listener.endpoint for listener in self._listeners]
        text = f"listening: {', '.join(endpoints)}" if endpoints else "delivering, and listening nowhere"
        self._tell(Say("ready", text, facts={"listening": endpoints}))
        self._notifier.ready(text)

    async def _finish(self, running: Sequence[asyncio.Task[None]]) -> None:
        for listener in self._listeners:
            listener.stop()
        if running:
            _, late = await asyncio.wait(running, timeout=_STOP_S)
            for task in late:
                task.cancel()
            if late:
                self._tell(
                    Say(
                        "lost",
                        f"some of what was read could not be stored within {_STOP_S:g} s, and was not acknowledged",
                        trouble=True,
                    )
                )
        counts = {listener.endpoint: listener.counts() for listener in self._listeners}
        self._tell(Say("stopped", "", facts={"counts": counts}))

    async def _watch(self) -> None:
        pause_s = min(_LOOK_S, self._notifier.watchdog_s or _LOOK_S)
        while True:
            if (stats := await self._keeper.stats()) is not None:
                self._look(stats, time.monotonic())
            self._look_for_drops(time.monotonic())
            self._notifier.watchdog()
            await asyncio.sleep(pause_s)

    def _look(self, stats: SpoolStats, now: float) -> None:
        facts: dict[str, Any] = {"ready": stats.ready, "delivered": stats.delivered, "quarantined": stats.quarantined}
        self._notifier.status(", ".join(f"{name} {value}" for name, value in facts.items()))
        if not stats.ready or stats.delivered != self._delivered:
            self._advanced_at, self._delivered = now, stats.delivered
            if self._stuck:
                self._stuck = False
                self._tell(Say("delivering", f"records are delivered again; {stats.ready} wait", facts=facts))
        elif not self._stuck and now - self._advanced_at >= _STUCK_S:
            self._stuck = True
            self._tell(
                Say(
                    "waiting",
                    f"{stats.ready} records wait, and nobody takes them; "
                    f"'mesh ls' shows who is there, 'mesh warehouse' takes them",
                    trouble=True,
                    facts=facts,
                )
            )

    def _look_for_drops(self, now: float) -> None:
        if now - self._drops_told_at < _DROPS_EVERY_S:
            return
        for listener in self._listeners:
            dropped = listener.counts().get("dropped", 0)
            more = dropped - self._dropped.get(listener.endpoint, 0)
            if more:
                self._dropped[listener.endpoint] = dropped
                self._drops_told_at = now
                self._tell(
                    Say(
                        "dropped",
                        f"{listener.endpoint}: {more} datagrams came faster than they could be stored, and are lost",
                        trouble=True,
                        facts={"endpoint": listener.endpoint, "dropped": dropped},
                    )
                )
