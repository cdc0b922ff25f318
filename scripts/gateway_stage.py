"""A gateway, servers behind it, and the framework without them: processes on loopback that end with their stage."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from scripts.fleet import LOOPBACK

__all__ = ["Stage"]

_APP = str(Path(__file__).with_name("gateway_app.py"))
_PROJECT = Path(__file__).resolve().parent.parent
_UP_S = 20.0


class Stage:
    """Starts processes; leaving the `with` block kills what is left."""

    def __init__(self) -> None:
        self.realm = f"gateway-{os.getpid()}-{secrets.token_hex(3)}"
        """Realm of its servers, which nobody else is in."""
        self._environment = {**os.environ, "MESH_INTERFACE": LOOPBACK, "MESH_REALM": self.realm}
        self._running: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill every process."""
        for process in self._running:
            process.kill()
            process.communicate()

    def serve(self, *names: str) -> list[subprocess.Popen[str]]:
        """Start servers and return when they serve."""
        program = ("-m", "mesh.cli.main", "serve", _APP, "--bind", "tcp://127.0.0.1:0", "--name")
        processes = [self._start(*program, name) for name in names]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline(), f"one of the servers {', '.join(names)} did not start"
        return processes

    def gateway(self, *options: str, servers: int = 1) -> tuple[int, int]:
        """Start a gateway; return its process id and port when so many servers are alive for it."""
        process = self._start("-m", "mesh.cli.main", "gateway", "--listen", "127.0.0.1:0", "--json", *options)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the gateway did not start"
        port = int(json.loads(line)["url"].rpartition(":")[2].strip("/"))
        self._wait(f"http://127.0.0.1:{port}/readyz", f"servers alive: {servers}\n")
        return process.pid, port

    def framework(self) -> tuple[int, int]:
        """Start the framework alone; return its process id and port."""
        with socket.create_server((LOOPBACK, 0)) as probe:
            port: int = probe.getsockname()[1]
        process = self._start("-m", "scripts.gateway_app", str(port))
        self._wait(f"http://127.0.0.1:{port}/", "Not Found")
        return process.pid, port

    def _start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            cwd=_PROJECT,
            env=self._environment,
            process_group=0,
        )
        self._running.append(process)
        return process

    @staticmethod
    def _wait(url: str, expected: str) -> None:
        until = time.monotonic() + _UP_S
        said: Any = None
        while time.monotonic() < until:
            try:
                with urllib.request.urlopen(url, timeout=2.0) as response:
                    said = response.read().decode()
            except urllib.error.HTTPError as error:
                said = error.read().decode()
            except OSError as error:
                said = error
            if said == expected:
                return
            time.sleep(0.02)
        raise RuntimeError(f"{url} said {said!r} for {_UP_S:g} s, not {expected!r}")
