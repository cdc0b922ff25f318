"""How much a spool takes, and what happens to one record more."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from mesh.errors import ConfigError, SpoolFull
from mesh.spool.counters import Counters

__all__ = ["Quota", "WhenFull"]

WhenFull = Literal["block", "reject", "drop-oldest"]


class Quota(msgspec.Struct, frozen=True):
    """Limits in records and octets, of what waits and what is in quarantine together."""

    records_max: int = 10_000_000
    """Records."""
    octets_max: int = 8 << 30
    """Octets of the records as they are kept: 48 and two names more than the body. The file may take a quarter more."""
    when_full: WhenFull = "block"
    """`block`: put waits for room; `reject`: it raises SpoolFull; `drop-oldest`: the oldest records make room."""

    def __post_init__(self) -> None:
        for name in ("records_max", "octets_max"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1 << 50:
                raise ConfigError(f"{name} is {value!r}; give a whole number from 1 to {1 << 50}")
        if self.when_full not in get_args(WhenFull):
            raise ConfigError(f"when_full is {self.when_full!r}; give one of {', '.join(get_args(WhenFull))}")

    def excess(self, counters: Counters, records: int, octets: int) -> tuple[int, int]:
        """Return how many records and octets must go before these fit; (0, 0) if they do."""
        return (
            max(0, counters.ready + counters.quarantined + records - self.records_max),
            max(0, counters.octets + octets - self.octets_max),
        )

    def check(self, path: str, records: int, octets: int) -> None:
        """Raise SpoolFull if so much does not even fit into an empty spool."""
        if records > self.records_max or octets > self.octets_max:
            raise SpoolFull(
                f"{path}: {records} records of {octets} octets together never fit; "
                f"the quota is {self.records_max} records and {self.octets_max} octets",
                path=path,
            )
