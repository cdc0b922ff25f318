"""The terminal is given back as it was, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import select
import sys
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

import pytest
from rich.console import Console

from mesh.top.terminal import Terminal
from tests.helpers import async_wait_until

LEAVE_SCREEN, SHOW_CURSOR = b"\x1b[?1049l", b"\x1b[?25h"
CLEAR = b"\x1b[2J\x1b[H" + SHOW_CURSOR


@dataclass
class Pty:
    """A terminal: what a program has of it, and what its user has."""

    program: TextIO
    user: int

    shown: bytes = b""

    def wait_for(self, output: bytes) -> None:
        """Return when this was written to it; a terminal passes on what it gets in pieces."""
        while output not in self.shown:
            assert select.select([self.user], [], [], 5.0)[0], self.shown
            self.shown += os.read(self.user, 65536)

    @property
    def modes(self) -> list[object]:
        return list(termios.tcgetattr(self.program.fileno()))


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pty]:
    """A terminal that is this process's standard input."""
    user, program = pty.openpty()
    with open(program, "w", encoding="utf-8") as file:
        monkeypatch.setattr(sys, "stdin", file)
        yield Pty(file, user)
    os.close(user)


def console(screen: Pty) -> Console:
    return Console(file=screen.program, force_terminal=True, _environ={"TERM": "xterm"})


def test_an_exception_gives_it_back(screen: Pty) -> None:
    before = screen.modes

    async def fail() -> None:
        with Terminal(console(screen), lambda keys: None, lambda: None):
            assert screen.modes != before
            raise KeyError

    with pytest.raises(KeyError):
        asyncio.run(fail())
    assert screen.modes == before
    screen.wait_for(CLEAR + LEAVE_SCREEN)
    screen.wait_for(SHOW_CURSOR)


def test_keys_come_as_they_are_typed(screen: Pty) -> None:
    typed: list[str] = []

    async def type_keys() -> None:
        with Terminal(console(screen), typed.append, lambda: None):
            for count, keys in enumerate((b"q", b"\x1b[A", b"\xff"), start=1):
                os.write(screen.user, keys)
                await async_wait_until(lambda count=count: len(typed) == count)  # type: ignore[misc]

    asyncio.run(type_keys())
    assert typed == ["q", "\x1b[A", "\ufffd"]


def test_a_window_that_was_closed_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    user, program = pty.openpty()
    typed: list[str] = []

    async def close_it(file: TextIO) -> None:
        with Terminal(console(Pty(file, user)), typed.append, lambda: None):
            os.close(user)
            await async_wait_until(lambda: "" in typed)
            await asyncio.sleep(0.01)
        assert typed == [""]

    with contextlib.suppress(OSError), open(program, "w", encoding="utf-8") as file:  # closing it fails
        monkeypatch.setattr(sys, "stdin", file)
        asyncio.run(close_it(file))
        typed.append("given back")
    assert typed == ["", "given back"]
