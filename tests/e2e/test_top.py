"""`mesh-top` as people use it: in a terminal, which tmux gives, and in a pipe."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.helpers import PATIENCE_S, Process, needs_program, quickest, spawn, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]

PROGRAM = str(Path(sys.executable).parent / "mesh-top")

SERVER = """
import signal, sys
from mesh import Server, Service

service = Service(sys.argv[1], version="1.0.0")

@service.method
def add(a: int, b: int) -> int:
    return a + b

server = Server(service, bind="tcp://127.0.0.1:0", name=sys.argv[1] + "-server", realm=sys.argv[2])
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
with server:
    print("ready", flush=True)
    server.wait()
"""

_REALMS = itertools.count()
_FOUND_S = "1"
"""Seconds until the first look of a program that shows no later one: on a busy machine servers are found by then."""


@pytest.fixture
def realm() -> str:
    """A mesh of its own for each test."""
    return f"top-{os.getpid()}-{next(_REALMS)}"


@contextlib.contextmanager
def servers(realm: str, *names: str) -> Iterator[list[Process]]:
    """Run one server for each name, as NAME-server."""
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(spawn([sys.executable, "-c", SERVER, name, realm])) for name in names]
        for process in running:
            process.wait_line("ready", 15.0)
        yield running


@pytest.fixture(scope="module")
def calm_realm() -> Iterator[str]:
    """The realm of calc-server and text-server, for tests that only look at them."""
    name = f"top-{os.getpid()}-calm"
    with servers(name, "calc", "text"):
        yield name


class Tmux:
    """A terminal with a shell in it."""

    def __init__(self, folder: Path, width: int = 80, height: int = 24) -> None:
        self._folder = folder
        self._command = ["tmux", "-u", "-S", str(folder / "tmux"), "-f", "/dev/null"]
        self.run("new-session", "-d", "-x", str(width), "-y", str(height), "PS1='ready ' exec sh")
        self.wait("^ready")  # what is typed before is echoed twice

    def run(self, *args: str) -> str:
        """Run one of tmux's commands and return its output."""
        return subprocess.run([*self._command, *args], check=True, capture_output=True, text=True).stdout

    def close(self) -> None:
        """End the terminal and all that runs in it."""
        self.run("kill-server")

    def start(self, *args: str, env: str = "") -> None:
        """Run mesh-top in the shell, with the settings of the terminal noted before and after."""
        before, after = (shlex.quote(str(self._folder / name)) for name in ("before", "after"))
        command = f"stty -g >{before}; {env} {shlex.join([PROGRAM, *args])}; code=$?; stty -g >{after}; echo code=$code"
        self.run("send-keys", "-l", command)
        self.keys("Enter")

    def keys(self, *keys: str) -> None:
        """Press some keys."""
        self.run("send-keys", *keys)

    def text(self) -> str:
        """Return what is on the screen."""
        return self.run("capture-pane", "-p")

    def wait(self, pattern: str, deadline_s: float = PATIENCE_S) -> str:
        """Return the screen once it matches."""
        regex = re.compile(pattern, re.MULTILINE)
        found: list[str] = []

        def matches() -> bool:
            found[:] = [self.text()]
            return bool(regex.search(found[0]))

        try:
            wait_until(matches, deadline_s, pattern)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{found[0]}") from None
        return found[0]

    def program(self) -> int:
        """Return the process id of what runs in the shell."""
        pid = int(self.run("display-message", "-p", "#{pane_pid}"))
        [child] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(child)

    def is_clean(self) -> bool:
        """Tell whether the terminal is as it was before mesh-top."""
        modes = self.run("display-message", "-p", "#{alternate_on} #{cursor_flag}").split()
        before, after = ((self._folder / name).read_text() for name in ("before", "after"))
        return modes == ["0", "1"] and before == after


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Tmux]:
    """A terminal of 80 by 24."""
    tmux = Tmux(tmp_path)
    try:
        yield tmux
    finally:
        tmux.close()


def run(*args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PROGRAM, *args], capture_output=True, text=True, timeout=20, check=False, env={**os.environ, **(env or {})}
    )


