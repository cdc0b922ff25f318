"""Server processes for the demo and for measurements: started, killed, frozen, thawed; none outlives its fleet."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["LOOPBACK", "Fleet", "Node", "Ready", "read_runs"]

LOOPBACK = "127.0.0.1"
_PROJECT = Path(__file__).resolve().parent.parent


def read_runs(log: Path) -> list[dict[str, Any]]:
    """Return what the servers of a fleet have run: `server`, `token`, `at`, `deadline`."""
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


@dataclass(frozen=True)
class Ready:
    """What a server says when it is up."""

    name: str
    starts_at: float
    """When it began to bind, on the monotonic clock that all processes share."""
    endpoint: str


class Node:
    """One process of `scripts.fleet_server`; made by `Fleet.launch`."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], complaints: Path) -> None:
        self.name = name
        self._complaints = complaints
        with complaints.open("wb") as stderr:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                cwd=_PROJECT,
                env=environment,
                # Ctrl-C reaches the program on the terminal alone, which then decides what becomes of the servers.
                process_group=0,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether its process is gone."""
        return self._process.poll() is not None

    def ready(self) -> Ready:
        """Wait until its next server is up. Raises RuntimeError if the process ends instead."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"server {self.name} did not start:\n{self._complaints.read_text()}")
        return Ready(**json.loads(line))

    def kill(self) -> None:
        """Send SIGKILL and return when it is gone."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Send SIGSTOP and return when it stands still."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def thaw(self) -> None:
        """Send SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        """Send SIGTERM: it drains."""
        self._process.terminate()

    def wait(self, deadline_s: float = 15.0) -> int:
        """Return its exit code; raises subprocess.TimeoutExpired if it runs on for `deadline_s` seconds."""
        return self._process.wait(deadline_s)

    def close(self) -> None:
        """Kill it if it still runs, and release what it leaves."""
        self.kill()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Fleet:
    """Servers of the service `work` on loopback, found by mDNS; leaving the `with` block kills what is left.

    Args:
        log: File to which the servers append a line for each run; None: none.
    """

    def __init__(self, log: Path | None = None) -> None:
        self.realm = f"fleet-{os.getpid()}-{secrets.token_hex(3)}"
        """Realm of its servers, which nobody else is in."""
        self._log = log
        self._environment = {**os.environ, "MESH_INTERFACE": LOOPBACK, "MESH_REALM": self.realm}
        self._folder = tempfile.TemporaryDirectory(prefix="mesh-fleet-")
        self._nodes: list[Node] = []

    @property
    def settings(self) -> dict[str, Any]:
        """What a client is made with that is to find these servers and no others."""
        return {"servers": [], "realm": self.realm, "interfaces": [LOOPBACK]}

    @property
    def launched(self) -> int:
        """How many processes were started so far."""
        return len(self._nodes)

    def launch(self, name: str, *, service: str = "work", bind: str = "tcp://*:0", count: int = 1) -> Node:
        """Start a process of `count` servers and return at once."""
        command = [sys.executable, "-m", "scripts.fleet_server", name, "--service", service]
        command += ["--bind", bind, "--count", str(count), "--parent", str(os.getpid())]
        if self._log is not None:
            command += ["--log", str(self._log)]
        complaints = Path(self._folder.name) / f"{len(self._nodes)}.txt"
        node = Node(name, command, self._environment, complaints)
        self._nodes.append(node)
        return node

    def start(self, *names: str) -> list[Node]:
        """Start one server of each name and return when they are up."""
        nodes = [self.launch(name) for name in names]
        for node in nodes:
            node.ready()
        return nodes

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill every server."""
        for node in self._nodes:
            node.close()
        self._folder.cleanup()
