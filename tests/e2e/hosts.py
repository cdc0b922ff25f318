"""Hosts on a LAN of their own: network namespaces on a bridge, none of which can be reached from outside."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from tests.helpers import PATIENCE_S, Process, spawn, wait_until

__all__ = ["Caller", "Lan", "serve"]

_numbers = itertools.count()


def _run(*command: str, text: str = "") -> None:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}{text}"


def serve(name: str, port: int = 0, service: str = "work") -> tuple[str, ...]:
    """Return what Python is started with for a server."""
    return "-m", "scripts.fleet_server", name, "--bind", f"tcp://*:{port}", "--service", service


class Lan:
    """A bridge in a namespace, and a namespace for each host; leaving the `with` block takes all away.

    Args:
        hosts: Their names; the first gets 10.77.0.1, the second 10.77.0.2, each on its interface `lan`.
    """

    def __init__(self, *hosts: str) -> None:
        self._hosts = hosts
        # Two may exist at the same time.
        self._prefix = f"mesh-test-{os.getpid()}-{next(_numbers)}"
        self._switch = self._namespace("switch")
        self._namespaces: list[str] = []

    def __enter__(self) -> Self:
        """Lay the cables."""
        try:
            self._make(self._switch)
            # Without a querier a bridge that snoops forgets who wants the multicasts of mDNS.
            _run("ip", "-n", self._switch, "link", "add", "bridge", "type", "bridge", "mcast_snooping", "0")
            _run("ip", "-n", self._switch, "link", "set", "bridge", "up")
            for number, host in enumerate(self._hosts, 1):
                self._make(self._namespace(host))
                self.attach(host, f"10.77.0.{number}/24")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the namespaces away, and all that is in them."""
        for namespace in self._namespaces:
            _run("ip", "netns", "delete", namespace)

    def ip(self, host: str, *arguments: str) -> None:
        """Run `ip` on a host."""
        _run("ip", "-n", self._namespace(host), *arguments)

    def attach(self, host: str, network: str) -> None:
        """Give a host its interface with this address, and a cable to the bridge."""
        cable = ("-n", self._switch, "link", "add", f"to-{host}", "type", "veth", "peer", "name", "lan")
        _run("ip", *cable, "netns", self._namespace(host))
        _run("ip", "-n", self._switch, "link", "set", f"to-{host}", "master", "bridge", "up")
        self.ip(host, "address", "add", network, "dev", "lan")
        self.ip(host, "link", "set", "lan", "up")

    def readdress(self, host: str, before: str, after: str) -> None:
        """Give a host another address."""
        self.ip(host, "address", "delete", before, "dev", "lan")
        self.ip(host, "address", "add", after, "dev", "lan")

    def replace(self, host: str, network: str) -> None:
        """Take a host's interface away, and give it another of the same name with this address."""
        self.ip(host, "link", "delete", "lan")
        self.attach(host, network)

    def unplug(self, host: str) -> None:
        """Cut a host off behind its back: its cable leads to a switch, and the switch leads nowhere."""
        _run("ip", "-n", self._switch, "link", "set", f"to-{host}", "nomaster")

    def plug(self, host: str) -> None:
        """Undo `unplug`."""
        _run("ip", "-n", self._switch, "link", "set", f"to-{host}", "master", "bridge")

    def down(self, host: str) -> None:
        """Pull a host's cable: its interface has no carrier any more, and keeps its addresses."""
        _run("ip", "-n", self._switch, "link", "set", f"to-{host}", "down")

    def up(self, host: str) -> None:
        """Put it back."""
        _run("ip", "-n", self._switch, "link", "set", f"to-{host}", "up")

    @contextlib.contextmanager
    def rules(self, host: str, *rules: str, chain: str = "input") -> Iterator[None]:
        """Have the firewall of a host obey these rules inside of the block: of what it receives, or of its `output`."""
        hook = f"type filter hook {chain} priority 0"
        table = "\n".join(["table inet faults {", f"chain {chain} {{", f"{hook};", *rules, "}", "}", ""])
        self._nft(host, table)
        try:
            yield
        finally:
            self._nft(host, "delete table inet faults\n")

    @contextlib.contextmanager
    def wire(self, one: str, other: str, delay_s: float, loss: float) -> Iterator[None]:
        """Lead two hosts' cables into a wire that delays and loses, inside of the block (see `tests.e2e.wire`)."""
        command = [sys.executable, "-m", "tests.e2e.wire", f"to-{one}", f"to-{other}", str(delay_s), str(loss)]
        with spawn(["ip", "netns", "exec", self._switch, *command]) as process:
            process.wait_line("ready")
            for host in (one, other):
                self.unplug(host)
            try:
                yield
            finally:
                for host in (one, other):
                    self.plug(host)

    @contextlib.contextmanager
    def spawn(self, host: str, *arguments: str, prefix: Sequence[str] = ()) -> Iterator[Process]:
        """Start Python on a host, with the interfaces that it would choose by itself; `prefix` runs it, if given."""
        command = ["ip", "netns", "exec", self._namespace(host), *prefix, sys.executable, *arguments]
        with spawn(command, env={"MESH_INTERFACE": ""}) as process:
            yield process

    @contextlib.contextmanager
    def caller(self, host: str, *arguments: str, prefix: Sequence[str] = ()) -> Iterator[Caller]:
        """Start a client on a host, with the arguments of `tests.e2e.paced_client`."""
        with self.spawn(host, "-m", "tests.e2e.paced_client", *arguments, prefix=prefix) as process:
            yield Caller(process)

    def _nft(self, host: str, text: str) -> None:
        _run("ip", "netns", "exec", self._namespace(host), "nft", "-f", "-", text=text)

    def _make(self, namespace: str) -> None:
        _run("ip", "netns", "add", namespace)
        self._namespaces.append(namespace)
        _run("ip", "-n", namespace, "link", "set", "lo", "up")

    def _namespace(self, host: str) -> str:
        return f"{self._prefix}-{host}"


