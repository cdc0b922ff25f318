"""The README's examples, run as they stand: files are written, commands typed, programs executed, in its order."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent
_BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass
class Shell:
    """A folder in which the README's user sits, and what runs in the background there."""

    folder: Path
    environment: dict[str, str]
    background: list[subprocess.Popen[str]]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=30, check=False
        )

    def start(self, command: str) -> str:
        """Start a command in the background and return its first line."""
        process = subprocess.Popen(
            ["bash", "-c", f"exec {command}"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.background.append(process)
        assert process.stdout is not None
        return process.stdout.readline()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    programs = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONUNBUFFERED": "1", "COLUMNS": "120"}
    shell = Shell(tmp_path, environment, [])
    yield shell
    for process in shell.background:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)


def matches(printed: str, expected: str) -> bool:
    """Tell whether `expected` was printed; `...` in it stands for anything."""
    pattern = ".*".join(re.escape(part) for part in expected.split("..."))
    return re.search(pattern, printed, re.DOTALL) is not None


def commands(block: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a console block and what it is said to print."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, expected = part.partition("\n")
        yield command, expected.strip()


@pytest.mark.timeout(180)  # sixty programs, 15 s on a machine that has nothing else to do
def test_every_example_does_what_it_says(shell: Shell) -> None:
    blocks = _BLOCK.findall((PROJECT / "README.md").read_text())
    assert len(blocks) > 5
    for language, name, text in blocks:
        if language == "python" and name:
            (shell.folder / name).write_text(text)
        elif language == "python":
            done = shell.run(sys.executable, "-W", "error", "-c", text)
            assert done.returncode == 0, f"{text}\n{done.stderr}"
        else:
            for command, expected in commands(text):
                if command.endswith("&"):
                    printed = shell.start(command.removesuffix("&"))
                else:
                    done = shell.run("bash", "-c", command)
                    printed = done.stdout + done.stderr
                assert matches(printed, expected), f"$ {command}\n{printed}\ninstead of\n{expected}"


def test_every_script_that_is_named_is_there() -> None:
    text = (PROJECT / "README.md").read_text()
    named = {*re.findall(r"scripts/[\w.-]+", text), *re.findall(r"\]\((mesh/[\w./]+)\)", text)}
    missing = sorted(path for path in named if not (PROJECT / path).exists())
    assert not missing
