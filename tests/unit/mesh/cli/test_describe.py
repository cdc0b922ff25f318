"""`mesh describe`: signatures, documentation and JSON Schema of live methods."""

from __future__ import annotations

import json

from tests.unit.mesh.cli.conftest import Run


def test_everything_is_described(run: Run, second: str) -> None:
    code, out, err = run("describe", "--server", second)
    assert (code, err) == (0, "")
    assert [line.rstrip() for line in out.splitlines()] == [
        "calc 2.0.0  counts",
        "",
        "  calc.add(a: float, b: float) -> float",
        "      Add two numbers.",
        "",
        "      Any two.",
        "      Changes nothing.",
        "",
        "geo 0.1.0",
        "",
        "  geo.move(*frames: bytes) -> list[bytes]",
        "      Takes frames as they are: mesh call --raw.",
        "      Must not run twice.",
    ]


def test_versions_that_differ_are_told_apart(run: Run, endpoint: str, second: str) -> None:
    code, out, err = run("describe", "calc.add", "--server", endpoint, "--server", second)
    assert (code, err) == (0, "")
    lines = [line.strip() for line in out.splitlines() if line.strip()]
    assert lines == [
        "calc 1.0.0",
        "calc.add(a: int, b: int = 10) -> int",
        "At calc-1; others have it differently.",
        "calc 2.0.0  counts",
        "calc.add(a: float, b: float) -> float",
        "Add two numbers.",
        "Any two.",
        "Changes nothing.",
        "At calc-2; others have it differently.",
    ]


def test_json_has_the_schema_of_each_method(run: Run, second: str) -> None:
    code, out, err = run("describe", "calc", "geo", "--json", "--server", second)
    add, move = map(json.loads, out.splitlines())
    assert (code, err) == (0, "")
    assert (add["method"], add["version"], add["raw"], add["idempotent"]) == ("calc.add", "2.0.0", False, True)
    assert add["read_only"]
    assert add["schema"]["arguments"]["required"] == ["a", "b"]
    assert add["schema"]["result"] == {"type": "number"}
    assert [server["name"] for server in add["servers"]] == ["calc-2"]
    assert (move["raw"], move["idempotent"], move["schema"]["raw"]) == (True, False, True)


def test_a_name_that_nobody_has_is_said_with_what_comes_near(run: Run, second: str) -> None:
    code, out, err = run("describe", "cal", "--server", second, "--timeout", "1")
    assert (code, out) == (3, "")
    assert "Nobody offers 'cal'; offered are: calc, geo. Did you mean calc?" in err
    code, out, err = run("describe", "calc.ad", "--server", second)
    assert (code, out) == (76, "")
    assert err == "mesh: UNIMPLEMENTED: unknown method calc.ad; nearest: calc.add\n"


def test_a_server_that_cannot_describe_its_methods_is_named(run: Run, foreign: str, endpoint: str) -> None:
    code, out, err = run("describe", "--server", endpoint, "--server", foreign)
    assert code == 0
    assert "calc.add" in out
    assert err == "mesh: note: old speaks rep and cannot tell its methods\n"
