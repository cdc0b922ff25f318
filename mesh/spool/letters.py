"""What a courier is told, in the past tense, and what it has others do, in the imperative."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence

import msgspec

from mesh.spool.bundle import ends_of

__all__ = [
    "Action",
    "Answered",
    "AskNewest",
    "Event",
    "Failed",
    "Failure",
    "Fetch",
    "Fetched",
    "Letter",
    "Newest",
    "Put",
    "Send",
    "Settle",
    "Tick",
]


class Letter(msgspec.Struct, frozen=True, gc=False):
    """A record that waits, or several that were put together: a bundle."""

    row: int
    """The first one's place in the store, which is the order of the records; the others follow without a gap."""
    stream: str
    """Empty, or the stream whose order it keeps."""
    packed: bytes
    """The records as they are kept and travel, back to back."""
    records: int = 1
    """How many there are."""

    @property
    def last(self) -> int:
        """The last one's place."""
        return self.row + self.records - 1

    def part(self, first: int, last: int) -> Letter:
        """Return those of its records that have these places, both included."""
        if first <= self.row and self.last <= last:
            return self
        ends = [0, *ends_of(self.packed)]
        octets = self.packed[ends[first - self.row] : ends[last - self.row + 1]]
        return Letter(first, self.stream, octets, last - first + 1)


# -- events


class Put(msgspec.Struct, frozen=True):
    """There may be letters in the store that were not there before."""


class Fetched(msgspec.Struct, frozen=True):
    """The store answered a `Fetch`."""

    letters: Sequence[Letter]
    end: bool
    """There were no more."""
    live: bool
    """As in the Fetch."""


class Newest(msgspec.Struct, frozen=True):
    """The store answered `AskNewest`."""

    row: int
    """Of the newest letter; what is put later is live."""


class Answered(msgspec.Struct, frozen=True):
    """A warehouse has stored records of a parcel and refused others. Those in neither are tried again."""

    parcel: int
    durable: Sequence[tuple[int, int]]
    """First and last position in the parcel, counted in records, of each run that is stored there."""
    refused: Mapping[int, str]
    """Reason by position."""


class Failure(enum.Enum):
    """How a parcel may fail as a whole."""

    NOBODY = enum.auto()
    """Nobody who offers the method was there, all the time that the call had."""
    NOT_NOW = enum.auto()
    """Nothing was stored, and not because of what is in it."""
    UNKNOWN = enum.auto()
    """It may have been stored."""
    INVALID = enum.auto()
    """Nothing was stored, because of what is in it, or for a reason that nobody knows."""


class Failed(msgspec.Struct, frozen=True):
    """A parcel came to nothing."""

    parcel: int
    failure: Failure
    reason: str
    peer: str = ""
    """Name of the warehouse that had it, if the outcome is unknown."""


class Tick(msgspec.Struct, frozen=True):
    """Time has passed."""


Event = Put | Fetched | Newest | Answered | Failed | Tick

# -- actions


class Fetch(msgspec.Struct, frozen=True):
    """Read letters of this method, and feed `Fetched` with them before any other event."""

    after: int
    """Only records behind this row."""
    limit: int
    """Records."""
    octets_max: int
    live: bool
    """For which letters it was asked; to be given back."""


class AskNewest(msgspec.Struct, frozen=True):
    """Feed `Newest`."""


class Send(msgspec.Struct, frozen=True):
    """Call the method, and feed `Answered` or `Failed` when it ends."""

    parcel: int
    letters: Sequence[Letter]
    peer: str
    """Only at the warehouse of this name; empty: at any."""
    within_s: float
    """Seconds that the call has."""


class Settle(msgspec.Struct, frozen=True):
    """Write down what has become of records; before the program ends, but not before the next event."""

    delivered: Sequence[tuple[int, int]]
    """First and last row of each run that is stored at a warehouse."""
    quarantined: Mapping[int, str]
    """Reason by row."""


Action = Fetch | AskNewest | Send | Settle
