"""What a worker writes down is there after any death."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

from mesh.core.work import Work
from mesh.workers.events import Running
from mesh.workers.recorder import Recorder, new_record, read_record


@pytest.fixture
def record() -> Iterator[int]:
    descriptor = new_record()
    yield descriptor
    os.close(descriptor)


def work(method: str, *frames: bytes) -> Work:
    return Work(b"client", (), True, 1, method, list(frames), None)


def test_a_call_is_written_down_as_long_as_it_runs(record: int) -> None:
    recorder = Recorder(record)
    mark = recorder.mark(work("calc.add", b"x"))
    place = recorder.begin(mark, "calc.add")
    other = recorder.begin(recorder.mark(work("calc.add", b"y")), "calc.add")
    assert Running(mark, "calc.add") in read_record(record)
    assert len(read_record(record)) == 2
    recorder.end(place)
    recorder.end(other)
    assert read_record(record) == ()
    recorder.close()


def test_marks_tell_methods_bodies_and_frames_apart(record: int) -> None:
    recorder = Recorder(record)
    calls = [work("s.a", b"xy"), work("s.b", b"xy"), work("s.a", b"x", b"y"), work("s.a"), work("s.a", b"")]
    assert len({recorder.mark(call) for call in calls}) == len(calls)
    assert recorder.mark(work("s.a", b"xy")) == recorder.mark(calls[0])
    large = [bytes(1 << 20), bytes(1 << 20) + b"x", b"x" + bytes((1 << 20) - 1), bytes((1 << 20) - 1) + b"x"]
    assert len({recorder.mark(work("s.a", body)) for body in large}) == len(large)
    recorder.close()


def test_a_long_name_is_cut_and_calls_beyond_the_room_are_left_out(record: int) -> None:
    recorder = Recorder(record)
    places = [recorder.begin(f"{number:032x}", "m" * 255) for number in range(1, 5000)]
    assert places[-1] == -1
    recorder.end(places[-1])
    running = read_record(record)
    assert len(running) == 4096
    assert running[0] == Running(f"{1:032x}", "m" * 48)
    recorder.close()


def test_it_survives_sigkill(record: int) -> None:
    program = """
        import os, signal, sys
        from mesh.workers.recorder import Recorder
        recorder = Recorder(int(sys.argv[1]))
        recorder.begin("ab" * 16, "calc.add")
        os.kill(os.getpid(), signal.SIGKILL)
        """
    command = [sys.executable, "-c", textwrap.dedent(program), str(record)]
    assert subprocess.run(command, pass_fds=[record], check=False).returncode == -signal.SIGKILL
    assert read_record(record) == (Running("ab" * 16, "calc.add"),)