@dataclass(frozen=True, slots=True)
class Ended:
    """One call that ended; times are those of the monotonic clock."""

    began_at: float
    ended_at: float
    server: str
    """Who answered; empty if nobody did."""
    error: str
    """Empty if it was answered."""


class Caller:
    """A client under load on a host, made by `Lan.caller`; times are those of the monotonic clock."""

    def __init__(self, process: Process) -> None:
        self.process = process
        """The program."""
        self._read = 0
        self._calls: list[Ended] = []
        self._servers: dict[str, list[str]] = {}

    @property
    def calls(self) -> list[Ended]:
        """The calls that have ended so far, in the order in which they did."""
        self._parse()
        return self._calls

    @property
    def servers(self) -> dict[str, list[str]]:
        """The state of each server by its name, and after it the addresses."""
        self._parse()
        return self._servers

    @property
    def alive(self) -> set[str]:
        """The names of the servers that are alive."""
        return {name for name, (state, *_) in self.servers.items() if state == "alive"}

    def wait_alive(self, *names: str) -> None:
        """Wait until these servers are alive, and no others, and each has answered a call."""
        wait_until(lambda: self.alive == set(names), what=f"{names} to be alive; {self.process.stderr}")
        for name in names:
            self.answered(name)

    def answered(self, name: str, since: float | None = None, deadline_s: float = PATIENCE_S) -> float:
        """Wait until this server has answered a call after `since` (now); return how many seconds that took."""
        begin = time.monotonic() if since is None else since

        def first() -> float:
            later = (call.ended_at for call in self.calls if call.server == name and call.ended_at > begin)
            return next(later, 0.0)

        return wait_until(first, deadline_s, f"an answer by {name}; {self.servers}; {self.process.stderr}") - begin

    def by(self, name: str, since: float, until: float) -> int:
        """Return how many of the calls that began in this time the server answered."""
        return sum(call.server == name and since <= call.began_at <= until for call in self.calls)

    def gap_s(self, since: float) -> float:
        """Return the longest time without an answer from `since` until now."""
        times = [since, *(call.ended_at for call in self.calls if call.ended_at > since and not call.error)]
        return max(later - earlier for earlier, later in itertools.pairwise([*times, time.monotonic()]))

    def assert_no_call_failed(self) -> None:
        """Fail if a call has, or if the client said anything else."""
        assert self.calls
        failed = [call for call in self.calls if call.error]
        assert failed == []
        assert self.process.stderr == []

    def _parse(self) -> None:
        lines = self.process.stdout
        while self._read < len(lines):
            said = json.loads(lines[self._read])
            self._read += 1
            if "servers" in said:
                self._servers = said["servers"]
            else:
                self._calls.append(Ended(**said))
