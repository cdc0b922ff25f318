"""`mesh ls` and `mesh ping`: what is seen of a server that is named and of one that is not there."""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest

from mesh import Server, Service
from tests.helpers import free_port

Run = Callable[..., tuple[int, str, str]]


def test_a_table_shows_each_server(run: Run, endpoint: str) -> None:
    code, out, err = run("ls", "--server", endpoint)
    assert (code, err) == (0, "")
    head, row = out.splitlines()
    assert head.split() == ["NAME", "STATE", "SERVICES", "ADDRESS", "RTT", "LEARNT", "VERSION"]
    name, state, services, address, _, unit, learnt, version = row.split()
    assert [name, state, services, address, unit] == ["calc-1", "alive", "calc", endpoint, "ms"]
    assert [learnt, version] == ["static", "1.0.0"]


def test_a_pipe_gets_no_colours_and_no_cut_columns(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    port = free_port()
    out = run("ls", "--server", f"tcp://127.0.0.1:{port}?name={'n' * 63}&service=x")[1]
    assert "n" * 63 in out
    assert f"tcp://127.0.0.1:{port}" in out
    assert "\x1b" not in out


def test_a_narrow_terminal_cuts_nothing(run: Run, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    out = run("ls", "--server", endpoint)[1]
    assert len(out.splitlines()) > 2
    assert "…" not in out


def test_why_a_server_is_not_used_is_noted(run: Run, endpoint: str) -> None:
    head, row = run("ls", "--server", endpoint, "--realm", "elsewhere")[1].splitlines()
    assert head.split()[-1] == "NOTE"
    assert "ignored" in row
    assert f"in realm '{os.environ['MESH_REALM']}', this client in 'elsewhere'" in row


def test_discovered_servers_of_other_realms_are_listed_when_asked_for(run: Run) -> None:
    service = Service("calc")

    @service.method
    def nothing() -> None: ...

    with Server(service, bind="tcp://127.0.0.1:0", name="stranger", realm="elsewhere"):
        assert "stranger" not in run("ls", "--wait", "0.3")[1]
        assert "stranger" in run("ls", "--wait", "0.3", "--all")[1]


def test_a_terminal_gets_colours_unless_it_wants_none(run: Run, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[32malive" in run("ls", "--server", endpoint)[1]
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[32m" not in run("ls", "--server", endpoint)[1]
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in run("ls", "--server", endpoint)[1]


def test_json_has_one_object_a_line(run: Run, endpoint: str) -> None:
    code, out, err = run("ls", "--json", "--server", endpoint, "--server", f"tcp://127.0.0.1:{free_port()}")
    servers = [json.loads(line) for line in out.splitlines()]
    assert (code, err) == (0, "")
    assert [server["state"] == "alive" for server in servers] == [False, True]
    assert servers[1]["services"] == ["calc"]
    assert servers[1]["rtt_s"] > 0


def test_only_those_that_offer_the_service_are_listed(run: Run, endpoint: str) -> None:
    assert run("ls", "--json", "--server", endpoint, "--service", "calc")[1].count("\n") == 1
    code, out, err = run("ls", "--server", endpoint, "--service", "geo", "--wait", "0.1")
    assert (code, out) == (0, "")
    assert (
        err == "mesh: no server that offers 'geo' was seen; start one with 'mesh serve', or listen longer with --wait\n"
    )


def test_a_server_that_lives_answers_a_ping(run: Run, endpoint: str) -> None:
    code, out, err = run("ping", "--server", endpoint)
    assert (code, err) == (0, "")
    assert out.startswith(f"calc-1 ({endpoint}) answered in ")
    code, out, err = run("ping", "calc-1", "--server", endpoint, "--count", "2")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 3
    assert out.splitlines()[2].startswith("calc-1: 2 of 2 answered, least ")


def test_pings_as_json_have_every_round_trip(run: Run, endpoint: str) -> None:
    code, out, err = run("ping", "--server", endpoint, "--json", "--count", "2")
    told = json.loads(out)
    assert (code, err) == (0, "")
    assert (told["name"], told["sent"], told["answered"], len(told["round_trips_s"])) == ("calc-1", 2, 2, 2)


def test_a_server_that_is_not_there_fails_the_ping(run: Run, endpoint: str) -> None:
    gone = f"tcp://127.0.0.1:{free_port()}"
    code, out, err = run("ping", "--server", endpoint, "--server", gone, "--timeout", "1")
    assert code == 1
    assert out.startswith("calc-1 (")
    assert err.startswith(f"mesh: {gone.removeprefix('tcp://')} ({gone}) did not answer: ")
    assert run("ping", "--server", gone, "--timeout", "0.2", "--json")[0] == 1


def test_nobody_to_ping_is_said(run: Run, endpoint: str) -> None:
    code, out, err = run("ping", "geo-1", "--server", endpoint, "--timeout", "1")
    assert (code, out) == (3, "")
    assert "No server is called 'geo-1'; seen: calc-1 (alive)." in err


def test_a_name_in_another_realm_is_nobody_to_ping(run: Run, endpoint: str) -> None:
    code, out, err = run("ping", "calc-1", "--server", endpoint, "--realm", "elsewhere", "--timeout", "1")
    assert (code, out) == (3, "")
    assert f"calc-1 ({endpoint}) ignored, it is in realm" in err


def test_a_server_that_knows_no_ping_is_named(run: Run, endpoint: str) -> None:
    foreign = f"tcp://127.0.0.1:{free_port()}?proto=rep&service=x&name=old"
    code, out, err = run("ping", "--server", endpoint, "--server", foreign)
    assert code == 0
    assert out.startswith("calc-1 (")
    assert err == "mesh: note: old speaks rep and cannot be pinged; call one of its methods with --raw\n"
