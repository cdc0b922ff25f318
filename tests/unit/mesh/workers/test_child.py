"""Processes from outside: what they write, how they end, and that nothing of them stays."""

from __future__ import annotations

import os
import signal
import sys
import textwrap

import pytest

from mesh.workers.child import Child, Output
from mesh.workers.messages import Drain, Setup
from tests.helpers import wait_until

SETUP = Setup(
    targets=("a.py",),
    bind="tcp://*:0",
    name=None,
    token="ab",
    advertise=True,
    realm=None,
    interfaces=None,
    beat_s=1.0,
    hang_s=5.0,
)


def start(program: str, written: list[tuple[str, str]]) -> Child:
    command = [sys.executable, "-c", textwrap.dedent(program)]
    return Child(command, SETUP, lambda output, line: written.append((output, line)))


def test_lines_are_passed_on_and_the_last_ones_explain_a_death(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "@nobody")
    written: list[tuple[str, str]] = []
    program = """
        import os, sys
        print("caf\\xe9", flush=True)
        for number in range(9):
            print(f"line {number}\\n", file=sys.stderr)
        os.write(1, b"\\xff no end " + os.environ.get("NOTIFY_SOCKET", "unset").encode())
        sys.exit(3)
        """
    child = start(program, written)
    died = child.bury(7)
    assert (died.number, died.status, died.running) == (7, 3, ())
    assert died.last_words == tuple(f"line {number}" for number in range(4, 9))
    assert [line for output, line in written if output == "stdout"] == ["caf\xe9", "\\xff no end unset"]


def test_the_setup_is_on_the_line_and_a_signal_is_told_from_an_exit() -> None:
    program = """
        import os, signal, socket, sys
        from mesh.workers.line import worker_line
        from mesh.workers.messages import Setup, Leaving
        connection = socket.socket(fileno=int(sys.argv[1]))
        line = worker_line(connection)
        import select
        select.select([connection], [], [])
        assert isinstance(line.receive()[0], Setup)
        line.send(Leaving())
        os.kill(os.getpid(), signal.SIGKILL)
        """
    written: list[tuple[str, str]] = []
    child = start(program, written)
    wait_until(child.has_ended, what="its end")
    assert len(child.line.receive()) == 1
    child.line.send(Drain())  # to nobody
    assert child.bury(1).status == -signal.SIGKILL
    assert written == []


def test_a_command_that_does_not_exist_leaves_nothing_open() -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(FileNotFoundError):
        Child(["/nowhere/python"], SETUP, lambda output, line: None)
    assert os.listdir("/proc/self/fd") == before


def test_a_line_without_end_is_cut_in_parts() -> None:
    reading, writing = os.pipe()
    lines: list[str] = []
    output = Output(os.fdopen(reading, "rb"), lines.append)
    os.set_blocking(writing, False)
    for _ in range(3):
        os.write(writing, b"x" * 50_000)
        assert output.read()
    os.close(writing)
    output.close()
    assert "".join(lines) == "x" * 150_000
    assert max(map(len, lines)) <= 2 * 65536
