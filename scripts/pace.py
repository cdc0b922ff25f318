"""Calls at a steady pace, from threads or from a loop, and what became of them."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from mesh import AsyncClient, Attempt, Client, MeshError, Reply, ServerView

__all__ = ["AsyncPace", "Call", "Done", "LoopClient", "Pace", "longest_gap_s", "pace_of", "percentile", "steady"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked of a raw method."""

    method: str
    body: bytes
    idempotent: bool | None = None
    key: str | None = None

    @property
    def token(self) -> str:
        """The first word of the body, by which the servers log it."""
        return self.body.split(maxsplit=1)[0].decode()


@dataclass(frozen=True, slots=True)
class Done:
    """One call that ended; times are those of the monotonic clock."""

    call: Call
    due_at: float
    """When it should have been made."""
    started_at: float
    """When it was made: later, if its caller was late."""
    finished_at: float
    server: str
    """Who answered; empty if nobody did."""
    attempts: tuple[Attempt, ...]
    outcome: str
    """`answered`, or the name of the error."""
    error: str
    """What the error says; empty if it was answered."""

    @property
    def took_s(self) -> float:
        """Seconds from when it should have been made to its end."""
        return self.finished_at - self.due_at

    @classmethod
    def answered(cls, call: Call, due_at: float, started_at: float, reply: Reply) -> Done:
        """Return a call that ends now with an answer."""
        return cls(call, due_at, started_at, time.monotonic(), reply.body.decode(), reply.attempts, "answered", "")

    @classmethod
    def failed(cls, call: Call, due_at: float, started_at: float, error: MeshError) -> Done:
        """Return a call that ends now with an error."""
        attempts = getattr(error, "attempts", ())
        return cls(call, due_at, started_at, time.monotonic(), "", attempts, type(error).__name__, str(error))


def steady(method: str = "work.echo", hold_s: float = 0.0, prefix: str = "") -> Iterator[Call]:
    """Yield calls without end: each takes `hold_s` seconds at its server, and its token is a number after `prefix`."""
    return (Call(method, f"{prefix}{number} {hold_s}".encode()) for number in itertools.count(1))


