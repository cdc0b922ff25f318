"""Hosts on a LAN of their own: network namespaces on a bridge, none of which can be reached from outside."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.helpers import Process, spawn

__all__ = ["Lan"]

_PROJECT = Path(__file__).parent.parent.parent


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(arguments)}: {done.stderr}"


class Lan:
    """A bridge in a namespace, and a namespace for each host; leaving the `with` block takes all away.

    Args:
        hosts: Their names; the first gets 10.77.0.1, the second 10.77.0.2, each on its interface `lan`.
    """

    def __init__(self, *hosts: str) -> None:
        self._hosts = hosts
        self._switch = self._namespace("switch")
        self._namespaces: list[str] = []

    def __enter__(self) -> Self:
        """Lay the cables."""
        try:
            self._make(self._switch)
            # Without a querier a bridge that snoops forgets who wants the multicasts of mDNS.
            _ip("-n", self._switch, "link", "add", "bridge", "type", "bridge", "mcast_snooping", "0")
            _ip("-n", self._switch, "link", "set", "bridge", "up")
            for number, host in enumerate(self._hosts, 1):
                namespace = self._namespace(host)
                self._make(namespace)
                cable = ("-n", self._switch, "link", "add", f"to-{host}", "type", "veth", "peer", "name", "lan")
                _ip(*cable, "netns", namespace)
                _ip("-n", self._switch, "link", "set", f"to-{host}", "master", "bridge", "up")
                _ip("-n", namespace, "address", "add", f"10.77.0.{number}/24", "dev", "lan")
                _ip("-n", namespace, "link", "set", "lan", "up")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the namespaces away, and all that is in them."""
        for namespace in self._namespaces:
            _ip("netns", "delete", namespace)

    def ip(self, host: str, *arguments: str) -> None:
        """Run `ip` on a host."""
        _ip("-n", self._namespace(host), *arguments)

    def unplug(self, host: str) -> None:
        """Pull a host's cable out of the bridge."""
        _ip("-n", self._switch, "link", "set", f"to-{host}", "nomaster")

    def plug(self, host: str) -> None:
        """Put it back."""
        _ip("-n", self._switch, "link", "set", f"to-{host}", "master", "bridge")

    def spawn(self, host: str, *arguments: str) -> AbstractContextManager[Process]:
        """Start Python on a host, with the interfaces that it would choose by itself."""
        command = ["ip", "netns", "exec", self._namespace(host), sys.executable, *arguments]
        return spawn(command, env={"MESH_INTERFACE": "", "PYTHONPATH": str(_PROJECT)})

    def _make(self, namespace: str) -> None:
        _ip("netns", "add", namespace)
        self._namespaces.append(namespace)
        _ip("-n", namespace, "link", "set", "lo", "up")

    @staticmethod
    def _namespace(host: str) -> str:
        return f"mesh-test-{os.getpid()}-{host}"
