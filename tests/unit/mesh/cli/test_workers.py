"""The options about workers, and what is said of them."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import threading

import pytest

from mesh.cli.workers import Teller, add_worker_options
from mesh.workers.actions import Say
from tests.unit.mesh.cli.conftest import Run


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--max-calls", "5"], "--max-calls is about workers; give --workers N as well"),
        (["--workers", "0"], "'0' is no number from 1 to 1024, and not 'auto'"),
        (["--workers", "many"], "'many' is no number from 1 to 1024, and not 'auto'"),
        (["--workers", "2", "--max-memory", "lots"], "'lots' is no size; write 512M or 2G"),
        (["--workers", "2", "--quarantine-after", "1"], "--quarantine-after is 1; it takes a number of workers from 2"),
        (["--workers", "2", "--hang-timeout", "0"], "--hang-timeout is 0.0; it takes seconds from 0.1 to a day"),
        (["--workers", "2", "--advertise", "tcp://10.0.0.1:7"], "give --bind a port as well"),
    ],
)
def test_what_cannot_be_used_is_said_in_one_sentence(run: Run, words: list[str], said: str) -> None:
    code, out, err = run("serve", "echo", *words)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "octets"), [("1", 1), ("2k", 2048), ("512M", 512 << 20), ("1GiB", 1 << 30), ("3TB", 3 << 40)]
)
def test_sizes_are_read_in_powers_of_1024(text: str, octets: int) -> None:
    parser = argparse.ArgumentParser()
    add_worker_options(parser)
    assert parser.parse_args(["--max-memory", text]).max_memory == octets


def test_auto_is_as_many_workers_as_processors_may_be_used() -> None:
    parser = argparse.ArgumentParser()
    add_worker_options(parser)
    assert parser.parse_args(["--workers", "auto"]).workers == len(os.sched_getaffinity(0))


def test_people_read_sentences_and_programs_read_events(capsys: pytest.CaptureFixture[str]) -> None:
    died = Say("died", "w-1 was ended by SIGKILL", True, {"name": "w-1", "pid": 7, "running": 2})
    for as_json in (False, True):
        with Teller(as_json) as teller:
            teller.say(Say("loaded", "", False, {"pid": 7}))
            teller.say(died)
            teller.pass_on("w-1", "stdout", "hello")
            teller.pass_on("w-1", "stderr", "oh")
    out, err = capsys.readouterr()
    first, *events = out.splitlines()
    assert first == "[w-1] hello"
    assert err.splitlines() == ["mesh: w-1 was ended by SIGKILL", "[w-1] oh"]
    assert [json.loads(event) for event in events] == [
        {"event": "loaded", "pid": 7, "text": ""},
        {"event": "died", "name": "w-1", "pid": 7, "running": 2, "text": "w-1 was ended by SIGKILL"},
        {"event": "output", "name": "w-1", "output": "stdout", "line": "hello"},
        {"event": "output", "name": "w-1", "output": "stderr", "line": "oh"},
    ]


def test_an_output_whose_reader_is_gone_does_not_end_a_supervisor(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", Gone())
    monkeypatch.setattr(sys, "stderr", told := io.StringIO())
    with Teller(json=False) as teller:
        teller.pass_on("w-1", "stdout", "hello")
        teller.pass_on("w-1", "stderr", "oh")
    assert told.getvalue() == "[w-1] oh\n"


def test_an_output_that_nobody_reads_does_not_hold_a_supervisor_up(monkeypatch: pytest.MonkeyPatch) -> None:
    read = threading.Event()

    class Stuck(io.StringIO):
        def write(self, text: str) -> int:
            read.wait(10.0)
            return super().write(text)

    monkeypatch.setattr(sys, "stdout", stuck := Stuck())
    with Teller(json=False) as teller:
        for number in range(20_000):
            teller.pass_on("w-1", "stdout", str(number))
        read.set()
    assert 10_000 <= stuck.getvalue().count("\n") <= 10_010


def test_with_records_all_of_standard_error_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    with Teller(json=False, records=True) as teller:
        teller.say(Say("died", "w-1 was ended by SIGKILL", True, {"name": "w-1", "pid": 7}))
        teller.say(Say("drained", "w-1 has drained and ended", False, {"name": "w-1", "pid": 7}))
        teller.pass_on("w-1", "stdout", "hello")
        teller.pass_on("w-1", "stderr", '{"message": "oh"}')
    out, err = capsys.readouterr()
    assert out == "w-1 has drained and ended\n[w-1] hello\n"
    died, said = map(json.loads, err.splitlines())
    assert (died["message"], died["event"], died["server"]) == ("w-1 was ended by SIGKILL", "died", "w-1")
    assert said == {"message": "oh", "server": "w-1"}
