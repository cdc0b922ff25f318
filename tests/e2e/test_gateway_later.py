"""Calls for later through a real gateway: kept over kills, made when a server is there, told at their URL."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.helpers import Process, spawn, wait_until
from tests.helpers.http import Answer, ask

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]

PROGRAM = str(Path(sys.executable).parent / "mesh")
_REALMS = itertools.count()


class Stage:
    """A realm of its own, with a directory for the calls of its gateway."""

    def __init__(self, directory: Path) -> None:
        self._environment = {"MESH_REALM": f"later-{os.getpid()}-{next(_REALMS)}"}
        self._directory = directory
        self.port = 0

    @contextlib.contextmanager
    def server(self) -> Iterator[Process]:
        command = [sys.executable, "-m", "tests.e2e.gateway_server", "one"]
        with spawn(command, env=self._environment) as process:
            process.wait_line("ready")
            yield process

    @contextlib.contextmanager
    def gateway(self, *options: str) -> Iterator[Process]:
        command = [PROGRAM, "gateway", "--listen", "127.0.0.1:0", "--spool", str(self._directory), *options]
        with spawn(command, env=self._environment) as process:
            self.port = int(process.wait_line(r"answering on \w+://[^:]+:(\d+)/")[1])
            yield process

    def put(self, method: str, *arguments: object, prefer: str = "respond-async", **headers: str) -> Answer:
        path = f"/v1/call/{method.replace('.', '/', 1)}"
        return ask(self.port, path, json.dumps(arguments), content_type="application/json", prefer=prefer, **headers)

    def state(self, url: str) -> Any:
        answer = ask(self.port, url)
        assert answer.status == 200
        return answer.json

    def ended(self, url: str) -> Any:
        wait_until(lambda: "ended_at" in self.state(url), what=f"the end of {url}")
        return self.state(url)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "calls")


def test_a_call_for_later_outlives_its_gateway_and_waits_for_a_server(stage: Stage) -> None:
    with stage.gateway() as process:
        kept = stage.put("work.add", 2, 3)
        assert (kept.status, kept.headers["preference-applied"]) == (202, "respond-async")
        url = kept.headers["location"]
        assert kept.json | {"put_at": 0} == {
            "id": url.rpartition("/")[2],
            "method": "work.add",
            "state": "waiting",
            "put_at": 0,
            "tries": 0,
            "url": url,
        }
        answer = ask(stage.port, f"{url}/answer")
        assert (answer.status, answer.headers["retry-after"]) == (202, "1")
        wait_until(lambda: "problem" in stage.state(url), what="a first try")
        assert stage.state(url)["problem"] == "work.add: no server that offers work is alive."
        process.kill9()
    with stage.gateway() as process, stage.server():
        state = stage.ended(url)
        assert (state["state"], state["answer"]) == ("answered", f"{url}/answer")
        answer = ask(stage.port, state["answer"])
        assert (answer.status, answer.headers["content-type"], answer.body) == (200, "application/json", b"5")
        process.kill9()
    with stage.gateway():
        assert ask(stage.port, f"{url}/answer").body == b"5", "an outcome outlives the gateway, and needs no server"


def test_a_call_that_must_not_run_twice_is_not_made_again_after_a_kill(stage: Stage) -> None:
    with stage.server():
        with stage.gateway() as process:
            url = stage.put("work.hold", 30).headers["location"]
            wait_until(lambda: stage.put("work.seen", prefer="none").json["begun"] == 1, what="its begin")
            process.kill9()
        with stage.gateway():
            state = stage.ended(url)
            assert (state["state"], state["code"]) == ("failed", "ABORTED")
            answer = ask(stage.port, f"{url}/answer")
            assert (answer.status, answer.json["code"]) == (502, "OUTCOME_UNKNOWN")
            assert "it may or may not have run, and must not run twice" in answer.json["detail"]
            assert stage.put("work.seen", prefer="none").json["begun"] == 1


def test_whoever_waits_a_moment_gets_the_answer_at_once_if_it_is_there(stage: Stage) -> None:
    with stage.server(), stage.gateway():
        answer = stage.put("work.add", 2, 3, prefer="respond-async, wait=10")
        assert (answer.status, answer.body) == (200, b"5")
        failed = stage.put("work.end", "NOT_FOUND", prefer="respond-async; wait=10")
        assert (failed.status, failed.json["detail"], failed.headers["content-type"]) == (
            404,
            "told to",
            "application/problem+json",
        )
        url = stage.put("work.frames", prefer="respond-async").headers["location"]
        stage.ended(url)
        raw = ask(stage.port, f"{url}/answer")
        assert (raw.headers["content-type"], raw.body) == ("application/octet-stream", b"[]")
        assert stage.put("work.nothing", prefer="respond-async, wait=10").status == 501


def test_a_call_with_a_term_that_nobody_takes_in_time_fails(stage: Stage) -> None:
    with stage.gateway():
        url = stage.put("work.add", 1, request_timeout="0.2").headers["location"]
        state = stage.ended(url)
        assert (state["state"], state["code"]) == ("failed", "DEADLINE_EXCEEDED")
        assert ask(stage.port, f"{url}/answer").status == 504


def test_what_is_no_call_or_nobodys_call_is_refused(stage: Stage, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef\n")
    token.chmod(0o600)
    with stage.gateway("--token-file", str(token)):
        authorization = "Bearer 0123456789abcdef"
        assert ask(stage.port, "/v1/calls/0123", authorization=authorization).status == 404
        assert ask(stage.port, "/v1/calls/0123").status == 401
        refused = ask(stage.port, "/v1/call/work", b"", prefer="respond-async", authorization=authorization)
        assert (refused.status, refused.json["detail"]) == (
            400,
            "'work' is no method; write /v1/call/SERVICE/METHOD",
        )
        with spawn([PROGRAM, "gateway", "--listen", "127.0.0.1:0", "--spool", str(tmp_path / "calls")]) as second:
            assert second.wait() == 1
            second.wait_line("mesh: .* is in use by another process; give each its own directory")


def test_without_a_directory_the_preference_is_not_applied(stage: Stage) -> None:
    command = [PROGRAM, "gateway", "--listen", "127.0.0.1:0"]
    with stage.server(), spawn(command, env=stage._environment) as process:
        stage.port = int(process.wait_line(r"answering on \w+://[^:]+:(\d+)/")[1])
        answer = stage.put("work.add", 2, 3)
        assert (answer.status, answer.body) == (200, b"5")
        assert "preference-applied" not in answer.headers
