"""Runs the handlers of a server's methods for its engine."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic

from mesh.core.events import ReplyGiven
from mesh.core.wire import Detail, pack_body
from mesh.core.work import Work
from mesh.failure import describe_error
from mesh.request import Request
from mesh.service import Method

__all__ = ["MethodRunner"]

_NO_METADATA: Mapping[str, str] = {}


def _begin(work: Work, now: float) -> Request | None:
    """Return the request of a call, unless nobody waits for it any more.

    The core has looked when it let the call begin. A thread or a task begins later, and in between the process may have
    been frozen for longer than the caller had patience.
    """
    if work.cancelled or (work.deadline is not None and now > work.deadline):
        return None
    request = Request(work.method, work.frames, work.key, work.attempt, work.metadata or _NO_METADATA, work.deadline)
    work.context = request
    return request


class MethodRunner:
    """Turns work into requests, and what handlers return or raise into answers.

    Args:
        methods: By full name.
        expose_tracebacks: Send tracebacks along.
    """

    def __init__(self, methods: Mapping[str, Method], expose_tracebacks: bool) -> None:
        self._invoke = {name: method.invoke for name, method in methods.items()}
        self._invoke_async = {name: method.invoke_async for name, method in methods.items()}
        self._expose = expose_tracebacks

    def run(self, work: Work) -> ReplyGiven:
        """Run a sync handler to its end."""
        began = monotonic()
        request = _begin(work, began)
        if request is None:
            return ReplyGiven(work, ran=False)
        try:
            frames = self._invoke[work.method](request)
        except (Exception, SystemExit) as error:
            return self._failed(work, error, began)
        return ReplyGiven(
            work, frames[0] if len(frames) == 1 else pack_body(frames), 0, None, True, monotonic() - began
        )

    async def run_async(self, work: Work) -> ReplyGiven:
        """Run a coroutine handler to its end; a cancelled one has failed."""
        began = monotonic()
        request = _begin(work, began)
        if request is None:
            return ReplyGiven(work, ran=False)
        try:
            frames = await self._invoke_async[work.method](request)
        except asyncio.CancelledError as error:
            if not work.cancelled:
                raise
            return self._failed(work, error, began)
        except (Exception, SystemExit) as error:
            return self._failed(work, error, began)
        return ReplyGiven(
            work, frames[0] if len(frames) == 1 else pack_body(frames), 0, None, True, monotonic() - began
        )

    def cancel(self, work: Work) -> None:
        """Tell a running handler that nobody waits for it: set `request.cancelled`."""
        if work.context is not None:
            work.context.cancelled = True

    def _failed(self, work: Work, error: BaseException, began: float) -> ReplyGiven:
        failure = describe_error(error, expose_traceback=self._expose)
        detail = Detail(type=failure.type, message=failure.message, traceback=failure.traceback)
        return ReplyGiven(work, b"", failure.code, detail, took_s=monotonic() - began)
