"""Does every accounting packet arrive once? radclient sends them while the warehouse goes up and down.

    python -m scripts.spool_radius [--packets N] [--parallel N] [--seed N] [--json]

`mesh spool run` takes the packets of FreeRADIUS's radclient and answers each when it is on disk; the warehouse is
killed (SIGKILL) and started again all the time, and is away for half of it. Afterwards every packet that was answered
must be in the warehouse, once. radclient counts in whole seconds, and so repeats what it has sent a moment before the
end of one: repetitions are tried as well. Needs radclient (Debian: freeradius-utils).

Exit code 1: a packet was not answered, is missing, or is there twice.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import re
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mesh import Spool
from mesh.cli.progress import progress
from scripts.spool_parts import METHOD, Part, Scene, serve, stored
from tests.helpers import free_port, spawn

__all__ = ["Verdict", "main", "run"]

_SECRET = "testing123"
_PHASE_S = (0.1, 0.5)
"""How long the warehouse is there, and away, drawn anew each time."""
_LOOK_S = 0.02
_STATUSES = ("Start", "Interim-Update", "Stop")


@dataclass(frozen=True)
class Verdict:
    """What came of it."""

    packets: int
    answered: int
    """Packets for which radclient had an answer, after whatever repetitions."""
    repeated: int
    """Packets that came again before they were answered."""
    outages: int
    """How often the warehouse was killed while packets came or records waited."""
    seconds: float
    """For which radclient sent."""
    stored: int
    lost: int
    doubled: int
    seed: int

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        return self.answered == self.packets and not (self.lost or self.doubled)

    def __str__(self) -> str:
        return (
            f"{self.packets:,} packets in {self.seconds:.1f} s ({self.packets / self.seconds:,.0f} a second), "
            f"{self.answered:,} answered, {self.repeated} repeated, warehouse killed {self.outages} times: "
            f"{self.stored:,} stored, {self.lost} lost, {self.doubled} twice"
        )


def run(
    packets: int, parallel: int, seed: int, tell: Callable[[float, str], None] = lambda done, words: None
) -> Verdict:
    """Send so many packets, let everything arrive, and look."""
    with tempfile.TemporaryDirectory(prefix="mesh-radius-") as name:
        folder = Path(name)
        scene = Scene(folder, free_port())
        (folder / "packets").write_text("\n".join(map(_packet, range(packets))))
        (folder / "secrets").write_text(f"127.0.0.1 {_SECRET}\n")
        (folder / "secrets").chmod(0o600)
        port = _free_udp_port()
        radius = ["--radius", f"127.0.0.1:{port}", "--secret-file", str(folder / "secrets"), "--to", METHOD]
        command = [sys.executable, "-m", "mesh.cli.main", "spool", "run", "--dir", str(scene.spool), *radius, "--json"]
        warehouse = Part("warehouse", lambda life: serve(scene), lambda pid: stored(scene.db))
        with spawn([*command, "--server", scene.endpoint]) as daemon:
            daemon.wait_line('"ready"')
            try:
                said, seconds, outages = _send(folder, port, packets, parallel, warehouse, random.Random(seed), tell)
                with Spool(scene.spool, deliver=False) as spool:
                    if not spool.flush(60.0):
                        raise RuntimeError(f"after a minute {spool.stats().ready} records still wait")
            finally:
                warehouse.kill()
            daemon.terminate(15.0)
            (counts,) = json.loads(daemon.stdout[-1])["counts"].values()
        with contextlib.closing(sqlite3.connect(scene.db)) as db:
            session = "json_extract(body, '$.fields.attributes.\"Acct-Session-Id\"')"
            found = Counter(session for (session,) in db.execute(f"SELECT {session} FROM records"))
        return Verdict(
            packets=packets,
            answered=_answered(said),
            repeated=counts["repeated"],
            outages=outages,
            seconds=seconds,
            stored=found.total(),
            lost=packets - len(found),
            doubled=found.total() - len(found),
            seed=seed,
        )


def _packet(number: int) -> str:
    status = _STATUSES[number % len(_STATUSES)]
    return f"User-Name = user-{number % 100}\nAcct-Status-Type = {status}\nAcct-Session-Id = {number:08x}\n"


def _send(
    folder: Path,
    port: int,
    packets: int,
    parallel: int,
    warehouse: Part,
    rng: random.Random,
    tell: Callable[[float, str], None],
) -> tuple[str, float, int]:
    """Have radclient send everything; return what it said, how long it took, and how often the warehouse died."""
    options = ["-q", "-s", "-f", str(folder / "packets"), "-p", str(parallel), "-r", "20", "-t", "1"]
    began, outages, serving = time.monotonic(), 0, False
    with (folder / "said").open("w+") as said:
        client = subprocess.Popen(
            ["radclient", *options, f"127.0.0.1:{port}", "acct", _SECRET], stdout=said, stderr=subprocess.STDOUT
        )
        try:
            turn_at = began
            while client.poll() is None:
                if time.monotonic() >= turn_at:
                    if serving:
                        warehouse.kill()
                        outages += 1
                    else:
                        warehouse.begin()
                    serving = not serving
                    turn_at = time.monotonic() + rng.uniform(*_PHASE_S)
                tell(stored(folder / "warehouse.db"), f"{outages} outages")
                time.sleep(_LOOK_S)
            seconds = time.monotonic() - began
        finally:
            client.kill()
            client.wait()
        if not serving:
            warehouse.begin()
        said.seek(0)
        return said.read(), seconds, outages


def _answered(said: str) -> int:
    """Return how many answers radclient has counted."""
    found = re.search(r"(?:Approved|Accepted)\s*:\s*(\d+)", said)
    if found is None:
        raise RuntimeError(f"radclient has said no numbers: {said[-500:]}")
    return int(found[1])


def _free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.spool_radius", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--packets", type=int, default=10_000, help="how many are sent (default: %(default)s)")
    parser.add_argument("--parallel", type=int, default=100, help="how many at a time (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6), help="draws the outages")
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    args = parser.parse_args(argv)
    with progress(args.packets) as tell:
        verdict = run(args.packets, args.parallel, args.seed, tell)
    print(json.dumps(asdict(verdict)) if args.json else verdict)
    return 0 if verdict.good else 1


if __name__ == "__main__":
    sys.exit(main())
