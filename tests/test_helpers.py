"""The rules of tests/conftest.py and the helpers, each broken once."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.helpers import async_wait_until, free_port, quickest, spawn, wait_until

PROJECT = Path(__file__).parent.parent

RULE_BREAKERS = """
    import asyncio, os, threading
    import hypothesis, pytest, zmq
    from tests.helpers import leaks, needs_program

    leaks.GRACE_S = 0.05
    kept = []

    def test_thread():
        threading.Thread(target=threading.Event().wait, name="survivor", daemon=True).start()

    def test_loop():
        kept.append(asyncio.new_event_loop())

    def test_task():
        loop = asyncio.new_event_loop()
        kept.append(loop.create_task(asyncio.sleep(60)))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    def test_context():
        kept.append(zmq.Context())
        kept.append(kept[-1].socket(zmq.PAIR))

    @needs_program("no-such-program")
    def test_need():
        pass

    def test_clean():
        with zmq.Context() as context, context.socket(zmq.PAIR):
            asyncio.run(asyncio.sleep(0))
        assert os.environ["MESH_INTERFACE"] == "127.0.0.1"
        assert "MESH_SERVERS" not in os.environ
        assert hypothesis.settings().deadline is None
"""


def test_what_a_test_leaves_behind_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "test_rules.py").write_text(textwrap.dedent(RULE_BREAKERS))
    config = ["-c", str(PROJECT / "pyproject.toml"), "--rootdir", str(tmp_path), "-p", "tests.conftest"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", *config, "-v", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=PROJECT,
        env={
            **os.environ,
            "MESH_REQUIRE_ALL": "1",
            "MESH_INTERFACE": "10.0.0.1",
            "MESH_SERVERS": "10.0.0.2:1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    for name, when, complaint in [
        ("test_thread", "teardown", "the test left threads behind: survivor"),
        ("test_loop", "teardown", "the test left asyncio tasks or loops behind: <_UnixSelectorEventLoop"),
        ("test_task", "teardown", "the test left asyncio tasks or loops behind: <Task"),
        ("test_context", "teardown", "the test left sockets or ZeroMQ contexts behind: "),
        ("test_need", "setup", "needs the program no-such-program"),
    ]:
        assert re.search(rf"ERROR at {when} of {name} _+\n{complaint}", run.stdout), run.stdout
    assert "::test_clean PASSED" in run.stdout


def test_waiting_in_vain_says_for_what() -> None:
    with pytest.raises(AssertionError, match=r"waited 0.01 s in vain for an answer; last seen: \[\]"):
        wait_until(list, 0.01, "an answer")
    with pytest.raises(AssertionError, match="an answer"):
        asyncio.run(async_wait_until(list, 0.01, "an answer"))


def test_waiting_returns_the_first_true_value() -> None:
    values = iter([0, 0, 3])
    assert wait_until(lambda: next(values)) == 3


def test_the_quickest_of_a_few_is_what_counts() -> None:
    times = iter([0.9, 0.4, 0.1])
    assert quickest(lambda: next(times), 0.5) == 0.4
    assert quickest(lambda: 0.7, 0.5) == 0.7
    times = iter([0.9, 0.8, 0.3])
    assert quickest(lambda: next(times), 0.5, tries=2) == 0.8


def test_a_free_port_can_be_bound() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", free_port()))


def test_lines_of_both_outputs_arrive_while_the_program_runs() -> None:
    code = "import sys, time; print('to out'); print('to err', file=sys.stderr); time.sleep(60)"
    with spawn([sys.executable, "-c", code]) as process:
        assert process.wait_line(r"to (err)")[1] == "err"
        process.wait_line("to out")
        assert (process.stdout, process.stderr) == (["to out"], ["to err"])
        with pytest.raises(AssertionError, match="still runs and printed:\nto "):
            process.wait_line("to out", deadline_s=0.01, since=len(process.lines))
        process.kill9()
        assert process.returncode == -9


def test_waiting_for_a_line_ends_with_the_program() -> None:
    with spawn([sys.executable, "-c", "print('last words'); raise SystemExit(3)"]) as process:
        with pytest.raises(AssertionError, match="ended with 3 and printed:\nlast words"):
            process.wait_line("never", deadline_s=30.0)
        assert process.wait() == 3


def test_a_stopped_program_goes_on_and_terminates() -> None:
    with spawn(["sleep", "60"]) as process:
        process.stop()
        assert Path(f"/proc/{process.pid}/stat").read_text().split()[2] == "T"
        process.cont()
        assert process.terminate() == -15


def test_the_block_ends_the_program_and_its_children() -> None:
    with spawn(["sh", "-c", "sleep 60 & echo child=$!; wait"]) as process:
        child = int(process.wait_line(r"child=(\d+)")[1])
        process.stop()
    assert process.returncode == -9
    wait_until(lambda: _is_gone(child), what="the end of the child")


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True
