"""Programs under test, as processes that never outlive it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

from tests.helpers.wait import PATIENCE_S

__all__ = ["Process", "spawn"]


class Process:
    """A running program and what it has printed so far; made by ``spawn``."""

    def __init__(self, popen: subprocess.Popen[str]) -> None:
        assert popen.stdout is not None
        assert popen.stderr is not None
        self._popen = popen
        self._grown = threading.Condition()
        self._outputs_open = 2
        self.lines: list[str] = []
        """Lines of both outputs in the order of arrival, without their line ends."""
        self.stdout: list[str] = []
        """Lines of standard output."""
        self.stderr: list[str] = []
        """Lines of standard error."""
        self._readers = [
            threading.Thread(target=self._read, args=(popen.stdout, self.stdout), daemon=True),
            threading.Thread(target=self._read, args=(popen.stderr, self.stderr), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """The process id, also the id of its process group."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._popen.poll()

    def wait_line(self, pattern: str, deadline_s: float = PATIENCE_S, since: int = 0) -> re.Match[str]:
        """Return the match of ``pattern`` in the first line of either output that has one.

        Lines printed before the call count too; to wait for a new one, pass as ``since`` the length that
        ``lines`` had before its cause. AssertionError with all the output after ``deadline_s`` seconds, or as
        soon as both outputs have ended.
        """
        regex = re.compile(pattern)
        give_up_at = time.monotonic() + deadline_s
        with self._grown:
            while True:
                for line in self.lines[since:]:
                    if match := regex.search(line):
                        return match
                since = max(since, len(self.lines))
                left_s = give_up_at - time.monotonic()
                if left_s <= 0 or self._outputs_open == 0:
                    break
                self._grown.wait(left_s)
        if left_s > 0:
            # The outputs close a moment before the program has an exit code to report.
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(PATIENCE_S)
        raise AssertionError(self._complaint(pattern, deadline_s))

    def wait(self, deadline_s: float = PATIENCE_S) -> int:
        """Return the exit code when the program has ended; AssertionError after ``deadline_s`` seconds."""
        try:
            code = self._popen.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(self._complaint("the end of the program", deadline_s)) from None
        self._join()
        return code

    def terminate(self, deadline_s: float = PATIENCE_S) -> int:
        """Send SIGTERM and return the exit code; AssertionError if it runs on for ``deadline_s`` seconds."""
        self._popen.send_signal(signal.SIGTERM)
        return self.wait(deadline_s)

    def kill9(self) -> None:
        """Send SIGKILL and wait until it has ended."""
        self._popen.kill()
        self.wait()

    def stop(self) -> None:
        """Freeze it with SIGSTOP, and wait until the kernel says that it is frozen."""
        self._popen.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def cont(self) -> None:
        """Let it go on after ``stop``."""
        self._popen.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Kill the program with its children, and collect what they leave."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._popen.wait()
        self._join()

    def _read(self, output: IO[str], into: list[str]) -> None:
        with output:
            for line in output:
                with self._grown:
                    into.append(line.rstrip("\n"))
                    self.lines.append(line.rstrip("\n"))
                    self._grown.notify_all()
        with self._grown:
            self._outputs_open -= 1
            self._grown.notify_all()

    def _join(self) -> None:
        for reader in self._readers:
            reader.join(PATIENCE_S)

    def _complaint(self, what: str, deadline_s: float) -> str:
        state = "still runs" if self.returncode is None else f"ended with {self.returncode}"
        output = "\n".join(self.lines) or "(nothing)"
        return f"waited up to {deadline_s:g} s in vain for {what}; the program {state} and printed:\n{output}"


@contextlib.contextmanager
def spawn(args: Sequence[str | os.PathLike[str]], *, env: Mapping[str, str] | None = None) -> Iterator[Process]:
    """Start a program without input; at the end of the block it is killed with its children.

    ``env`` is added to this process's environment. Python programs print unbuffered.
    """
    process = Process(
        subprocess.Popen(
            args,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            # Its own session, so that its children can be killed with it and Ctrl-C reaches the tests alone.
            start_new_session=True,
        )
    )
    try:
        yield process
    finally:
        process.close()
