"""Log records as JSON, one a line, each with the call that it is about.

A handler's own records carry its call: so do those of whatever it calls in its thread or task. A record with a
`CallError` carries that of the error, and every attempt.
"""

from __future__ import annotations

import datetime
import json
import logging
import sys
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from types import ModuleType
from typing import TYPE_CHECKING, Any, TextIO

from mesh.errors import CallError
from mesh.instruments import install_runner

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from mesh.core.events import ReplyGiven
    from mesh.core.work import Work
    from mesh.io.serving import Runner

__all__ = ["JsonFormatter", "NamingRunner", "passed_on", "told", "write_json"]

_running: ContextVar[Work | None] = ContextVar("mesh-running", default=None)
"""The call whose handler runs here."""
_NO_EXTRAS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has."""


def write_json(stream: TextIO | None = None, *, server: str = "") -> JsonFormatter:
    """Write every record from INFO on as JSON, and the calls of servers that are made from now on with it.

    An application that wants others sets the level of its loggers; what `logging.basicConfig` would do has been done.

    Args:
        stream: Where to; None: standard error.
        server: Name that goes into each record; empty: none does, until the formatter that is returned is told one.
    """
    formatter = JsonFormatter(server)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    install_runner(NamingRunner)
    return formatter


class JsonFormatter(logging.Formatter):
    """Makes one JSON object of a record.

    Args:
        server: Name that goes into each record; empty: none does.
    """

    def __init__(self, server: str = "") -> None:
        super().__init__()
        self.server: str = server
        """May be told later: a server that was given no name gets one when it is made."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object, on one line, in ASCII; what JSON does not know is written as text."""
        fields: dict[str, Any] = {
            "time": datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
        }
        if record.process:
            fields["pid"] = record.process
        if self.server:
            fields["server"] = self.server
        fields |= _call() | _trace()
        fields |= {name: value for name, value in vars(record).items() if name not in _NO_EXTRAS}
        if record.exc_info and record.exc_info[1] is not None:
            fields |= _failure(record.exc_info[1])
        if record.stack_info:
            fields["stack"] = record.stack_info
        try:
            return json.dumps(fields, default=_text, skipkeys=True, allow_nan=False)
        except (ValueError, RecursionError):  # an extra that is infinite in one way or the other
            return json.dumps({name: value if isinstance(value, int) else str(value) for name, value in fields.items()})


def told(logger: str, level: int, message: str, **extras: object) -> str:
    """Return the line of a record that no logger has seen."""
    record = logging.makeLogRecord({**extras, "name": logger, "msg": message, "process": None})
    record.levelno, record.levelname = level, logging.getLevelName(level)
    return JsonFormatter().format(record)


def passed_on(line: str, server: str) -> str:
    """Return a line that a process of ours has written to standard error as a record of the server that it is."""
    try:
        known = json.loads(line)
    except ValueError:
        known = None
    if isinstance(known, dict):
        return json.dumps({**known, "server": server})
    return told("stderr", logging.INFO, line, server=server)


class NamingRunner:
    """Runs handlers, so that their records name the call.

    Args:
        runner: Runs them really.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def run(self, work: Work) -> ReplyGiven:
        """Run a sync handler to its end."""
        token = _running.set(work)
        try:
            return self._runner.run(work)
        finally:
            _running.reset(token)

    def run_async(self, work: Work) -> Coroutine[Any, Any, ReplyGiven]:
        """Run a coroutine handler."""
        return self._run_async(work)

    async def _run_async(self, work: Work) -> ReplyGiven:
        _running.set(work)  # a call has a context of its own
        return await self._runner.run_async(work)

    def cancel(self, work: Work) -> None:
        """Tell a running handler that nobody waits for it."""
        self._runner.cancel(work)


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # a record whose arguments do not fit its text is no reason to lose it
        return f"{record.msg} {record.args!r} ({type(error).__name__}: {error})"


def _call() -> dict[str, Any]:
    work = _running.get()
    if work is None:
        return {}
    return {"call": work.call_id, "peer": work.client.hex(), "method": work.method, "attempt": work.attempt}


def _trace() -> dict[str, str]:
    """Return where this is in a trace, if the program has any (OpenTelemetry, logs data model)."""
    trace: ModuleType | None = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return {}
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {"trace_id": trace.format_trace_id(context.trace_id), "span_id": trace.format_span_id(context.span_id)}


def _failure(error: BaseException) -> dict[str, Any]:
    told: dict[str, Any] = {"exception": "".join(traceback.format_exception(error)).rstrip()}
    if isinstance(error, CallError) and error.method:
        attempts = [{"peer": attempt.name, "result": attempt.result} for attempt in error.attempts]
        told |= {"call": error.call_id, "method": error.method, "attempts": attempts}
    return told


def _text(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    try:
        return str(value)
    except Exception:
        return f"a {type(value).__name__} whose text cannot be made"
