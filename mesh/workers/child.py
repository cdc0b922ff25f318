"""One worker process, from outside: how it is started, what it says, writes and leaves behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from typing import IO

from mesh.notify import ENVIRONMENT
from mesh.workers.events import Died
from mesh.workers.line import Line, supervisor_line
from mesh.workers.messages import FromWorker, Setup
from mesh.workers.recorder import new_record, read_record

__all__ = ["Child", "Output", "python"]

_OCTETS = 1 << 16
_LINE_OCTETS_MAX = 1 << 16
"""A longer line is cut in parts."""
_READS_MAX = 64
"""Reads of what a dead process has written."""
_WORDS = 5
"""Last lines of standard error that are kept to explain a death."""
_WORDS_LENGTH_MAX = 200


class Output:
    """One of the two outputs of a process: passes its lines on as they come.

    Args:
        pipe: Where they come from.
        pass_on: Called with each line, without its end.
    """

    def __init__(self, pipe: IO[bytes], pass_on: Callable[[str], None]) -> None:
        self._pipe = pipe
        self._pass_on = pass_on
        self._unread = b""
        os.set_blocking(pipe.fileno(), False)

    @property
    def descriptor(self) -> int:
        """To be watched for reading."""
        return self._pipe.fileno()

    def read(self) -> bool:
        """Pass on what has come, up to a bound; return whether more may come."""
        return self._take() != 0

    def close(self) -> None:
        """Pass on what is left, also a line without an end."""
        for _ in range(_READS_MAX):  # a child of the dead process may hold the pipe and write on
            if not self._take():
                break
        if self._unread:
            self._pass_on(self._unread.decode("utf-8", "backslashreplace"))
        self._pipe.close()

    def _take(self) -> int | None:
        """Return how many octets have come: None for none now, 0 for none any more."""
        try:
            data = os.read(self._pipe.fileno(), _OCTETS)
        except BlockingIOError:
            return None
        *lines, self._unread = (self._unread + data).split(b"\n")
        if len(self._unread) > _LINE_OCTETS_MAX:
            lines.append(self._unread)
            self._unread = b""
        for line in lines:
            self._pass_on(line.decode("utf-8", "backslashreplace"))
        return len(data)


class Child:
    """A worker process. Raises OSError if it cannot be started.

    Args:
        command: What to run; two numbers are added, the descriptors of the line and of the record.
        setup: The first message.
        pass_on: Called with the name of the output, `stdout` or `stderr`, and each line of it.
    """

    def __init__(self, command: Sequence[str], setup: Setup, pass_on: Callable[[str, str], None]) -> None:
        self._words: deque[str] = deque(maxlen=_WORDS)
        self._record = new_record()
        try:
            ours, theirs = socket.socketpair()
        except OSError:
            os.close(self._record)
            raise
        self.line: Line[FromWorker] = supervisor_line(ours)
        """What it says, and is told."""
        try:
            with theirs:
                given = (theirs.fileno(), self._record)
                self._popen = subprocess.Popen(
                    [*command, *map(str, given)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    pass_fds=given,
                    env={name: value for name, value in os.environ.items() if name not in ENVIRONMENT},
                    process_group=0,  # Ctrl-C reaches the supervisor alone, which has the workers drain
                )
        except BaseException:
            self.line.close()
            os.close(self._record)
            raise
        assert self._popen.stdout is not None
        assert self._popen.stderr is not None
        self.outputs: tuple[Output, Output] = (
            Output(self._popen.stdout, lambda line: pass_on("stdout", line)),
            Output(self._popen.stderr, lambda line: self._hear(line, pass_on)),
        )
        self.line.send(setup)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._popen.pid

    def has_ended(self) -> bool:
        """Return whether it has, without waiting."""
        return self._popen.poll() is not None

    def kill(self) -> None:
        """Send SIGKILL."""
        self._popen.kill()

    def bury(self, number: int) -> Died:
        """Wait for its end, release everything, and say how it died. Its line has been read before."""
        status = self._popen.wait()
        for output in self.outputs:
            output.close()
        died = Died(number, status, read_record(self._record), tuple(self._words))
        self.line.close()
        os.close(self._record)
        return died

    def _hear(self, line: str, pass_on: Callable[[str, str], None]) -> None:
        if line.strip():
            self._words.append(line.strip()[:_WORDS_LENGTH_MAX])
        pass_on("stderr", line)


def python(module: str) -> list[str]:
    """Return the command that runs a module of ours in another interpreter like this one.

    With -P the current folder is not searched for modules: a file of the user's named queue.py is none of Python's.
    """
    return [sys.executable, "-P", "-m", module]
