"""What do others lose, and double, in the same experiment? rsyslog with RELP and queues on disk, beside a spool.

    python -m scripts.spool_peers [--kills N] [--seed N] [--json]

Three writers send messages to a sender and count those that it has acknowledged; the sender passes them on to a
receiver, which keeps them in a file. The sender and the receiver are killed (SIGKILL) at random instants and started
again. At the end the sender is restarted in good order, as an operator would try. Then the acknowledged messages that
are not in the file are counted, and those that are there more than once.

rsyslog takes part twice: with the queue that its documentation recommends, in memory and on disk when that is not
enough (disk-assisted), and with one that is on disk only, is synchronised, and is noted down after each message. The
writers speak RELP to it, as it does to the receiver. Needs the Debian packages rsyslog and rsyslog-relp.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from scripts.spool_kill import run
from tests.helpers import free_port

__all__ = ["main"]

_WRITERS = 3
_PAUSE_S = 0.004
_LIFE_S = 1.0
_QUIET_S = 15.0
"""When the receiver's file has not grown for so long, nothing more will come."""
_SETTLE_S_MAX = 60.0
_QUEUES = {
    "rsyslog, disk-assisted queue": 'queue.type="LinkedList" queue.saveOnShutdown="on"',
    "rsyslog, disk queue, synchronised": 'queue.type="Disk" queue.syncQueueFiles="on" queue.checkpointInterval="1"',
}
_SENDER = """\
global(workDirectory="{folder}/queue")
module(load="imrelp")
module(load="omrelp")
input(type="imrelp" port="{sender}" address="127.0.0.1")
template(name="raw" type="string" string="<13>1 - - - - - - %msg%")
action(type="omrelp" target="127.0.0.1" port="{receiver}" template="raw" action.resumeRetryCount="-1"
       action.resumeInterval="1" queue.filename="out" {queue})
"""
_RECEIVER = """\
module(load="imrelp")
input(type="imrelp" port="{receiver}" address="127.0.0.1")
template(name="line" type="string" string="%msg%\\n")
action(type="omfile" file="{folder}/received" template="line" sync="on" queue.type="Direct")
"""


@dataclass(frozen=True)
class Result:
    """A row of the table."""

    name: str
    kills: int
    acknowledged: int
    lost: int
    doubled: int

    def __str__(self) -> str:
        share = 100 * self.lost / max(self.acknowledged, 1)
        return f"{self.name:36}{self.kills:6}{self.acknowledged:15,}{self.lost:8,} ({share:.2f} %){self.doubled:10,}"


class _Daemon:
    """One rsyslogd, which is started again when it was killed."""

    def __init__(self, folder: Path, name: str, settings: str) -> None:
        program = shutil.which("rsyslogd", path="/usr/sbin:/usr/bin")
        if program is None:
            raise RuntimeError("rsyslogd is not installed; install Debian's packages rsyslog and rsyslog-relp")
        file = folder / f"{name}.conf"
        file.write_text(settings)
        self._command = (program, "-n", "-f", str(file), "-i", str(folder / f"{name}.pid"))
        self.start()

    def start(self) -> None:
        """Start it."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end(self) -> None:
        """Have it end in good order."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(30.0)
        self.kill()

    def kill(self) -> None:
        """Kill it, and return when it is gone."""
        self._process.kill()
        self._process.wait()


def _write(port: int, writer: int, acknowledged: list[str], over: threading.Event) -> None:
    """Send messages by RELP, one at a time, and note those that were answered with 200."""
    number = 0
    while not over.is_set():
        with contextlib.suppress(OSError, EOFError), socket.create_connection(("127.0.0.1", port), 2.0) as link:
            link.settimeout(2.0)
            answers = link.makefile("rb")
            _ask(link, answers, 1, "open", "relp_version=0\nrelp_software=writer\ncommands=syslog")
            for transaction in range(2, 1_000_000):
                token = f"{writer}-{number}"
                number += 1
                if _ask(link, answers, transaction, "syslog", f"<13>1 - - - - - - {token}").startswith(b"200"):
                    acknowledged.append(token)
                if over.wait(_PAUSE_S):
                    return
        over.wait(0.05)


