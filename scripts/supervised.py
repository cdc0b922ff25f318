"""`mesh serve --workers` as a process, and everything that it says; nothing of it outlives the `with` block."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mesh import Client
from scripts.fleet import LOOPBACK

__all__ = ["Supervised"]


class Supervised:
    """A supervisor on loopback, in a realm of its own.

    Args:
        target: What it serves.
        options: Further arguments of `mesh serve`.
        environment: Added to that of this process.
    """

    def __init__(self, target: Path, *options: str, environment: Mapping[str, str] | None = None) -> None:
        self.realm = f"workers-{secrets.token_hex(4)}"
        command = [sys.executable, "-m", "mesh.cli.main", "serve", str(target), "--json", "--name", "w", *options]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "MESH_REALM": self.realm, "MESH_INTERFACE": LOOPBACK, **(environment or {})},
            process_group=0,
        )
        self._grown = threading.Condition()
        self.events: list[dict[str, Any]] = []
        """What it has said so far."""
        self.complaint = ""
        """What it wrote to standard error."""
        self._readers = [
            threading.Thread(target=self._read_events, name="events"),
            threading.Thread(target=self._read_complaint, name="complaint"),
        ]
        for reader in self._readers:
            reader.start()

    @property
    def pid(self) -> int:
        """The id of the supervisor's process."""
        return self._process.pid

    def client(self) -> Client:
        """Return a client that sees the workers, to be closed by the caller."""
        return Client(servers=[], realm=self.realm, interfaces=[LOOPBACK])

    def wait_for(
        self, event: str, count: int = 1, since: int = 0, deadline_s: float = 20.0, **facts: object
    ) -> list[dict[str, Any]]:
        """Return the first `count` events of a kind, and with these facts, of those after number `since`.

        Raises TimeoutError with all that was said, after `deadline_s` seconds or when it has ended.
        """
        until = time.monotonic() + deadline_s
        with self._grown:
            while True:
                found = [one for one in self.events[since:] if one["event"] == event and facts.items() <= one.items()]
                if len(found) >= count:
                    return found[:count]
                left_s = until - time.monotonic()
                if left_s <= 0 or not self._readers[0].is_alive():
                    said = "\n".join(one.get("text") or str(one) for one in self.events)
                    raise TimeoutError(f"no {count} of {event} {facts}; it said:\n{said}\n{self.complaint}")
                self._grown.wait(min(left_s, 0.1))

    def pids(self) -> dict[str, int]:
        """Return the processes that served last, by name."""
        return {one["name"]: one["pid"] for one in list(self.events) if one["event"] == "serving"}

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the supervisor."""
        self._process.send_signal(number)

    def wait(self, deadline_s: float = 10.0) -> int:
        """Return its exit code; raises subprocess.TimeoutExpired."""
        code = self._process.wait(deadline_s)
        for reader in self._readers:
            reader.join(deadline_s)
        return code

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it; the second signal has it kill its workers."""
        until = time.monotonic() + 5.0
        while self._process.poll() is None and time.monotonic() < until:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.1)
        self._process.kill()
        self.wait()

    def _read_events(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                with self._grown:
                    self.events.append(json.loads(line))
                    self._grown.notify_all()

    def _read_complaint(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as output:
            self.complaint = output.read()
