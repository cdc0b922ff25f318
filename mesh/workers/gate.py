"""Which calls may run together in a worker: suspects at their last chance run alone, condemned ones not at all.

The engine asks before a call runs (`enter`), and says when it has ended (`leave`); both in the thread that serves. What
may not run yet is kept and given back later, by `leave` or `overdue`. Every call that runs is written down (`Log`), so
that the supervisor finds out what ran when this process dies.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from mesh.core.events import ReplyGiven
from mesh.core.wire import Detail
from mesh.core.work import Work
from mesh.errors import Status
from mesh.workers.messages import Doubt

__all__ = ["Gate", "Log"]

_QUIET_S = 1.0
"""How long a suspect at its last chance waits for the others to end; then it runs beside them."""
_ALONE_S = 5.0
"""How long nothing else runs for its sake: a poison works sooner, or holds the loop until the supervisor kills it."""


class Log(Protocol):
    """Remembers beyond the end of this process which calls run."""

    def mark(self, work: Work) -> str:
        """Return the fingerprint of a call."""

    def begin(self, mark: str, method: str) -> int:
        """Write down that it runs, and return where."""

    def end(self, place: int) -> None:
        """Write down that it has ended."""


class _Call:
    """A call in here."""

    __slots__ = ("at", "mark", "place", "work")

    def __init__(self, work: Work, mark: str, now: float) -> None:
        self.work: Work = work
        self.mark: str = mark
        self.at: float = now
        """When it came; once it runs, when it began."""
        self.place: int = -1


class Gate:
    """The calls of one worker.

    Args:
        log: Where they are written down.
        on_cleared: Called with the mark of a suspect that has ended well.
        lift: How a quarantine is lifted, for the error.
    """

    def __init__(self, log: Log, on_cleared: Callable[[str], None], lift: str) -> None:
        self._log = log
        self._on_cleared = on_cleared
        self._lift = lift
        self._doubts: dict[str, Doubt] = {}
        self._quarantined_until: dict[str, float] = {}
        self._running: dict[Work, _Call] = {}
        self._trial: _Call | None = None
        """The suspect that runs alone, or waits for that."""
        self._waiting: deque[_Call] = deque()
        """Calls that wait for the trial to end, in order."""
        self._refused: dict[Work, ReplyGiven] = {}
        """Answers to calls that are not to run."""
        self.ended: int = 0
        """Calls that have ended."""

    def learn(self, doubts: Iterable[Doubt], now: float) -> None:
        """Take in what is held against calls."""
        for doubt in doubts:
            self._doubts.pop(doubt.mark, None)
            self._quarantined_until.pop(doubt.mark, None)
            if doubt.deaths:
                self._doubts[doubt.mark] = doubt
            if doubt.quarantined_s:
                self._quarantined_until[doubt.mark] = now + doubt.quarantined_s

    def enter(self, work: Work, now: float) -> list[Work]:
        """A call is to run; return the calls that may run now: this one, none, or also some that waited."""
        call = _Call(work, self._log.mark(work), now)
        until = self._quarantined_until.get(call.mark)
        if until is not None and until > now:
            self._refuse(work, Status.FAILED_PRECONDITION, self._sentence(self._doubts[call.mark], until - now))
            return [work]
        if self._trial is None and not self._waiting and not self._is_at_last_chance(call):
            self._begin(call, now)
            return [work]
        self._waiting.append(call)
        return self._ready(now)

    def leave(self, work: Work, now: float) -> list[Work]:
        """A call has ended; return those that may run now."""
        self.ended += 1
        call = self._running.pop(work, None)
        if call is not None:  # else it was refused
            self._log.end(call.place)
            if call.mark in self._doubts and not work.cancelled:
                del self._doubts[call.mark]
                self._on_cleared(call.mark)
            if call is self._trial:
                self._trial = None
        return self._ready(now) if self._waiting else []

    def overdue(self, now: float) -> list[Work]:
        """Return calls that have waited long enough, and may run now."""
        return self._ready(now) if self._waiting else []

    def refusal(self, work: Work) -> ReplyGiven | None:
        """Return the answer of a call that is not to run, once; from any thread."""
        return self._refused.pop(work, None)

    def _is_at_last_chance(self, call: _Call) -> bool:
        doubt = self._doubts.get(call.mark)
        return doubt is not None and doubt.alone

    def _ready(self, now: float) -> list[Work]:
        """Let calls in, in order, as long as the first of them may run."""
        ready: list[Work] = []
        while self._waiting:
            if self._trial is not None and now < self._trial.at + _ALONE_S:
                break
            call = self._waiting[0]
            alone = self._is_at_last_chance(call)
            if alone and self._running and now < call.at + _QUIET_S:
                break
            self._waiting.popleft()
            ready.append(call.work)
            if call.work.cancelled or (call.work.deadline is not None and now > call.work.deadline):
                self._refuse(call.work, Status.DEADLINE_EXCEEDED, "its caller gave up before it could run")
                continue
            self._trial = call if alone and not self._running else None
            self._begin(call, now)
        return ready

    def _begin(self, call: _Call, now: float) -> None:
        call.at = now
        call.place = self._log.begin(call.mark, call.work.method)
        self._running[call.work] = call

    def _refuse(self, work: Work, status: Status, text: str) -> None:
        self._refused[work] = ReplyGiven(work, b"", status, Detail(type="Quarantined", message=text))

    def _sentence(self, doubt: Doubt, left_s: float) -> str:
        return (
            f"a call with this content ended {doubt.deaths} workers in a row and is in quarantine for another "
            f"{left_s:.0f} s; correct the method, then {self._lift}"
        )
