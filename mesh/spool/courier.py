"""The courier decides which records of one method go next, and what becomes of them. It has no clock and no socket.

A *letter* is a record that waits in the store, or several that were put together; a *parcel* is what one call carries.
Letters come out of the store in order and are held until they are delivered or set aside; how many records are held is
bounded, however large the backlog. A letter is cut where only a part of it is done with, or may go.

    store --Fetched--> pool ---> parcel in flight --Answered---> delivered                            Settle
                                  ^          |
                                  |          +- refused as invalid: again after a pause; the fifth time set aside
                                  |          +- refused as a whole: again in halves, until the culprit is alone
                                  |          +- nobody there, or not now: again when somebody answers
                                  +----------+- outcome unknown: again, for some time at the same warehouse only

* Letters without a stream are in flight in several parcels. Letters of a stream are in one parcel at a time, in order;
  until it is done with, later ones of that stream stay in the pool.
* A warehouse knows the duplicates of what it got itself. So a parcel whose outcome is unknown goes to the warehouse
  that had it, as long as `STICKY_S`; then to any. Other parcels do not wait for that.
* While nobody takes anything, one parcel is on its way to try; the first answer lets all go.
* Nothing is ever given up. A letter is set aside only for what a warehouse said of it.
"""

from __future__ import annotations

import random
from bisect import insort
from collections.abc import Iterable, Mapping, Sequence

from mesh.core.backoff import delay
from mesh.spool.letters import (
    Action,
    Answered,
    AskNewest,
    Event,
    Failed,
    Failure,
    Fetch,
    Fetched,
    Letter,
    Newest,
    Put,
    Send,
    Settle,
    Tick,
)
from mesh.spool.ranges import Ranges

__all__ = ["Courier"]

RECORDS_MAX = 1000
"""Records of one parcel."""
SMALL_MAX = 500
"""Records that do not wait for company while two parcels are in flight."""
OCTETS_MAX = 1 << 20
"""Octets of one parcel, unless its only letter has more."""
HELD_MAX = 4
"""Parcels' worth of records that a courier holds for each one that may be in flight."""
REFUSALS_MAX = 5
"""How often a record is refused as invalid before it is set aside."""
STICKY_S = 10.0
"""How long only the same warehouse gets a parcel again that it may have stored."""
PAUSE_MIN_S, PAUSE_MAX_S = 0.1, 5.0
"""Pauses between tries grow from about the one to the other."""
REWIND_S = 2.0
"""How often to look, where something has changed, for records that became ready again behind the newest ones."""


class _Parcel:
    """Letters that travel together."""

    __slots__ = ("due_at", "letters", "peer", "records", "sent_at", "streams", "tries", "until")

    def __init__(self, letters: Sequence[Letter], due_at: float = 0.0) -> None:
        self.letters = letters
        self.records = _records_of(letters)
        self.due_at = due_at
        """It does not go before this."""
        self.peer = ""
        """Who may have stored it already."""
        self.until = 0.0
        """As long as only that one gets it."""
        self.tries = 0
        """Failures in a row."""
        self.sent_at = 0.0
        self.streams = {letter.stream: None for letter in letters if letter.stream}
        """Those that it holds up."""

    @property
    def row(self) -> int:
        """Its place among parcels that share a stream."""
        return self.letters[0].row


class _Source:
    """Letters that were read ahead, and where to read on."""

    __slots__ = ("after", "asked", "blocked", "end", "live", "pool", "records")

    def __init__(self, live: bool) -> None:
        self.live = live
        self.after = 0
        self.end = False
        """Nothing more was there at the last look."""
        self.asked = False
        """The answer to a Fetch is awaited."""
        self.blocked = False
        """All that was read waits for parcels of its streams."""
        self.pool: list[Letter] = []
        self.records = 0
        """How many are in the pool."""

    def restart(self, after: int) -> None:
        """Read on from there."""
        self.after = after
        self.end = False


