"""`mesh info`: what servers are and offer, and what else they may answer."""

from __future__ import annotations

import json
import os
import re

import pytest

from mesh import Server
from tests.helpers import free_port
from tests.unit.mesh.cli.conftest import Run, calc_service


def test_info_tells_who_where_and_what(run: Run, second: str) -> None:
    code, out, err = run("info", "calc-2", "--server", second)
    assert (code, err) == (0, "")
    facts = dict(line.strip().split(maxsplit=1) for line in out.splitlines() if " " in line.strip())
    assert out.splitlines()[0] == "calc-2"
    assert facts["state"].startswith("alive, answers in ")
    assert facts["address"] == second
    assert facts["process"].startswith(f"{os.getpid()} on host ")
    assert (facts["realm"], facts["speaks"]) == (os.environ["MESH_REALM"], "mesh/1, version 2.0.0")
    assert facts["metadata"] == "site=B"
    assert [
        line.split(maxsplit=1)[1].strip() for line in out.splitlines() if line.split()[0] in ("service", "methods")
    ] == [
        "calc 2.0.0: counts",
        "add",
        "geo 0.1.0",
        "move",
    ]


def test_info_as_json_has_all_that_the_server_and_the_client_know(
    run: Run, foreign: str, endpoint: str, second: str
) -> None:
    code, out, err = run("info", "--json", "--server", endpoint, "--server", second, "--server", foreign)
    told = {one["name"]: one for one in map(json.loads, out.splitlines())}
    assert (code, err, len(told)) == (0, "", 3)
    assert told["calc-2"]["info"]["pid"] == os.getpid()
    assert (told["calc-1"]["state"], told["calc-1"]["address"]) == ("alive", endpoint)
    assert (told["old"]["proto"], told["old"]["services"], told["old"]["info"]) == ("rep", ["clock"], None)


def test_a_server_that_is_named_is_told_as_it_is_after_its_answer(run: Run) -> None:
    with Server(calc_service(), bind="tcp://127.0.0.1:0", name="told"):  # by mDNS, which names it before it is dialled
        code, out, err = run("info", "told")
    assert (code, err) == (0, "")
    assert out.splitlines()[1].split()[:2] == ["state", "alive,"]


def test_a_foreign_server_is_shown_with_what_is_known(run: Run, foreign: str) -> None:
    code, out, err = run("info", "--server", foreign)
    assert (code, err) == (0, "")
    assert re.search("speaks +rep; it cannot tell more", out)
    assert re.search("services +clock", out)


def test_a_server_that_does_not_answer_is_named(run: Run, endpoint: str) -> None:
    gone = f"tcp://127.0.0.1:{free_port()}"
    code, out, err = run("info", "--server", endpoint, "--server", gone, "--timeout", "1")
    assert code == 1
    assert "calc-1" in out
    assert err.startswith(f"mesh: {gone.removeprefix('tcp://')} ({gone}): mesh.info: no server within ")


@pytest.mark.parametrize("command", ["info", "describe", "drain odd-1", "ping"])
def test_whatever_a_server_answers_is_no_fault_of_this_program(run: Run, garbled: str, command: str) -> None:
    for number in range(10):
        code, _, err = run(*command.split(), "--server", garbled, *(["--json"] if number >= 5 else []))
        assert (code, err.count("mesh: ")) in ((0, 0), (0, 1)), err
