"""What the doctor says, to people and to programs."""

from __future__ import annotations

from dataclasses import replace

from mesh.doctor.findings import diagnose
from mesh.doctor.observations import End, Observations
from mesh.doctor.report import as_json, report
from tests.unit.mesh.doctor.cases import HEALTHY, LO, MACHINE, again, named, observed, seen


def lines(observations: Observations) -> list[str]:
    return [line.head + line.text for line in report(observations, diagnose(observations))]


def test_of_a_healthy_mesh_it_says_so_in_few_lines() -> None:
    assert lines(HEALTHY) == [
        "eth0 (10.0.0.3/24): this host hears its own multicast, and on UDP port 5353 also 10.0.0.1",
        "a (work): 10.0.0.1:5001 answers in 0.5 ms",
        "ok: the mesh is usable; servers that take calls: 1 of 1.",
    ]


def test_many_servers_that_answer_take_one_line() -> None:
    many = [seen(host=f"10.0.0.{number}", name=f"s{number}") for number in range(1, 101)]
    _, servers, verdict = lines(observed(*many))
    assert servers == "100 servers answer, in 0.5 ms to 0.5 ms"
    assert verdict == "ok: the mesh is usable; servers that take calls: 100 of 100."


def test_each_finding_has_what_to_do_below_it_and_many_of_a_kind_are_cut() -> None:
    dead = [seen(End.REFUSED, f"10.0.0.1{number}", name=f"s{number}") for number in range(1, 9)]
    _, *said, verdict = lines(observed(*dead, again=again()))
    assert said[0].startswith("problem: the advertisement of s1 at 10.0.0.11:5001 is stale: ")
    assert said[1] == "  -> start s1 again; clients forget its record within 75 minutes."
    assert len(said) == 11
    assert said[-1] == "3 more findings are stale; --json has them all."
    assert verdict == "fails: the mesh is not usable; servers that take calls: 0 of 8."


def test_the_verdict_is_about_what_was_asked() -> None:
    assert lines(replace(HEALTHY, target="a"))[-1] == "ok: the mesh is usable for a; servers that take calls: 1 of 1."
    assert lines(replace(HEALTHY, target="b"))[-1] == "fails: the mesh is not usable for b; no server is there."
    part = observed(seen(), seen(End.REFUSED, name="b"), again=again())
    assert lines(part)[-1] == "ok in part: the mesh is usable, but not all is well; servers that take calls: 1 of 2."


def test_named_servers_are_shown_without_a_word_on_multicast() -> None:
    assert lines(observed(named(End.ANSWERED), discovers=False, hearings=())) == [
        "a: 10.0.0.1:5001 answers in 0.5 ms",
        "ok: the mesh is usable; servers that take calls: 1 of 1.",
    ]


def test_who_shares_the_port_is_told() -> None:
    shared = replace(HEALTHY, machine=replace(MACHINE, links=(LO,), holders=("avahi-daemon (pid 7)",)))
    assert "UDP port 5353 is shared with avahi-daemon (pid 7)" in lines(shared)


def test_programs_get_everything() -> None:
    observations = observed(seen(), seen(End.REFUSED, "10.0.0.2", name="b", why="Connection refused"), again=again())
    told = as_json(observations, diagnose(observations))
    assert (told["usable"], told["healthy"], told["wanted"], told["serving"]) == (True, False, 2, 1)
    [finding] = told["findings"]
    assert (finding["level"], finding["code"], finding["subject"]) == ("problem", "stale", "b")
    [eth] = [link for link in told["interfaces"] if link["name"] == "eth0"]
    [multicast] = eth["multicast"]
    assert multicast["works"]
    assert multicast["others"] == ["10.0.0.1"]
    alive, dead = told["servers"]
    assert alive["alive"]
    assert alive["advertised_by"] == ["10.0.0.1"]
    assert alive["addresses"][0]["rtt_s"] == 0.0005
    assert not dead["alive"]
    assert dead["addresses"] == [
        {
            "address": "10.0.0.2:5001",
            "result": "refused",
            "why": "Connection refused",
            "connect_s": None,
            "rtt_s": None,
            "answered_by": "",
        }
    ]