class Courier:
    """Delivers the records of one method: `for action in courier.handle(event, now)` perform it.

    Args:
        rng: Draws the pauses.
        window: Parcels that may be in flight at the same time, 1 or more.
        within_s: Seconds that a call has.
        live_first: Send what is put from now on before what was there already, and after an outage likewise. Holds for
            letters without a stream; a stream keeps its order.
    """

    def __init__(
        self, rng: random.Random, *, window: int = 4, within_s: float = 10.0, live_first: bool = False
    ) -> None:
        self._rng = rng
        self._window = window
        self._within_s = within_s
        self._backlog = _Source(live=False)
        self._live = _Source(live=True)
        self._sources = [self._backlog]
        """In the order in which they go; live letters are among them once it is known where they begin."""
        self._live_first = live_first
        self._asks_newest = live_first
        self._held: dict[int, Letter] = {}
        """Letters that were fetched and are not settled, by row."""
        self._top = 0
        """The greatest row that was ever fetched."""
        self._held_records = 0
        self._held_octets = 0
        self._again: list[_Parcel] = []
        """Parcels that were sent and go again, by the place of their first letter."""
        self._flying: dict[int, _Parcel] = {}
        self._loose = 0
        """Parcels in flight that any warehouse may get."""
        self._streams: dict[str, int] = {}
        """How many parcels, in flight or waiting to go again, have letters of a stream."""
        self._refusals: dict[int, int] = {}
        self._number = 0
        self._limit = RECORDS_MAX
        self._failures = 0
        """Tries since somebody answered."""
        self._pause_until = 0.0
        self._stale = False
        """Something changed that a look which goes on from the last letter may miss."""
        self._rewind_at = 0.0
        self._now = 0.0

    @property
    def in_flight(self) -> int:
        """Records on their way."""
        return sum(parcel.records for parcel in self._flying.values())

    @property
    def held(self) -> int:
        """Records that were fetched and are not settled."""
        return self._held_records

    @property
    def away(self) -> bool:
        """Whether the last try found nobody who takes anything."""
        return self._failures > 0

    def deadline(self) -> float | None:
        """Return when to feed the next Tick; None: no time is awaited."""
        due = [parcel.due_at for parcel in self._again if parcel.due_at > self._now]
        if self._pause_until > self._now and self._held_records:
            due.append(self._pause_until)
        if self._stale:
            due.append(self._rewind_at)
        return min(due, default=None)

    def handle(self, event: Event, now: float) -> list[Action]:
        """Return what to do, in this order, now that this has happened; `now` is in seconds and never decreases."""
        self._now = now
        out: list[Action] = []
        match event:
            case Fetched():
                self._take(event)
            case Answered():
                self._answered(event, now, out)
            case Failed():
                self._failed(event, now, out)
            case Put():
                self._stale = True
                for source in self._sources:
                    source.end = False
            case Newest():
                self._begin_live(event.row)
            case Tick():
                pass
        if self._asks_newest:
            self._asks_newest = False
            self._end_live()
            out.append(AskNewest())
        self._rewind(now)
        if self._again:
            self._send_again(now, out)
        while self._may_go(now) and (parcel := self._fresh()):
            self._send(parcel, now, out)
        self._fetch_more(out)
        return out

    # -- what comes in

    def _take(self, fetched: Fetched) -> None:
        source = self._live if fetched.live else self._backlog
        source.asked = False
        source.end = fetched.end
        if not fetched.letters:
            return
        letters = fetched.letters if fetched.letters[0].row > self._top else self._not_held(fetched.letters)
        source.after = fetched.letters[-1].last
        self._top = max(self._top, source.after)
        if fetched.live:
            letters = [letter for letter in letters if not letter.stream]
        self._hold(letters)
        source.pool += letters
        source.records += _records_of(letters)

    def _not_held(self, letters: Iterable[Letter]) -> list[Letter]:
        found: list[Letter] = []
        rows: Ranges | None = None
        for letter in letters:
            held = self._held.get(letter.row)
            if held is not None and held.records >= letter.records:
                continue
            if rows is None:
                rows = Ranges(_runs_of(self._held[row] for row in sorted(self._held)))
            found += [letter.part(first, last) for first, last in rows.gaps(letter.row, letter.last)]
        return found

    def _begin_live(self, row: int) -> None:
        self._sources = [self._live, self._backlog]
        self._live.restart(row)

    def _end_live(self) -> None:
        """Take all that waits now for backlog."""
        self._sources = [self._backlog]
        self._let_go(self._live.pool)
        self._live.pool.clear()
        self._live.records = 0
        self._backlog.restart(0)

    def _rewind(self, now: float) -> None:
        """Look from the beginning again: what an operator has made ready again lies behind the newest letters."""
        if self._stale and now >= self._rewind_at:
            self._stale = False
            self._rewind_at = now + REWIND_S
            self._backlog.restart(0)

    def _answered(self, event: Answered, now: float, out: list[Action]) -> None:
        parcel = self._landed(event.parcel)
        if self._failures:
            self._failures = 0
            self._pause_until = 0.0
            self._asks_newest = self._live_first
        self._limit = min(RECORDS_MAX, self._limit * 2)
        self._let_go(parcel.letters)
        settle, left = self._sorted_out(parcel, Ranges(event.durable), event.refused)
        self._hold(left)
        if self._refusals:
            delivered = Ranges(settle.delivered)
            gone = [row for row in self._refusals if row in delivered or row in settle.quarantined]
            for row in gone:
                del self._refusals[row]
        if left:
            rows = Ranges(_runs_of(left))
            tries = max((count for row, count in self._refusals.items() if row in rows), default=1)
            self._put_back(_Parcel(left, now + self._pause_s(tries)))
        if settle.delivered or settle.quarantined:
            out.append(settle)

    def _sorted_out(self, parcel: _Parcel, durable: Ranges, refused: Mapping[int, str]) -> tuple[Settle, list[Letter]]:
        """Return what is done with, and what is to come again."""
        if not durable.gaps(0, parcel.records - 1):
            return Settle(_runs_of(parcel.letters), {}), []
        delivered = Ranges()
        quarantined: dict[int, str] = {}
        left: list[Letter] = []
        ahead = 0
        """Records of the parcel before this letter."""
        for letter in parcel.letters:
            shift = letter.row - ahead
            missing = durable.gaps(ahead, ahead + letter.records - 1)
            stays = Ranges((first + shift, last + shift) for first, last in missing)
            for first, last in stays.gaps(letter.row, letter.last):
                delivered.add(first, last)
            for position in (at for first, last in missing for at in range(first, last + 1) if at in refused):
                row = position + shift
                self._refuse(row, refused[position], quarantined)
                if row in quarantined:
                    stays.remove(row, row)
            left += [letter.part(first, last) for first, last in stays]
            ahead += letter.records
        return Settle(list(delivered), quarantined), left

    def _failed(self, event: Failed, now: float, out: list[Action]) -> None:
        parcel = self._landed(event.parcel)
        parcel.tries += 1
        match event.failure:
            case Failure.INVALID:
                self._divide(parcel, event.reason, now, out)
                return
            case Failure.UNKNOWN:
                parcel.peer = event.peer
                parcel.until = now + STICKY_S
                parcel.due_at = now + self._pause_s(parcel.tries - 1)
                self._limit = max(1, self._limit // 2)
                if parcel.tries > 1 and parcel.records > 1:  # it takes too long, or something in it kills
                    self._halve(parcel)
                    return
            case failure if parcel.peer:
                # The one that may have it is not there, or cannot; others go on meanwhile.
                parcel.due_at = now if failure is Failure.NOBODY else now + self._pause_s(parcel.tries)
            case failure:
                if now >= self._pause_until:
                    self._failures += 1
                    # Who has waited for somebody to appear, in vain, goes on with that without a pause.
                    waited = failure is Failure.NOBODY and now - parcel.sent_at >= self._within_s / 2
                    self._pause_until = now if waited else now + self._pause_s(self._failures)
        self._put_back(parcel)

    def _divide(self, parcel: _Parcel, reason: str, now: float, out: list[Action]) -> None:
        """Find out which record is invalid; it counts as refused when it is alone."""
        parcel.due_at = now
        if parcel.records > 1:
            self._halve(parcel)
            return
        row = parcel.row
        quarantined: dict[int, str] = {}
        self._refuse(row, reason, quarantined)
        if quarantined:
            self._let_go(parcel.letters)
            del self._refusals[row]
            out.append(Settle([], quarantined))
        else:
            parcel.due_at += self._pause_s(self._refusals[row])
            self._put_back(parcel)

    def _refuse(self, row: int, reason: str, quarantined: dict[int, str]) -> None:
        refusals = self._refusals[row] = self._refusals.get(row, 0) + 1
        if refusals >= REFUSALS_MAX:
            quarantined[row] = reason

    def _hold(self, letters: Sequence[Letter]) -> None:
        for letter in letters:
            self._held[letter.row] = letter
        self._held_records += _records_of(letters)
        self._held_octets += _octets_of(letters)

    def _let_go(self, letters: Sequence[Letter]) -> None:
        for letter in letters:
            del self._held[letter.row]
        self._held_records -= _records_of(letters)
        self._held_octets -= _octets_of(letters)

    def _divided(self, letters: Sequence[Letter], records: int) -> tuple[list[Letter], list[Letter]]:
        """Return the first so many records of letters that are held, and the others; one of them may be cut."""
        before: list[Letter] = []
        for at, letter in enumerate(letters):
            if letter.records > records:
                middle = letter.row + records
                parts = [letter.part(letter.row, middle - 1)] if records else []
                parts.append(letter.part(middle, letter.last))
                self._let_go([letter])
                self._hold(parts)
                return before + parts[:-1], [parts[-1], *letters[at + 1 :]]
            before.append(letter)
            records -= letter.records
        return before, []

    # -- parcels

    def _landed(self, number: int) -> _Parcel:
        parcel = self._flying.pop(number)
        self._loose -= not parcel.peer
        for stream in parcel.streams:
            self._streams[stream] -= 1
            if not self._streams[stream]:
                del self._streams[stream]
        return parcel

    def _hold_up(self, parcel: _Parcel) -> None:
        for stream in parcel.streams:
            self._streams[stream] = self._streams.get(stream, 0) + 1

    def _put_back(self, parcel: _Parcel) -> None:
        self._hold_up(parcel)
        insort(self._again, parcel, key=lambda other: other.row)

    def _halve(self, parcel: _Parcel) -> None:
        """Let both halves go again; a stream that they share makes the second one wait for the first."""
        for letters in self._divided(parcel.letters, parcel.records // 2):
            half = _Parcel(letters, parcel.due_at)
            half.peer, half.until = parcel.peer, parcel.until
            self._put_back(half)

    def _pause_s(self, tries: int) -> float:
        return delay(tries, self._rng, PAUSE_MIN_S, PAUSE_MAX_S) if tries > 0 else 0.0

    # -- what goes out

    def _may_go(self, now: float) -> bool:
        return now >= self._pause_until and self._loose < (1 if self._failures else self._window)

    def _send_again(self, now: float, out: list[Action]) -> None:
        waiting: list[_Parcel] = []
        before = {stream for parcel in self._flying.values() for stream in parcel.streams}
        for parcel in self._again:
            if parcel.peer and now >= parcel.until:
                parcel.peer = ""
            goes = now >= parcel.due_at and (parcel.peer or self._may_go(now))
            if goes and before.isdisjoint(parcel.streams):
                self._fly(parcel, now, out)
            else:
                waiting.append(parcel)
            before.update(parcel.streams)
        self._again = waiting

    def _send(self, parcel: _Parcel, now: float, out: list[Action]) -> None:
        self._hold_up(parcel)
        self._fly(parcel, now, out)

    def _fly(self, parcel: _Parcel, now: float, out: list[Action]) -> None:
        self._number += 1
        self._flying[self._number] = parcel
        self._loose += not parcel.peer
        parcel.sent_at = now
        within_s = min(self._within_s, parcel.until - now) if parcel.peer else self._within_s
        out.append(Send(self._number, parcel.letters, parcel.peer, within_s))

    def _fresh(self) -> _Parcel | None:
        """Return a parcel of what may go now, the oldest first; None if there is nothing."""
        for source in self._sources:
            # While parcels are on their way others become larger: few large ones are quicker than many small ones.
            least = SMALL_MAX if self._loose >= 2 and not source.live else 1
            if source.records >= least and (letters := self._choose(source)):
                return _Parcel(letters)
        return None

    def _choose(self, source: _Source) -> list[Letter]:
        chosen: list[Letter] = []
        left: list[Letter] = []
        records = octets = 0
        busy, limit, pool = self._streams, self._limit, source.pool
        for at, letter in enumerate(pool):
            if letter.stream in busy:
                left.append(letter)
                continue
            records += letter.records
            octets += len(letter.packed)
            if records > limit or (chosen and octets > OCTETS_MAX):
                rest = pool[at:]
                if not chosen:
                    chosen, rest = self._divided(rest, limit)
                left += rest
                break
            chosen.append(letter)
        source.pool = left
        source.records -= _records_of(chosen)
        source.blocked = not chosen
        return chosen

    def _fetch_more(self, out: list[Action]) -> None:
        room = HELD_MAX * self._window
        if self._held_records >= room * RECORDS_MAX or self._held_octets >= room * OCTETS_MAX:
            return
        for source in self._sources:
            if not source.end and not source.asked and (source.blocked or source.records < RECORDS_MAX):
                source.asked = True
                out.append(Fetch(source.after, RECORDS_MAX, OCTETS_MAX, source.live))


def _records_of(letters: Iterable[Letter]) -> int:
    return sum(letter.records for letter in letters)


def _octets_of(letters: Iterable[Letter]) -> int:
    return sum(len(letter.packed) for letter in letters)


def _runs_of(letters: Iterable[Letter]) -> list[tuple[int, int]]:
    """Return first and last row of each run of letters that follow one another."""
    runs: list[tuple[int, int]] = []
    begin = end = 0
    for letter in letters:
        row = letter.row
        if row != end:
            if end:
                runs.append((begin, end - 1))
            begin = row
        end = row + letter.records
    if end:
        runs.append((begin, end - 1))
    return runs
