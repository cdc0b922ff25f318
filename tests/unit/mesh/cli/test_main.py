"""The program itself: its help, and one sentence for whatever is wrong with its command line or its surroundings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mesh.cli import ls
from mesh.cli.main import main
from mesh.cli.parser import COMMANDS

Run = Callable[..., tuple[int, str, str]]

LONG = "x" * 64
MORE = "'mesh call --help' says what can be given"


def test_the_version_is_that_of_the_package(run: Run) -> None:
    from importlib.metadata import version

    assert run("--version") == (0, f"mesh {version('freelance-mesh')}\n", "")


def test_the_help_names_the_commands_and_the_exit_codes(run: Run) -> None:
    code, out, err = run("--help")
    assert (code, err) == (0, "")
    assert all(f"    {name}" in out for name in (*COMMANDS, "top"))
    assert "exit codes:" in out


def test_no_command_at_all_gives_the_help_as_an_error(run: Run) -> None:
    code, out, err = run()
    assert (code, out) == (2, "")
    assert err.startswith("usage: mesh ")


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_a_help_with_the_exit_codes(run: Run, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run(name, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: mesh {name} ")
    described, found, _ = out.partition("exit codes:")
    assert found
    assert max(map(len, described.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["cal"], "there is no command 'cal'; did you mean 'call'?"),
        (["xyz"], f"there is no command 'xyz'; choose one of {', '.join(COMMANDS)}, top"),
        (["--frob"], "unrecognized arguments: --frob; 'mesh --help' says what can be given"),
        (["call"], "the following arguments are required: METHOD; " + MORE),
        (
            ["call", "a.b", "--timeout", "x"],
            "argument --timeout: invalid float value: 'x'; " + MORE,
        ),
        (
            ["call", "a.b", "--count", "0"],
            "argument --count: 0 is less than 1; " + MORE,
        ),
        (
            ["call", "a.b", "--rate", "nan"],
            "argument --rate: nan is not a number from 0 on; " + MORE,
        ),
        (["call", "a.b", "--rate", "5"], "--rate is for many calls; say how many with --count"),
        (["call", "a.b", "--time", "5"], "unrecognized arguments: --time 5; " + MORE),
        (["call", "a.b", "--timeout", "0"], "timeout is 0.0; give seconds, more than 0"),
        (["call", "a.b", "--key", ""], "an idempotency key has 1 to 64 octets, not 0"),
        (
            ["call", "", "--server", "127.0.0.1:1"],
            "method '' cannot be called; write 'service.method', at most 255 octets",
        ),
        (["call", "a.b", "\udcff", "--server", "127.0.0.1:1"], "argument 1 (str) cannot be sent: "),
        (["call", "a.b", "--server", "ftp://x:1"], "'ftp://x:1' has a scheme other than tcp; write tcp://HOST:PORT"),
        (
            ["call", "a.b", "--realm", "a b"],
            "realm 'a b' cannot be used; give 1 to 63 letters, digits, '_', '.' or '-'",
        ),
        (
            ["ls", "--interface", "nonsense0"],
            "'nonsense0' is neither a network interface that is up nor one of its addresses; ",
        ),
        (["serve"], "the following arguments are required: TARGET; 'mesh serve --help' says what can be given"),
        (["serve", "no.py"], "there is no file 'no.py'; name a Python file that holds a Service"),
        (["serve", "echo", "echo"], "service 'echo' is given twice"),
        (
            ["serve", "echo", "--bind", "nonsense"],
            "cannot bind 'nonsense': it does not parse; write tcp://HOST:PORT or tcp://*:0",
        ),
        (["serve", "echo", "--bind", "tcp://192.0.2.1:0"], "cannot bind tcp://192.0.2.1:0: "),
        (["serve", "echo", "--name", LONG], f"'{LONG}' "),
        (["serve", "echo", "--advertise", "here"], "'here' has no port; write HOST:PORT"),
        (
            ["serve", "echo", "--advertise", "h:1", "--no-advertise"],
            "argument --no-advertise: not allowed with argument --advertise",
        ),
        (
            ["advertise", "127.0.0.1:5", "--proto", "rep", "--service", "x"],
            "'127.0.0.1:5' is no endpoint; write tcp://HOST:PORT",
        ),
        (["advertise", "tcp://h", "--proto", "rep", "--service", "x"], "'h' has no port; write HOST:PORT"),
        (["advertise", "tcp://h:1", "--proto", "xyz", "--service", "x"], "argument --proto: invalid choice: 'xyz' "),
        (["advertise", "tcp://h:1", "--proto", "rep"], "the following arguments are required: --service; "),
        (
            ["advertise", "tcp://127.0.0.1:1", "--proto", "rep", "--service", "a b"],
            "'a b' cannot be the name of a service; use 1 to 62 ",
        ),
        (
            ["advertise", f"tcp://{LONG}:1", "--proto", "rep", "--service", "x"],
            f"host '{LONG}' cannot be resolved (",
        ),
        (["completion", "csh"], "argument shell: invalid choice: 'csh' "),
    ],
)
def test_what_cannot_be_used_is_said_in_one_sentence(run: Run, words: list[str], sentence: str) -> None:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert err.startswith(f"mesh: {sentence}")
    assert err.count("\n") == 1


def test_a_port_in_use_is_said(run: Run, endpoint: str) -> None:
    code, out, err = run("serve", "echo", "--bind", endpoint)
    assert (code, out) == (2, "")
    assert err.startswith(f"mesh: cannot bind {endpoint}: ")
    assert err.count("\n") == 1


def boom(args: object) -> int:
    raise KeyError("who would have thought")


def test_a_fault_of_the_program_gives_no_traceback_unless_asked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ls, "run", boom)
    code, out, err = run("ls")
    assert (code, out) == (9, "")
    assert err.startswith(
        "mesh: a fault of this program (KeyError: 'who would have thought'); MESH_DEBUG=1 shows where"
    )
    monkeypatch.setenv("MESH_DEBUG", "1")
    with pytest.raises(KeyError):
        main(["ls"])


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, ""),
        (BrokenPipeError(), 141, ""),
        (OSError(28, "No space left on device"), 1, "mesh: input or output: No space left on device; "),
    ],
)
def test_the_end_of_input_or_output_is_no_fault(
    run: Run, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, said: str
) -> None:
    def end(args: object) -> int:
        raise error

    monkeypatch.setattr(ls, "run", end)
    ended, out, err = run("ls")
    assert (ended, out) == (code, "")
    assert err.startswith(said)
    assert bool(err) == bool(said)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_of_each_shell_is_for_mesh(run: Run, shell: str) -> None:
    code, out, err = run("completion", shell)
    assert (code, err) == (0, "")
    assert "_ARGCOMPLETE" in out
    assert "mesh" in out


def test_top_gets_the_rest_of_the_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    def top(words: list[str]) -> int:
        seen.append(words)
        return 5

    monkeypatch.setattr("mesh.top.app.run", top)
    assert run("top", "--once", "-n", "3")[0] == 5
    assert seen == [["--once", "-n", "3"]]


def test_help_needs_neither_sockets_nor_drawing(tmp_path: Path) -> None:
    import subprocess
    import sys

    show = "import sys; from mesh.cli.main import main\ntry: main(['--help'])\nfinally: print(sorted(sys.modules))"
    out = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=False).stdout
    assert "'mesh.cli.parser'" in out
    assert not [name for name in ("zmq", "rich", "asyncio", "mesh.cli.call") if f"'{name}'" in out]
    assert os.environ["MESH_INTERFACE"] == "127.0.0.1"
