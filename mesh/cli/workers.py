"""`mesh serve --workers`: the options, the supervisor, and what it says."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import queue
import re
import secrets
import sys
import threading
from types import TracebackType
from typing import Any, Self, TextIO

from mesh import ConfigError
from mesh.cli.exits import UsageError
from mesh.cli.metrics import check_metrics_options, open_metrics
from mesh.cli.options import interfaces_of, octets
from mesh.cli.text import compact, complain, printable
from mesh.logs import passed_on, told
from mesh.notify import Notifier
from mesh.workers.actions import Say
from mesh.workers.child import python
from mesh.workers.messages import Setup
from mesh.workers.policy import WorkerPolicy
from mesh.workers.shell import Supervisor

__all__ = ["Teller", "add_worker_options", "check_no_worker_options", "supervise"]

_DEFAULT = WorkerPolicy()
_PORT = re.compile(r".*:0*[1-9]\d*")
_LINES_MAX = 10_000
"""Lines that wait for somebody to read."""
_LAST_LINES_S = 1.0
_OPTIONS = {
    "hang_timeout": "hang_s",
    "start_timeout": "start_s",
    "max_memory": "memory_max",
    "max_calls": "calls_max",
    "quarantine_after": "deaths_max",
    "quarantine_time": "quarantine_s",
}
"""Fields of the policy by the name of their option."""


def add_worker_options(parser: argparse.ArgumentParser) -> None:
    """Add what says how many processes serve, and when one is replaced."""
    group = parser.add_argument_group(
        "workers",
        "Processes NAME-1 … NAME-N serve, each a server of its own; one that crashes or hangs is replaced. A port "
        "given with --bind is the first of N+1. SIGHUP loads the application anew without losing a call.",
    )
    group.add_argument(
        "--workers", type=_count, metavar="N", help="how many; auto: as many as there are processors (default: none)"
    )
    group.add_argument(
        "--hang-timeout",
        type=float,
        metavar="SECONDS",
        help=f"replace a worker whose serving loop gives no sign of life for so long (default: {_DEFAULT.hang_s:g})",
    )
    group.add_argument(
        "--start-timeout",
        type=float,
        metavar="SECONDS",
        help=f"time to load the application (default: {_DEFAULT.start_s:g})",
    )
    group.add_argument(
        "--max-memory", type=octets, metavar="SIZE", help="replace a worker that has so much in memory, such as 512M"
    )
    group.add_argument("--max-calls", type=int, metavar="N", help="replace a worker that has answered so many calls")
    group.add_argument(
        "--quarantine-after",
        type=int,
        metavar="N",
        help=f"answer a call that ended so many workers in a row with an error (default: {_DEFAULT.deaths_max})",
    )
    group.add_argument(
        "--quarantine-time",
        type=float,
        metavar="SECONDS",
        help=f"for so long (default: {_DEFAULT.quarantine_s:g})",
    )


def check_no_worker_options(args: argparse.Namespace) -> None:
    """Raise UsageError if an option was given that means nothing without --workers."""
    for name in _OPTIONS:
        if getattr(args, name) is not None:
            raise UsageError(f"--{name.replace('_', '-')} is about workers; give --workers N as well")


def supervise(args: argparse.Namespace) -> int:
    """Keep the workers serving; return the exit code when it was told to stop and they have drained."""
    given = {field: getattr(args, name) for name, field in _OPTIONS.items() if getattr(args, name) is not None}
    if args.max_memory and not os.path.exists("/proc/self/statm"):
        raise UsageError("--max-memory needs /proc, which this system does not have; leave it out")
    ports = _PORT.fullmatch(args.bind) is not None
    if args.advertise and not ports:
        raise UsageError(
            f"--advertise {args.advertise} names one port, and each worker has another; give --bind a port as well, "
            f"and each worker adds the same number to both"
        )
    check_metrics_options(args)
    interfaces = interfaces_of(args)
    try:
        policy = WorkerPolicy(count=args.workers, **given)
    except ConfigError as error:
        text = str(error)
        for name, field in _OPTIONS.items():
            text = text.replace(f"WorkerPolicy.{field} ", f"--{name.replace('_', '-')} ")
        raise UsageError(text) from None
    setup = Setup(
        targets=tuple(args.targets),
        bind=args.bind,
        name=args.name,
        token=secrets.token_hex(2),
        advertise=args.advertise or not args.no_advertise,
        realm=args.realm,
        interfaces=None if interfaces is None else tuple(interfaces),
        beat_s=policy.beat_s,
        hang_s=policy.hang_s,
        log_format=args.log_format,
    )
    notifier = Notifier(os.environ)
    with Teller(args.json, args.log_format == "json") as teller, open_metrics(args) as metrics:
        command = python("mesh.cli.worker")
        supervisor = Supervisor(policy, command, setup, ports, teller.say, teller.pass_on, notifier)
        if metrics is not None:
            from mesh.metrics import FiguresCollector, SupervisorCollector

            metrics.registry.register(FiguresCollector(supervisor.figures))
            metrics.registry.register(SupervisorCollector(policy.count, supervisor.events))
            teller.say(Say("metrics", f"metrics at {metrics.url}", False, {"url": metrics.url}))
        finish = supervisor.run()
    notifier.close()
    if finish.sentence:
        complain(finish.sentence)
    return finish.code


class Teller:
    """Writes what is to be known: sentences for people, or one JSON object a line for programs.

    In a thread of its own, until the end of the `with` block: somebody who does not read the output, or went away, must
    not keep a supervisor from its work. What does not fit into the queue meanwhile is dropped.

    Args:
        json: Everything is an event for programs, on standard output.
        records: What goes to standard error is a record of a log in JSON.
    """

    def __init__(self, json: bool, records: bool = False) -> None:
        self._json = json
        self._records = records
        self._lines: queue.Queue[tuple[str, TextIO] | None] = queue.Queue(_LINES_MAX)
        self._thread = threading.Thread(target=self._work, name="mesh-teller", daemon=True)

    def say(self, say: Say) -> None:
        """Write what the supervisor says."""
        if self._json:
            self._write(compact({"event": say.event, **say.facts, "text": say.text}), sys.stdout)
        elif say.trouble and self._records:
            facts = {"server" if name == "name" else name: value for name, value in say.facts.items()}
            self._write(told("mesh.workers", logging.WARNING, say.text, event=say.event, **facts), sys.stderr)
        elif say.text:
            self._write(f"mesh: {printable(say.text)}" if say.trouble else printable(say.text), _stream(say.trouble))

    def pass_on(self, worker: str, output: str, line: str) -> None:
        """Write what a worker has written."""
        if self._json:
            event: dict[str, Any] = {"event": "output", "name": worker, "output": output, "line": line}
            self._write(compact(event), sys.stdout)
        elif output == "stderr" and self._records:
            self._write(passed_on(line, worker), sys.stderr)
        else:
            self._write(f"[{worker}] {line}", _stream(output == "stderr"))

    def __enter__(self) -> Self:
        """Begin to write."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is left, if somebody reads it."""
        with contextlib.suppress(queue.Full):
            self._lines.put(None, timeout=_LAST_LINES_S)
            self._thread.join(_LAST_LINES_S)

    def _write(self, line: str, stream: TextIO) -> None:
        with contextlib.suppress(queue.Full):
            self._lines.put_nowait((line, stream))

    def _work(self) -> None:
        while (entry := self._lines.get()) is not None:
            line, stream = entry
            try:
                print(line, file=stream, flush=True)
            except OSError:  # nobody reads it any more
                pass


def _stream(trouble: bool) -> TextIO:
    return sys.stderr if trouble else sys.stdout


def _count(text: str) -> int:
    """Read a number of workers."""
    if text == "auto":
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 1024:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 1024, and not 'auto'")
    return int(text)
