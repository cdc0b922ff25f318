"""`mesh spool run` as a process: what it does when the disk refuses, when it is killed, and when there are two."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from mesh import Spool
from mesh.cli.exits import Exit
from tests.helpers import PATIENCE_S, Process, free_port, needs_program, spawn, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.network]

SECRET = "testing123"
MESH = [sys.executable, "-m", "mesh.cli.main"]


@contextlib.contextmanager
def running(folder: Path, *words: str, server: str = "") -> Iterator[Process]:
    """Run the daemon on the spool in this folder; by default there is nobody to deliver to."""
    where = ["--dir", str(folder / "spool"), "--server", server or f"tcp://127.0.0.1:{free_port()}"]
    with spawn([*MESH, "spool", "run", *where, *words, "--json"]) as process:
        yield process


def put(endpoint: str, *bodies: str) -> list[bytes]:
    """Put records over a local endpoint; return the numbers with which they were acknowledged."""
    with zmq.Context() as context, context.socket(zmq.REQ) as sock:
        sock.linger = 0
        sock.rcvtimeo = sock.sndtimeo = 20_000
        sock.connect(endpoint)
        seqs = []
        for body in bodies:
            sock.send_multipart([b"warehouse.ingest", body.encode()])
            said, seq = sock.recv_multipart()
            assert said == b"OK"
            seqs.append(seq)
        return seqs


def accounting(folder: Path) -> list[str]:
    """Return the options with which it takes accounting packets of this host."""
    (folder / "secrets").write_text(f"127.0.0.1 {SECRET}\n")
    (folder / "secrets").chmod(0o600)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{probe.getsockname()[1]}"
    return ["--radius", where, "--secret-file", str(folder / "secrets"), "--to", "w.i"]


def bodies(folder: Path) -> list[bytes]:
    with Spool(folder / "spool", deliver=False) as spool:
        return [entry.record.body for entry in spool.peek(10_000) if entry.record]


@needs_program("radclient")
def test_while_the_disk_refuses_nothing_is_answered_and_it_goes_on_by_itself(tmp_path: Path) -> None:
    options = accounting(tmp_path)

    def account(session: int, tries: int) -> bool:
        words = ["radclient", "-r", str(tries), "-t", "1", options[1], "acct", SECRET]
        packet = f"Acct-Status-Type=Start,Acct-Session-Id={session}"
        return not subprocess.run(words, input=packet, text=True, capture_output=True, check=False).returncode

    with running(tmp_path, *options) as daemon:
        daemon.wait_line('"ready"')
        assert account(1, 5)
        _, most = resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (4096, most))
        assert not account(2, 1)
        daemon.wait_line('"failed".*nothing is stored or acknowledged meanwhile')
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (most, most))
        assert account(3, 20)
        daemon.wait_line('"stored"')
        assert daemon.terminate() == 0
    sessions = [json.loads(body)["fields"]["attributes"]["Acct-Session-Id"] for body in bodies(tmp_path)]
    assert sorted(sessions) == ["1", "2", "3"], "also the one whose client had given up"


@needs_program("radclient")
def test_no_packet_is_lost_or_doubled_while_it_is_killed_again_and_again(tmp_path: Path) -> None:
    count = 1000
    packets = (f"Acct-Status-Type = Start\nAcct-Session-Id = {number}\n" for number in range(count))
    (tmp_path / "packets").write_text("\n".join(packets))
    options = accounting(tmp_path)
    words = ["radclient", "-q", "-f", str(tmp_path / "packets"), "-p", "50", "-r", "30", "-t", "1", options[1], "acct"]
    with subprocess.Popen([*words, SECRET], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
        for stored in itertools.count(200, 300):
            with running(tmp_path, *options) as daemon:
                daemon.wait_line('"ready"')
                with Spool(tmp_path / "spool", deliver=False) as spool:
                    wait_until(lambda: client.poll() is not None or spool.stats().put >= stored, 30.0)  # noqa: B023
                daemon.kill9()
            if client.poll() is not None:
                break
        assert client.returncode == 0, "each was answered at last"
    assert stored > 500, "it was killed at work"
    found = Counter(json.loads(body)["fields"]["attributes"]["Acct-Session-Id"] for body in bodies(tmp_path))
    assert found == Counter({str(number): 1 for number in range(count)})


def test_what_was_acknowledged_before_it_was_killed_is_delivered_by_the_next_one(tmp_path: Path) -> None:
    endpoint, server = f"ipc://{tmp_path}/s", f"tcp://127.0.0.1:{free_port()}"
    with running(tmp_path, "--listen", endpoint, server=server) as daemon:
        daemon.wait_line('"ready"')
        assert put(endpoint, "one", "two") == [b"1", b"2"]
        daemon.kill9()
    db = tmp_path / "records.db"
    with (
        spawn([*MESH, "warehouse", "--db", str(db), "--bind", server, "--no-advertise"]) as warehouse,
        running(tmp_path, "--listen", endpoint, server=server) as daemon,
    ):
        warehouse.wait_line("serving")
        daemon.wait_line('"ready"')
        assert put(endpoint, "three") == [b"3"]
        with Spool(tmp_path / "spool", deliver=False) as spool:
            assert spool.flush(PATIENCE_S)
        assert daemon.terminate() == 0
        assert warehouse.terminate() == 0
    with contextlib.closing(sqlite3.connect(db)) as look:
        stored = [body for (body,) in look.execute("SELECT body FROM records ORDER BY seq")]
    assert stored == ["one", "two", "three"]


def test_of_two_on_one_spool_the_second_delivers_when_the_first_ends(tmp_path: Path) -> None:
    server = f"tcp://127.0.0.1:{free_port()}"
    with (
        running(tmp_path, server=server) as first,
        spawn([*MESH, "warehouse", "--db", str(tmp_path / "db"), "--bind", server, "--no-advertise"]) as warehouse,
    ):
        warehouse.wait_line("serving")
        first.wait_line('"ready"')
        with running(tmp_path, server=server) as second, Spool(tmp_path / "spool", deliver=False) as spool:
            second.wait_line('"ready"')
            spool.put("warehouse.ingest", b"one")
            assert spool.flush(PATIENCE_S)
            first.kill9()
            spool.put("warehouse.ingest", b"two")
            assert spool.flush(PATIENCE_S)


def test_what_cannot_begin_says_why_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with running(tmp_path, "--listen", f"ipc://{tmp_path}/s", "--syslog", where, "--to", "w.i") as daemon:
            assert daemon.wait() == Exit.USAGE
    assert daemon.stdout == []
    (sentence,) = daemon.stderr
    assert "the port is in use; choose another one" in sentence
    assert not (tmp_path / "spool").exists()
    (tmp_path / "spool").write_text("a file")
    with running(tmp_path) as daemon:
        assert daemon.wait() == Exit.FAILED
    (sentence,) = daemon.stderr
    assert "cannot be used as a spool" in sentence


def test_a_second_signal_ends_it_at_once_though_it_waits_for_room(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/s"
    with (
        running(tmp_path, "--listen", endpoint, "--max-records", "1000") as daemon,
        Spool(tmp_path / "spool", deliver=False) as spool,
        zmq.Context() as context,
        context.socket(zmq.DEALER) as sock,
    ):
        sock.linger = 0
        daemon.wait_line('"ready"')
        spool.put_many("w.i", [b"x"] * 1000)
        sock.connect(endpoint)
        sock.send_multipart([b"", b"w.i", b"one more"])
        daemon.wait_line('"full".*senders wait until there is room')

        def signalled() -> bool:
            if daemon.returncode is None:
                os.kill(daemon.pid, signal.SIGTERM)
            return daemon.returncode is not None

        wait_until(signalled)
        assert daemon.wait() == 128 + signal.SIGTERM