@needs_program("tmux")
def test_a_session_in_a_terminal(terminal: Tmux, realm: str) -> None:
    with servers(realm, "calc", "text", "geo") as running:
        # Exported sizes, as from a shell that uses readline, must not keep it from following the terminal.
        terminal.start("--realm", realm, "-d", "0.5", env="COLUMNS=80 LINES=24")
        screen = terminal.wait("^calc-server +alive +calc .*\n^geo-server +alive +geo .*\n^text-server +alive +text ")
        assert re.search(r"^NAME▲ +STATE +SERVICES +CALLS/S", screen, re.MULTILINE)
        assert re.match(
            rf"mesh-top  {realm}  3 servers  ● 3 alive  3 services .* \d\d:\d\d:\d\d$", screen.splitlines()[0]
        )

        terminal.keys("r")
        terminal.wait("^NAME▼ .*\n^text-server .*\n^geo-server .*\n^calc-server ")
        terminal.keys(">")
        terminal.wait("^NAME +STATE▲ ")
        terminal.keys("s")
        terminal.wait("^  VERSION ")
        terminal.keys("Home", "Enter")
        terminal.wait("^NAME▲")

        terminal.keys("/", "g", "e")
        screen = terminal.wait("^filter: ge ")
        assert "calc-server" not in screen.partition("────")[0]
        terminal.keys("Enter", "Enter")
        terminal.wait("^METHOD +CALLS(.*\n)+geo\\.add +0 ")
        terminal.wait("^tcp://.* +alive(.*\n)+TXT RECORD\nid=.*\nsvc=geo\n")
        terminal.keys("Escape", "Escape")
        terminal.wait("^calc-server +alive")

        for width, height in ((60, 15), (80, 24)):
            terminal.run("resize-window", "-x", str(width), "-y", str(height))
            terminal.wait(rf"\Amesh-top(.*\n){{{height - 1}}}q quit")

        def die(number: int, name: str) -> float:
            running[number].kill9()
            killed_at = time.monotonic()
            terminal.wait(f"^{name} +dead")
            return time.monotonic() - killed_at

        victims = iter([(0, "calc-server"), (2, "geo-server")])
        soon_s = 2 * 0.5 + 0.3
        assert quickest(lambda: die(*next(victims)), soon_s, tries=2) < soon_s
        terminal.wait("dead +calc-server")
        running[1].terminate()
        terminal.wait("^text-server +gone")
        terminal.wait("gone +text-server")

        terminal.keys("q")
        screen = terminal.wait("^code=0")
        assert "mesh-top  " not in screen
        assert terminal.is_clean()


@needs_program("tmux")
def test_a_server_is_asked_drained_and_taken_back(terminal: Tmux, realm: str) -> None:
    with servers(realm, "calc"):
        terminal.start("--realm", realm, "-d", "0.2")
        terminal.wait("^calc-server +alive")
        terminal.keys("D")
        terminal.wait("^select a server first")
        terminal.keys("Down", "P")
        terminal.wait("^calc-server answered in [0-9.]+ ms")
        terminal.keys("D", "n")
        terminal.wait("^left as it is")
        terminal.keys("D")
        terminal.wait("^drain calc-server[?]")
        terminal.keys("y")
        terminal.wait("^calc-server +draining")
        terminal.keys("D", "y")
        terminal.wait("^calc-server takes calls again")
        terminal.wait("^calc-server +alive")


@needs_program("tmux")
def test_a_paused_screen_stands_still(terminal: Tmux, realm: str) -> None:
    with servers(realm, "calc") as [calc]:
        terminal.start("--realm", realm, "-d", "0.1")
        terminal.wait("^calc-server +alive")
        terminal.keys("p")
        still = terminal.wait("^ PAUSED .* filter")
        calc.kill9()
        with servers(realm, "text"):
            assert terminal.text() == still
            terminal.keys("p")
            terminal.wait("^calc-server +dead(.*\n)+.*text-server")


@needs_program("tmux")
def test_ctrl_z_gives_the_terminal_back_and_fg_goes_on(terminal: Tmux, calm_realm: str) -> None:
    terminal.run("send-keys", "-l", f"{shlex.quote(PROGRAM)} --realm {calm_realm}")
    terminal.keys("Enter")
    terminal.wait("^calc-server +alive")
    terminal.keys("C-z")
    terminal.wait("Stopped")
    terminal.run("send-keys", "-l", "clear; stty -a; fg")
    terminal.keys("Enter")
    terminal.wait("^calc-server +alive")
    terminal.keys("q")
    assert re.search("isig icanon iexten echo ", terminal.wait("icanon"))


@needs_program("tmux")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_with_a_clean_terminal(terminal: Tmux, realm: str, number: signal.Signals) -> None:
    terminal.start("--realm", realm)
    terminal.wait("^no server seen yet: is one running, on this network and in this realm")
    os.kill(terminal.program(), number)
    terminal.wait("^code=0")
    assert terminal.is_clean()


@needs_program("tmux")
def test_it_ends_with_its_window(terminal: Tmux, realm: str) -> None:
    terminal.run("new-window", "-d", "sleep 60")  # else tmux itself would end
    terminal.start("--realm", realm)
    terminal.wait("^no server seen yet")
    program = Path(f"/proc/{terminal.program()}")
    terminal.run("kill-pane")
    wait_until(lambda: not program.exists() or "Z" in (program / "stat").read_text().split()[2:3])


@needs_program("tmux")
def test_it_ends_after_so_many_refreshes(terminal: Tmux, realm: str) -> None:
    terminal.start("--realm", realm, "-n", "2", "-d", "0.1")
    terminal.wait("^code=0")
    assert terminal.is_clean()


@needs_program("tmux")
def test_colours_are_left_out_where_nobody_wants_them(terminal: Tmux, calm_realm: str) -> None:
    terminal.start("--realm", calm_realm, env="NO_COLOR=1")
    terminal.wait("^calc-server +alive")
    assert "\x1b[32m" not in terminal.run("capture-pane", "-p", "-e")
    terminal.keys("q")
    terminal.wait("^code=0")
    terminal.start("--realm", calm_realm)
    terminal.wait("^calc-server +alive")
    assert "\x1b[32m" in terminal.run("capture-pane", "-p", "-e")