def _ask(link: socket.socket, answers: object, transaction: int, command: str, data: str) -> bytes:
    """Send a frame of RELP, and return what the answer holds."""
    link.sendall(f"{transaction} {command} {len(data)} {data}\n".encode())
    head = b""
    read: Callable[[int], bytes] = answers.read  # type: ignore[attr-defined]
    while head.count(b" ") < 3:
        octet = read(1)
        if not octet:
            raise EOFError
        head += octet
    octets = int(head.split()[2])
    return read(octets + 1)[:octets]


@contextlib.contextmanager
def _writers(port: int) -> Iterator[list[str]]:
    acknowledged: list[str] = []
    over = threading.Event()
    threads = [
        threading.Thread(target=_write, args=(port, writer, acknowledged, over), daemon=True)
        for writer in range(_WRITERS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield acknowledged
    finally:
        over.set()
        for thread in threads:
            thread.join()


def rsyslog(name: str, queue: str, kills: int, seed: int) -> Result:
    """Kill two rsyslogd so often, let everything arrive that will, and look."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="mesh-peers-") as place:
        folder = Path(place)
        (folder / "queue").mkdir()
        ports = {"sender": free_port(), "receiver": free_port()}
        names = {"folder": place, "queue": queue, **ports}
        receiver = _Daemon(folder, "receiver", _RECEIVER.format(**names))
        sender = _Daemon(folder, "sender", _SENDER.format(**names))
        received = folder / "received"
        try:
            with _writers(ports["sender"]) as acknowledged:
                for _ in range(kills):
                    _wait_for_work(acknowledged)
                    time.sleep(rng.expovariate(1 / _LIFE_S))
                    victim = rng.choice((sender, receiver))
                    victim.kill()
                    time.sleep(rng.uniform(0, _LIFE_S))
                    victim.start()
            _wait_until_quiet(received)
            sender.end()  # what waits for that is not lost
            sender.start()
            _wait_until_quiet(received)
        finally:
            sender.kill()
            receiver.kill()
        lines = [line.strip() for line in received.read_text().splitlines()]
    there = set(lines)
    return Result(name, kills, len(acknowledged), len(set(acknowledged) - there), len(lines) - len(there))


def _wait_for_work(acknowledged: Sequence[str]) -> None:
    """Return when something was acknowledged: each kill is to hit a process at work."""
    before, give_up_at = len(acknowledged), time.monotonic() + _SETTLE_S_MAX
    while len(acknowledged) == before:
        if time.monotonic() > give_up_at:
            raise RuntimeError(f"rsyslogd has acknowledged nothing for {_SETTLE_S_MAX:g} s")
        time.sleep(0.01)


def _wait_until_quiet(file: Path) -> None:
    give_up_at = time.monotonic() + _SETTLE_S_MAX
    grown_at, size = time.monotonic(), -1
    while time.monotonic() < min(give_up_at, grown_at + _QUIET_S):
        now = file.stat().st_size if file.exists() else 0
        if now != size:
            grown_at, size = time.monotonic(), now
        time.sleep(0.1)


def spool(kills: int, seed: int) -> Result:
    """Do the same with a spool and a warehouse; see `scripts.spool_kill`."""
    verdict = run(kills, seed)
    return Result("spool and warehouse", kills, verdict.acknowledged, verdict.lost, verdict.doubled)


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.spool_peers", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--kills", type=int, default=40, help="how many, for each contender (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="draws who is killed, and when")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each row")
    args = parser.parse_args(argv)
    if not args.json:
        print(f"{'':36}{'kills':>6}{'acknowledged':>15}{'lost':>8}{'':9}{'doubled':>10}")
    contenders: list[Callable[[], Result]] = [
        partial(spool, args.kills, args.seed),
        *(partial(rsyslog, name, queue, args.kills, args.seed) for name, queue in _QUEUES.items()),
    ]
    for measure in contenders:
        result = measure()
        print(json.dumps(asdict(result)) if args.json else result, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
