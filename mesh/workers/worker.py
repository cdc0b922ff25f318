"""The supervised side: one interpreter that loads the application, waits, serves when it is told to, and drains.

The main thread holds the line and waits for signals. Signs of life go out from the thread that serves calls, so that
they stop when an inline handler never returns; handlers in threads and coroutines may take as long as they like. When
the line ends the supervisor is gone, and the worker drains and leaves.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from discovery import Address, MdnsAdvertiser, Peer
from mesh.core.actions import Notice
from mesh.core.events import ReplyGiven
from mesh.core.figures import ServerFigures
from mesh.core.work import Work
from mesh.hosting import ServerParts
from mesh.io.hosts import ThreadHost
from mesh.io.poller import Poller
from mesh.io.serving import Runner
from mesh.io.usage import resident_octets
from mesh.service import Service
from mesh.signals import SignalPipe
from mesh.workers.gate import Gate
from mesh.workers.line import worker_line
from mesh.workers.messages import (
    Activate,
    Beat,
    Bury,
    Cleared,
    Doubts,
    Drain,
    Failed,
    Figures,
    Leaving,
    Loaded,
    Serving,
    Setup,
    TellFigures,
)
from mesh.workers.recorder import Recorder

__all__ = ["GatedRunner", "Worker"]

_log = logging.getLogger("mesh")
_STACKS_AT = 0.8
"""At this share of the time after which a silent worker is killed it writes where its threads stand."""
_GOODBYE_S = 1.0
"""Time to release everything after the drain."""


class Worker:
    """This process, as a worker. Call `wait_for_setup`, then `serve`, or `fail` where either raises.

    Args:
        line: Descriptor of the line to the supervisor.
        record: Descriptor of the flight recorder.
    """

    def __init__(self, line: int, record: int) -> None:
        for descriptor in (line, record):  # no business of programs that the application starts
            os.set_inheritable(descriptor, False)
        self._line = worker_line(socket.socket(fileno=line))
        self._poller = Poller()
        self._poller.add(self._line.descriptor)
        lift = f"reload the workers: kill -HUP {os.getppid()} there"
        self._gate = Gate(Recorder(record), lambda mark: self._line.send(Cleared(mark)), lift)
        self._setup: Setup
        self._services: Sequence[Service] = ()
        self._host: ThreadHost | None = None
        self._advertiser: MdnsAdvertiser | None = None
        self._figures: Callable[[], ServerFigures]
        self._drain_s = 0.0
        self._loaded = False
        self._leaving = False
        self._handlers: dict[type, Callable[[Any], None]] = {
            Activate: self._on_activate,
            Doubts: self._on_doubts,
            Bury: self._on_bury,
            Drain: self._on_drain,
            TellFigures: self._on_tell_figures,
        }

    def wait_for_setup(self) -> Setup:
        """Return what to load; ends the process if the supervisor does not want it any more."""
        faulthandler.enable(all_threads=False)  # a crash in foreign code then says in which method
        while True:
            self._poller.wait(None)
            for message in self._line.receive():
                assert isinstance(message, Setup), "the setup comes first"
                self._setup = message
                threading.Thread(target=self._beat, name="mesh-beat", daemon=True).start()
                return message
            if self._line.ended:
                os._exit(1)

    def fail(self, sentence: str, code: int) -> None:
        """Tell the supervisor why this process ends."""
        self._line.send(Failed(sentence, code))

    def serve(self, services: Sequence[Service]) -> None:
        """Wait until a worker is needed, serve, and return when it has drained.

        Raises:
            ConfigError: A setting cannot be used, the port is in use, the address is not of this host.
            DiscoveryError: mDNS cannot be used here.
        """
        self._services = services
        self._parts(1, 0)  # what is wrong is to be known before this worker is needed
        with SignalPipe(signal.SIGINT, signal.SIGTERM) as signals:
            methods = tuple(method for service in services for method in service.methods)
            self._line.send(Loaded(tuple(service.name for service in services), methods))
            self._loaded = True
            self._poller.add(signals.descriptor)
            while not self._leaving:
                self._poller.wait(None)
                self._look(signals)
            if self._host is not None:
                self._stop(self._host, signals)

    # -- what the supervisor says

    def _on_activate(self, message: Activate) -> None:
        self._gate.learn(message.doubts, time.monotonic())
        parts = self._parts(message.slot, message.offset)
        link = parts.bind()
        runner = GatedRunner(parts.runner(), self._gate)
        self._host = ThreadHost(
            parts.core(), link, runner, parts.config.limits, parts.threads(), _log_notice, self._gate
        )
        self._figures = parts.figures
        self._drain_s = parts.config.drain_s
        self._advertiser = parts.advertise()
        self._line.send(Serving(parts.name, parts.peer_id, parts.endpoints))

    def _on_doubts(self, message: Doubts) -> None:
        if self._host is not None:
            self._host.soon(lambda: self._gate.learn(message.changed, time.monotonic()))

    def _on_bury(self, message: Bury) -> None:
        departed = message.departed
        if self._advertiser is not None:
            where = Address("*", int(departed.endpoint.rpartition(":")[2]))
            self._advertiser.bury(Peer(departed.peer_id, departed.name, departed.services, (where,)))

    def _on_drain(self, message: Drain) -> None:
        self._leaving = True

    def _on_tell_figures(self, message: TellFigures) -> None:
        if self._host is not None:  # by the thread that serves: who does not answer hangs
            self._host.soon(lambda: self._line.send(Figures(message.number, self._figures())))

    # -- the life of a worker

    def _parts(self, slot: int, offset: int) -> ServerParts:
        setup = self._setup
        base = setup.name if setup.name is not None else f"{self._services[0].name}-{setup.token}"
        advertise = setup.advertise if isinstance(setup.advertise, bool) else _shifted(setup.advertise, offset)
        bind = _shifted(setup.bind, offset)
        return ServerParts(
            self._services, bind, f"{base}-{slot}", advertise, setup.realm, setup.interfaces, config=None
        )

    def _look(self, signals: SignalPipe) -> None:
        """Take in signals, messages, and the end of the line."""
        for number in signals.read():
            if self._leaving:
                os._exit(128 + number)
            self._leaving = True
            self._line.send(Leaving())
        for message in self._line.receive():
            if not isinstance(message, Activate) or not self._leaving:
                self._handlers[type(message)](message)
        if self._line.ended:
            self._leaving = True

    def _stop(self, host: ThreadHost, signals: SignalPipe) -> None:
        if self._advertiser is not None:
            advertiser, self._advertiser = self._advertiser, None
            advertiser.stop()
        host.drain(self._drain_s)
        until = time.monotonic() + self._drain_s + _GOODBYE_S
        while not host.finished.wait(self._setup.beat_s) and time.monotonic() < until:
            self._look(signals)
        faulthandler.cancel_dump_traceback_later()

    def _beat(self) -> None:
        """Give signs of life for as long as the process lives, in a thread of its own."""
        poll = select.poll()
        poll.register(self._line.descriptor, 0)  # tells of the end alone
        while True:
            ended = poll.poll(self._setup.beat_s * 1000)
            if ended and not self._loaded:
                os._exit(1)  # nobody waits for what is being imported
            if ended:
                return
            if self._host is not None:
                self._host.soon(self._show_life)
            elif self._loaded:
                self._send_beat()

    def _show_life(self) -> None:
        faulthandler.dump_traceback_later(self._setup.hang_s * _STACKS_AT)
        self._send_beat()

    def _send_beat(self) -> None:
        self._line.send(Beat(resident_octets(), self._gate.ended))


class GatedRunner:
    """Runs handlers, unless the gate has refused the call."""

    def __init__(self, runner: Runner, gate: Gate) -> None:
        self._runner = runner
        self._gate = gate

    def run(self, work: Work) -> ReplyGiven:
        """Run a sync handler to its end."""
        return self._gate.refusal(work) or self._runner.run(work)

    def run_async(self, work: Work) -> Coroutine[Any, Any, ReplyGiven]:
        """Run a coroutine handler."""
        refusal = self._gate.refusal(work)
        return self._runner.run_async(work) if refusal is None else _given(refusal)

    def cancel(self, work: Work) -> None:
        """Tell a running handler that nobody waits for it."""
        self._runner.cancel(work)


async def _given(reply: ReplyGiven) -> ReplyGiven:
    return reply


def _shifted(endpoint: str, offset: int) -> str:
    """Add to the port of an endpoint, if it is one; what else may be wrong with it is for others to say."""
    host, colon, port = endpoint.rpartition(":")
    return f"{host}{colon}{int(port) + offset}" if port.isascii() and port.isdigit() and int(port) else endpoint


def _log_notice(notice: Notice) -> None:
    _log.debug("%s: %s", notice.kind, notice.text)