@needs_program("tmux")
def test_a_dumb_terminal_gets_one_table(terminal: Tmux, calm_realm: str) -> None:
    terminal.start("--realm", calm_realm, "-d", _FOUND_S, env="TERM=dumb")
    screen = terminal.wait("^code=0")
    assert re.search("^calc-server +alive", screen, re.MULTILINE)


def test_a_pipe_gets_one_plain_table(calm_realm: str) -> None:
    done = run("--realm", calm_realm, "-d", _FOUND_S, "-s", "-name", "-f", "alive")
    titles, *rows = done.stdout.splitlines()
    assert (done.returncode, done.stderr) == (0, "")
    assert titles.split()[:3] == ["NAME", "STATE", "SERVICES"]
    assert titles.split()[-1] == "NOTE"
    assert [row.split()[:4] for row in rows] == [
        ["text-server", "alive", "text", "0"],
        ["calc-server", "alive", "calc", "0"],
    ]
    assert "\x1b" not in done.stdout


def test_nobody_at_all_is_said_beside_the_titles(realm: str) -> None:
    done = run("--realm", realm, "-d", "0.1")
    assert done.stdout.startswith("NAME ")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)
    assert done.stderr == "mesh: no server was seen; start one with 'mesh serve', or ask 'mesh doctor' why\n"


def test_with_nohup_it_outlives_its_terminal(calm_realm: str) -> None:
    with spawn(["nohup", PROGRAM, "--realm", calm_realm, "--json", "-d", "0.1", "-o", "name"]) as top:
        top.wait_line('"calc-server"')
        os.kill(top.pid, signal.SIGHUP)
        top.wait_line('"calc-server"', since=len(top.lines))
        assert top.terminate() == 0


def test_json_has_one_object_a_line_for_each_server(calm_realm: str) -> None:
    done = run("--realm", calm_realm, "--once", "--json", "-d", _FOUND_S, "-s", "-name")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert (done.returncode, done.stderr) == (0, "")
    assert [row["name"] for row in rows] == ["text-server", "calc-server"]
    text = rows[0]
    assert (text["state"], text["services"], text["sources"], text["calls_per_s"]) == ("alive", ["text"], ["mdns"], 0.0)
    assert text["uptime_s"] > 0.2
    assert text["memory"] > 1 << 20
    assert 0.0 <= text["cpu_percent"] < 100.0
    assert 0.0 < text["rtt_s"] < PATIENCE_S
    assert 0.0 <= text["age_s"] < PATIENCE_S
    assert [method["name"] for method in text["methods"]] == ["text.add"]
    assert [address["state"] for address in text["addresses"]] == ["alive"]
    assert (text["txt"]["svc"], text["txt"]["id"]) == ("text", text["peer_id"])


def test_csv_has_titles_once_and_fields_that_were_asked_for(calm_realm: str) -> None:
    done = run("--realm", calm_realm, "--csv", "-n", "2", "-d", _FOUND_S, "-o", "name,state,p99", "-f", "text")
    assert done.stdout.splitlines() == ["name,state,p99_s", "text-server,alive,", "text-server,alive,"]
    assert (done.returncode, done.stderr) == (0, "")


def test_a_frozen_server_never_delays_the_others(realm: str) -> None:
    with (
        servers(realm, "calc", "text") as [calc, _],
        spawn([PROGRAM, "--realm", realm, "--json", "-d", "0.2"]) as top,
    ):

        def five_looks_s() -> float:
            before = len(top.lines)
            started = time.monotonic()
            wait_until(lambda: len([line for line in top.lines[before:] if '"text-server"' in line]) >= 5)
            return time.monotonic() - started

        top.wait_line('"calc-server"')
        calm_s = five_looks_s()
        calc.stop()
        top.wait_line('"calc-server", .*"state": "(suspect|dead)"')
        assert five_looks_s() < 2 * calm_s + 1.0, "waiting for it would take 2 s each time"
        calc.cont()
        top.wait_line('"calc-server", .*"state": "alive"', since=len(top.lines))
        assert top.terminate() == 0
        assert top.stderr == []


def test_a_reader_that_has_seen_enough_ends_it(calm_realm: str) -> None:
    done = subprocess.run(
        [
            "sh",
            "-c",
            '("$@"; echo code=$? >&2) | head -n 1',
            "sh",
            PROGRAM,
            "--realm",
            calm_realm,
            "--json",
            "-d",
            "0.1",
        ],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert len(done.stdout.splitlines()) == 1
    assert done.stderr == "code=141\n"


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (
            ["-d", "0"],
            "mesh: argument -d: '0': give seconds from 0.1 to 3600; 'mesh-top --help' says what can be given",
        ),
        (["--realm", "a b"], "mesh: realm 'a b' cannot be used; give 1 to 63 letters"),
        (["--interface", "none0"], "mesh: 'none0' is neither a network interface that is up nor one of its addresses"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_remedy(args: Sequence[str], sentence: str) -> None:
    done = run("--once", *args)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(sentence)
    assert len(done.stderr.splitlines()) == 1
