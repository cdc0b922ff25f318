"""What worlds have met: whether the faults that were drawn have bitten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mesh.sim.world import World

__all__ = ["Coverage", "met"]


def met(world: World) -> Counter[str]:
    """Return how often each thing happened in a world that has been run, by its name."""
    history = world.history
    found = Counter({f"fault: {name}": count for name, count in history.struck.items()})
    found.update({f"core: {name}": count for name, count in history.counted.items()})
    found.update(f"call ended: {ended.outcome}" for ended in history.ended)
    found["call abandoned"] = len(history.abandoned)
    found["call asked"] = len(history.asked)
    found["call tried again"] = sum(ended.attempts > 1 for ended in history.ended)
    found["attempts"] = len(history.written)
    found["handlers run"] = len(history.runs)
    found["messages"] = world.network.messages
    found["milliseconds"] = int(world.elapsed_s * 1000.0)
    return +found


class Coverage:
    """The same of many worlds, and in how many of them each thing happened at all."""

    def __init__(self) -> None:
        self.worlds: int = 0
        self.totals: Counter[str] = Counter()
        self.worlds_with: Counter[str] = Counter()

    def add(self, found: Counter[str]) -> None:
        """Take in one world."""
        self.worlds += 1
        self.totals.update(found)
        self.worlds_with.update(found.keys())

    def merge(self, other: Coverage) -> None:
        """Take in the worlds of another."""
        self.worlds += other.worlds
        self.totals.update(other.totals)
        self.worlds_with.update(other.worlds_with)

    def rows(self) -> Iterator[tuple[str, int, int]]:
        """Yield name, total and number of worlds of each thing, by name."""
        for name in sorted(self.totals):
            yield name, self.totals[name], self.worlds_with[name]
