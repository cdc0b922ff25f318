"""Which calls are held responsible for the deaths of workers.

A worker that dies leaves a list of the calls that ran. Any of them may be the poison, the others only ran beside it. So
all become suspects, and every one that ends anywhere without ending its worker is cleared at once. A suspect that has
one death left before it would be condemned runs alone: nothing else runs in that worker meanwhile. If the worker dies
again, there is no doubt left; if not, the call was innocent, whatever it ran beside before.

Where a worker does not fall quiet (its other calls run for seconds), such a trial is not alone, and does not condemn.
Twice as many deaths in a row then do: else a poison could hide behind calls that run for ever.

Calls are recognised by their content, method and body. A caller that changes the body with each try is not recognised.
And whoever kills workers from outside in the midst of a call, again and again, makes it look guilty.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

from mesh.workers.events import Running
from mesh.workers.messages import Doubt

__all__ = ["Suspects"]


@dataclass(slots=True)
class _Record:
    method: str
    deaths: int
    until: float
    """When it is forgotten."""
    condemned: bool = False


class Suspects:
    """The calls in doubt, and those in quarantine.

    Args:
        deaths_max: Deaths in a row, from 2, after which a call is condemned.
        quarantine_s: Seconds after which it is forgotten. A suspect that is not seen again for so long is, too.
        records_max: So many are kept; the oldest makes room, one in quarantine only where there is no other.
    """

    def __init__(self, deaths_max: int, quarantine_s: float, records_max: int = 1024) -> None:
        self._deaths_max = deaths_max
        self._quarantine_s = quarantine_s
        self._records_max = records_max
        self._records: dict[str, _Record] = {}
        """By mark, in the order in which they are forgotten."""

    def __len__(self) -> int:
        return len(self._records)

    def died(self, running: Iterable[Running], now: float) -> tuple[list[Doubt], list[Doubt]]:
        """A worker ended while these calls ran; calls with the same content count as one.

        Returns:
            Every doubt that has changed, and those among them that are condemned by this death.
        """
        calls = {call.mark: call for call in running}
        changed, condemned = [], []
        for mark, call in calls.items():
            record = self._records.pop(mark, None) or _Record(call.method, 0, 0.0)
            record.deaths += 1
            record.until = now + self._quarantine_s
            if not record.condemned and (
                (record.deaths >= self._deaths_max and len(calls) == 1) or record.deaths >= 2 * self._deaths_max
            ):
                record.condemned = True
                condemned.append(self._doubt(mark, record, now))
            self._make_room()
            self._records[mark] = record
            changed.append(self._doubt(mark, record, now))
        return changed, condemned

    def clear(self, mark: str) -> Doubt | None:
        """Such a call has ended well; return what has changed, None if it was not in doubt or is condemned."""
        record = self._records.get(mark)
        if record is None or record.condemned:
            return None
        del self._records[mark]
        return Doubt(mark, record.method, 0)

    def lift(self) -> list[Doubt]:
        """Forget everything; return what has changed."""
        changed = [Doubt(mark, record.method, 0) for mark, record in self._records.items()]
        self._records.clear()
        return changed

    def doubts(self, now: float) -> list[Doubt]:
        """Return everything that is held against calls now."""
        self.expire(now)
        return [self._doubt(mark, record, now) for mark, record in self._records.items()]

    def expire(self, now: float) -> list[Doubt]:
        """Forget what is over; return what has changed."""
        over = list(itertools.takewhile(lambda mark: self._records[mark].until <= now, self._records))
        return [Doubt(mark, self._records.pop(mark).method, 0) for mark in over]

    def deadline(self) -> float | None:
        """Return when the next one is to be forgotten."""
        return next((record.until for record in self._records.values()), None)

    def _make_room(self) -> None:
        if len(self._records) >= self._records_max:
            oldest = next(iter(self._records))
            del self._records[next((mark for mark, record in self._records.items() if not record.condemned), oldest)]

    def _doubt(self, mark: str, record: _Record, now: float) -> Doubt:
        if record.condemned:
            return Doubt(mark, record.method, record.deaths, False, max(0.0, record.until - now))
        return Doubt(mark, record.method, record.deaths, record.deaths >= self._deaths_max - 1)
