"""Is anything lost or doubled when processes are killed? Puts, delivers and stores while all of them die at random.

    python -m scripts.spool_kill [--kills N] [--seed N] [--json]

Three putters, two spools of which one delivers, and one warehouse are killed (SIGKILL) at random instants, each while
it works, and started again. Afterwards every record whose put had returned must be in the warehouse, once, and those of
a stream in order.

Exit code 1: a record is missing, is there twice, or is out of order.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mesh import Spool
from mesh.cli.progress import progress
from scripts.spool_parts import Part, Scene, deliver, holder, put, serve, stored
from tests.helpers import free_port

__all__ = ["Verdict", "main", "run"]

_PUTTERS, _SPOOLS = 3, 2
_PAUSE_S = 0.004
_LIFE_S = {"putter": 0.5, "spool": 0.1, "warehouse": 0.1}
"""A process that works is killed after a time that is drawn from an exponential distribution with this mean."""
_LOOK_S = 0.005
_IDLE_S = 30.0
"""A process that has done nothing for so long is a failure."""


@dataclass(frozen=True)
class Verdict:
    """What came of it."""

    kills: dict[str, int]
    """How many processes were killed at work, by kind."""
    seconds: float
    acknowledged: int
    """Records whose put had returned."""
    stored: int
    recognised: int
    """Records that came to the warehouse once more, and had no second effect."""
    lost: int
    doubled: int
    disordered: int
    """Records of a stream that are behind a later one."""
    quarantined: int
    seed: int

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.doubled or self.disordered or self.quarantined)

    def __str__(self) -> str:
        kinds = ", ".join(f"{number} {kind}s" for kind, number in self.kills.items())
        return (
            f"{sum(self.kills.values())} kills ({kinds}) in {self.seconds:.0f} s: {self.acknowledged:,} records "
            f"acknowledged, {self.lost} lost, {self.doubled} twice, {self.disordered} out of order; "
            f"{self.recognised:,} came again and were recognised"
        )


def run(kills: int, seed: int, tell: Callable[[float, str], None] = lambda done, words: None) -> Verdict:
    """Kill so many processes, let everything arrive, and look."""
    with tempfile.TemporaryDirectory(prefix="mesh-kill-") as folder:
        scene = Scene(Path(folder), free_port())
        parts = _parts(scene)
        started_at = time.monotonic()
        try:
            for part in parts:
                part.begin()
            killed = _kill(parts, kills, random.Random(seed), tell)
            for part in parts:
                if part.kind == "putter":
                    part.kill()
            quarantined = _drain(scene)
        finally:
            for part in parts:
                part.kill()
        return _verdict(scene, killed, time.monotonic() - started_at, quarantined, seed)


def _parts(scene: Scene) -> list[Part]:
    def putter(number: int) -> Part:
        log = scene.acknowledged(number)
        return Part(
            "putter",
            lambda life: put(scene, number, life, _PAUSE_S),
            lambda pid: log.stat().st_size if log.exists() else 0,
        )

    def delivers(pid: int) -> int | None:
        # Only who holds the lock delivers; what arrives then is its work.
        return stored(scene.db) if holder(scene.spool / "deliver.lock") == pid else None

    return [
        *map(putter, range(_PUTTERS)),
        *(Part("spool", lambda life: deliver(scene), delivers) for _ in range(_SPOOLS)),
        Part("warehouse", lambda life: serve(scene), lambda pid: stored(scene.db)),
    ]


def _kill(parts: Sequence[Part], kills: int, rng: random.Random, tell: Callable[[float, str], None]) -> Counter[str]:
    killed: Counter[str] = Counter({part.kind: 0 for part in parts})
    due: dict[int, float] = {}
    seen_at = dict.fromkeys(range(len(parts)), time.monotonic())
    while killed.total() < kills:
        for index, part in enumerate(parts):
            now = time.monotonic()
            if part.ended:
                raise RuntimeError(f"a {part.kind} has ended by itself")
            if index not in due:
                if part.works:
                    due[index] = now + rng.expovariate(1 / _LIFE_S[part.kind])
                    seen_at[index] = now
                elif part.kind != "spool" and now - seen_at[index] > _IDLE_S:
                    raise RuntimeError(f"a {part.kind} has done nothing for {_IDLE_S:g} s")
            elif now >= due[index]:
                del due[index]
                part.kill()
                part.begin()
                seen_at[index] = now
                killed[part.kind] += 1
                tell(killed.total(), f"{killed.total()} kills")
                if killed.total() == kills:
                    break
        time.sleep(_LOOK_S)
    return killed


def _drain(scene: Scene) -> int:
    """Wait until everything has arrived; return how many records were set aside instead."""
    with Spool(scene.spool, deliver=False) as spool:
        if not spool.flush(60.0):
            raise RuntimeError(f"after a minute {spool.stats().ready} records still wait")
        return spool.stats().quarantined


def _verdict(scene: Scene, killed: Counter[str], seconds: float, quarantined: int, seed: int) -> Verdict:
    acknowledged: set[str] = set()
    for putter in range(_PUTTERS):
        acknowledged.update(scene.acknowledged(putter).read_text().splitlines())
    with contextlib.closing(sqlite3.connect(scene.db)) as db:
        bodies = [body for (body,) in db.execute("SELECT body FROM records ORDER BY id")]
        (doubled,) = db.execute(
            "SELECT coalesce(sum(n - 1), 0) FROM (SELECT count(*) AS n FROM records GROUP BY producer, seq)"
        ).fetchone()
        (recognised,) = db.execute("SELECT duplicates FROM mesh_inbox").fetchone()
    latest: dict[str, tuple[int, int]] = {}
    disordered = 0
    for body in bodies:
        _, life, number, stream = body.split()
        if stream != "-":
            place = (int(life), int(number))
            disordered += place <= latest.get(stream, (-1, -1))
            latest[stream] = max(place, latest.get(stream, place))
    return Verdict(
        kills=dict(killed),
        seconds=seconds,
        acknowledged=len(acknowledged),
        stored=len(bodies),
        recognised=recognised,
        lost=len(acknowledged - set(bodies)),
        doubled=max(doubled, len(bodies) - len(set(bodies))),
        disordered=disordered,
        quarantined=quarantined,
        seed=seed,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.spool_kill", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--kills", type=int, default=1000, help="how many processes are killed (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="draws who is killed, and when")
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    args = parser.parse_args(argv)
    with progress(args.kills) as tell:
        verdict = run(args.kills, args.seed, tell)
    print(json.dumps(asdict(verdict)) if args.json else verdict)
    return 0 if verdict.good else 1


if __name__ == "__main__":
    sys.exit(main())
