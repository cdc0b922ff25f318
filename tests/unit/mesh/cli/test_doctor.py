"""`mesh doctor` in this process: what it prints, and its exit code. In namespaces: tests/e2e/test_doctor.py."""

from __future__ import annotations

import json

import pytest

from tests.helpers import free_port
from tests.unit.mesh.cli.conftest import Run

pytestmark = pytest.mark.network


def test_a_named_server_that_answers_is_all_well(run: Run, endpoint: str) -> None:
    code, out, err = run("doctor", "--server", endpoint)
    assert (code, err) == (0, "")
    server, verdict = out.splitlines()
    assert server.startswith(f"calc-1: {endpoint.removeprefix('tcp://')} answers in ")
    assert verdict == "ok: the mesh is usable; servers that take calls: 1 of 1."


def test_one_that_is_refused_gets_a_finding_and_its_remedy(run: Run, endpoint: str) -> None:
    dead = f"tcp://127.0.0.1:{free_port()}"
    code, out, _ = run("doctor", "--server", dead)
    assert code == 3
    problem, remedy, verdict = out.splitlines()
    assert problem.startswith(f"problem: {dead.removeprefix('tcp://')} is refused: ")
    assert remedy.startswith("  -> start the server, correct the port")
    assert verdict == "fails: the mesh is not usable; servers that take calls: 0 of 1."
    assert run("doctor", "--server", dead, "--server", endpoint)[0] == 1
    assert run("doctor", "calc", "--server", dead, "--server", endpoint)[0] == 0
    assert run("doctor", "clac", "--server", endpoint)[0] == 3


def test_programs_get_one_object(run: Run, endpoint: str) -> None:
    code, out, _ = run("doctor", "--server", endpoint, "--json")
    assert code == 0
    told = json.loads(out)
    assert told["healthy"]
    assert told["findings"] == []
    [server] = told["servers"]
    assert server["addresses"][0]["result"] == "answered"


def test_a_server_of_another_realm_is_not_of_this_mesh(run: Run, endpoint: str) -> None:
    code, out, _ = run("doctor", "--server", endpoint, "--realm", "elsewhere")
    assert code == 3
    assert "this is about the realm 'elsewhere'" in out


def test_what_is_discovered_is_examined(run: Run) -> None:
    # The realm of the tests is empty but for what they advertise.
    code, out, _ = run("doctor", "nobody", "--interface", "127.0.0.1", "--timeout", "0.2")
    assert code == 3
    assert out.startswith("lo (127.0.0.1/8): this host hears its own multicast")
    assert "nobody is called nobody or offers it" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--timeout", "0"], "--timeout 0 leaves no time to listen; give seconds, such as 2"),
        (["--timeout", "soon"], "argument --timeout: soon is not a number from 0 on"),
        (["--interface", "eth99"], "'eth99' is neither a network interface that is up nor one of its addresses"),
        (["--server", "nix"], "'nix' has no port"),
        (["--realm", "a b"], "realm 'a b' cannot be used"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_sentence(run: Run, words: list[str], sentence: str) -> None:
    code, out, err = run("doctor", *words)
    assert (code, out) == (2, "")
    assert err.startswith("mesh: ")
    assert sentence in err
    assert len(err.splitlines()) == 1