def longest_gap_s(done: Iterable[Done], since: float, until: float) -> float:
    """Return the longest time without an answered call that overlaps the time from `since` to `until`."""
    times = sorted(one.finished_at for one in done if not one.error)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times) if later > since and earlier < until]
    if not gaps or times[-1] < until:  # the calls ended, or have stopped for good
        gaps.append(until - max(since, times[-1] if times else since))
    return max(gaps)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` (0 to 1) of `values` do not exceed; 0.0 without any."""
    return sorted(values)[max(0, -int(-len(values) * share // 1) - 1)] if values else 0.0


class Pace:
    """Makes calls from threads until the end of the `with` block.

    Args:
        client: Makes the calls.
        rate: Calls a second. A call that is late is made at once, a missed one is not made up for.
        workers: Threads that share the calls; with one, each call waits for the one before.
        calls: What to ask, without end.
        timeout_s: Deadline of each call.
        tell: Called with each call that ended, in the thread that made it. None: they gather in `done`.
    """

    def __init__(
        self,
        client: Client,
        rate: float,
        workers: int,
        calls: Iterator[Call],
        timeout_s: float = 5.0,
        tell: Callable[[Done], None] | None = None,
    ) -> None:
        self._client = client
        self._interval_s = 1.0 / rate
        self._calls = calls
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._next_at = time.monotonic()
        self._ended = threading.Event()
        self.done: list[Done] = []
        """The calls so far, in the order in which they ended."""
        self._tell = tell or self.done.append
        self._threads = [threading.Thread(target=self._work, name=f"pace-{number}") for number in range(workers)]

    def __enter__(self) -> Self:
        """Begin."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Make no more calls, and return when those under way have ended."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._lock:
                due = max(self._next_at, time.monotonic())
                self._next_at = due + self._interval_s
                call = next(self._calls)
            if self._ended.wait(due - time.monotonic()):
                return
            self._tell(self._ask(call))

    def _ask(self, call: Call) -> Done:
        started_at = time.monotonic()
        try:
            reply = self._client.request(
                call.method, call.body, timeout=self._timeout_s, idempotent=call.idempotent, key=call.key
            )
        except MeshError as error:
            return Done.failed(call, started_at, started_at, error)
        return Done.answered(call, started_at, started_at, reply)


class LoopClient:
    """An AsyncClient in a loop that has a thread of its own, for programs that are written with threads.

    Args:
        settings: Those of AsyncClient.
    """

    def __init__(self, **settings: Any) -> None:
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="loop-client")
        self.client: AsyncClient
        """To be used in coroutines that `run` or `submit` get."""

    def __enter__(self) -> Self:
        """Start the loop and make the client."""
        self._thread.start()
        try:
            self.run(self._begin())
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Close the client, then the loop."""
        self.run(self.client.close())
        self._stop()

    def _stop(self) -> None:
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _begin(self) -> None:
        self.client = AsyncClient(**self._settings)

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin a coroutine in the loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop and return its result."""
        return self.submit(coroutine).result()

    def call(self, method: str, /, *args: object, peer: str | None = None) -> Any:
        """Do what AsyncClient.call does."""
        return self.run(self.client.call(method, *args, peer=peer))

    def wait_for(self, count: int, /, service: str = "") -> list[ServerView]:
        """Do what AsyncClient.wait_for does."""
        return self.run(self.client.wait_for(count, service))

    def servers(self) -> list[ServerView]:
        """Do what AsyncClient.servers does."""

        async def look() -> list[ServerView]:
            return self.client.servers()

        return self.run(look())


class AsyncPace:
    """Makes calls with an AsyncClient until the end of the `with` block, at a pace that answers do not influence.

    Args:
        client: Makes the calls.
        rate: Calls a second, however many are open; those that are late are all made at once.
        calls: What to ask, without end.
        timeout_s: Deadline of each call.
        tell: Called with each call that ended, in the loop. None: they gather in `done`.
    """

    def __init__(
        self,
        client: LoopClient,
        rate: float,
        calls: Iterator[Call],
        timeout_s: float = 5.0,
        tell: Callable[[Done], None] | None = None,
    ) -> None:
        self._client = client
        self._interval_s = 1.0 / rate
        self._calls = calls
        self._timeout_s = timeout_s
        self._ended = False
        self.done: list[Done] = []
        """The calls so far, in the order in which they ended."""
        self._tell = tell or self.done.append
        self._working: Future[None]

    def __enter__(self) -> Self:
        """Begin."""
        self._working = self._client.submit(self._work())
        return self

    def __exit__(self, *_: object) -> None:
        """Make no more calls, and return when those under way have ended."""
        self._ended = True
        self._working.result()

    async def _work(self) -> None:
        due = time.monotonic()
        async with asyncio.TaskGroup() as open_calls:
            while not self._ended:
                while due <= time.monotonic():
                    open_calls.create_task(self._ask(next(self._calls), due))
                    due += self._interval_s
                await asyncio.sleep(due - time.monotonic())

    async def _ask(self, call: Call, due: float) -> None:
        started_at = time.monotonic()
        try:
            reply = await self._client.client.request(
                call.method, call.body, timeout=self._timeout_s, idempotent=call.idempotent, key=call.key
            )
        except MeshError as error:
            self._tell(Done.failed(call, due, started_at, error))
        else:
            self._tell(Done.answered(call, due, started_at, reply))


def pace_of(
    client: Client | LoopClient, rate: float, workers: int, calls: Iterator[Call], timeout_s: float = 5.0
) -> Pace | AsyncPace:
    """Return the pace for a client; `workers` matter where threads make the calls."""
    if isinstance(client, LoopClient):
        return AsyncPace(client, rate, calls, timeout_s)
    return Pace(client, rate, workers, calls, timeout_s)
