"""What looks at calls while they are made and run: traces, and logs that name the call.

Clients and servers look here once, when they are made. Where a program has installed nothing they are as they were, and
have nothing to ask for each call.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from mesh.core.observer import CallObserver

if TYPE_CHECKING:
    from mesh.core.calls import PendingCall
    from mesh.io.serving import Runner

__all__ = ["CallInstrument", "install_calls", "install_runner", "instrumented_call", "instrumented_runner"]

T = TypeVar("T")


class CallInstrument(CallObserver, Protocol):
    """Sees calls from their beginning; told twice of the end of some, which is one end."""

    def begins(self, call: PendingCall) -> None:
        """A call is about to be made: in the thread or task of its caller, before anybody else has it."""


_calls: list[CallInstrument] = []
_runners: list[Callable[[Runner], Runner]] = []


def install_calls(instrument: CallInstrument) -> Callable[[], None]:
    """Have an instrument see the calls of every client that is made from now on; return what ends that."""
    _calls.append(instrument)
    return lambda: _calls.remove(instrument)


def install_runner(around: Callable[[Runner], Runner]) -> Callable[[], None]:
    """Have what `around` makes of a runner run the handlers of servers made from now on; return what ends that."""
    _runners.append(around)
    return lambda: _runners.remove(around)


def instrumented_call(
    make: Callable[[PendingCall], T], observe: Callable[[CallObserver], None]
) -> Callable[[PendingCall], T]:
    """Return what a client is to make its calls by; that is `make` itself where nothing is installed.

    Args:
        make: Makes a call.
        observe: Has an observer see what becomes of the calls.
    """
    for instrument in _calls:
        observe(instrument)
        make = _around(make, instrument)
    return make


def _around(make: Callable[[PendingCall], T], instrument: CallInstrument) -> Callable[[PendingCall], T]:
    def make_seen(call: PendingCall) -> T:
        instrument.begins(call)
        try:
            made = make(call)
        except BaseException:
            instrument.abandoned(call, time.monotonic())
            raise
        if call.done:  # a client that is closed has no core that could tell
            instrument.finished(call, time.monotonic())
        return made

    return make_seen


def instrumented_runner(runner: Runner) -> Runner:
    """Return what is to run a server's handlers; that is `runner` itself where nothing is installed."""
    for around in _runners:
        runner = around(runner)
    return runner
