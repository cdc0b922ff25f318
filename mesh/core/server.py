"""The server's core: what to admit, what to run next, what to answer, and to whom.

A call is admitted or refused at once. Admitted calls wait in the lane of their method: `inline` runs one at a time
in the loop, a pool of threads as many as it has, coroutines up to a limit; quick ones are handed out some milliseconds
ahead. `Handle` starts some, `RepliesGiven` ends some and starts the next. Just before it starts, a call whose caller
gave up (its deadline, in this server's clock, has passed, or it was cancelled) is dropped instead: that is what keeps a
thawed server from running stale work. The shell looks once more when it begins, and says so if it did not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from mesh.config import ServerConfig
from mesh.core.actions import Answer, AnswerFrames, Cancel, Handle, Notice, ServerAction
from mesh.core.dialect import PONG, Envelope, FlpPing, Ignored, MeshFrames, Plain, read_dialect
from mesh.core.duplicates import Answered, DuplicateWindow
from mesh.core.events import RepliesGiven, ReplyGiven, RequestReceived, ServerEvent, Stopping, Tick
from mesh.core.methods import COROUTINE, INLINE, MethodInfo, MethodStats, unknown_method
from mesh.core.wire import (
    MAGIC,
    Body,
    Call,
    Detail,
    Hello,
    Ping,
    Pong,
    Record,
    Reply,
    ServerState,
    body_frames,
    decode,
    encode,
    largest_frame,
)
from mesh.core.wire import Cancel as CancelRecord
from mesh.core.work import Lane, Work
from mesh.errors import RemoteError, RemoteProtocolError, Status

__all__ = ["ControlMethod", "ServerCore", "ServerIdentity"]


class ServerIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """Who this server is, for as long as its process lives."""

    peer_id: str
    name: str
    realm: str
    version: str
    boot: int
    """Random number other than 0; another one after every start."""


ControlMethod: TypeAlias = Callable[[Sequence[bytes], float], Body]
"""A reserved method (`mesh.*`): answers the frames of a call at once; raises RemoteError for a call that it refuses."""
_Handler: TypeAlias = Callable[[Any, float], None]
_JOINED_MAX = 64
"""Calls that may wait for one running call of the same key."""
_EXPIRED = Detail(message="the deadline had passed before it could run", retry_after_ms=0)


class ServerCore:
    """Everything a server decides.

    Args:
        identity: Who it is.
        methods: What it offers, by full name.
        lanes: How many calls of each lane may run at the same time.
        config: Settings.
        services: Names of its services, for the clients.
        started_at: When it came to life.
    """

    def __init__(
        self,
        identity: ServerIdentity,
        methods: Mapping[str, MethodInfo],
        lanes: Mapping[str, int],
        config: ServerConfig,
        *,
        services: tuple[str, ...] = (),
        started_at: float = 0.0,
    ) -> None:
        self._identity = identity
        self._methods = dict(methods)
        self._config = config
        self._limits = config.limits
        self._body_max = config.limits.body_max
        self._boot = identity.boot
        self._lanes = {name: Lane(name, limit) for name, limit in {INLINE: 1, **lanes}.items()}
        self._lane_of = {name: self._lanes[info.lane] for name, info in self._methods.items()}
        self.looks_ahead: bool = True
        """Whether more quick calls are handed out than can run at the same time."""
        self._out: list[ServerAction] = []
        self._duplicates: DuplicateWindow[Work] = DuplicateWindow(
            config.duplicates_max, config.duplicates_octets_max, config.duplicates_age_s
        )
        self._open: dict[tuple[bytes, int], Work] = {}
        """Admitted calls of mesh/1 clients, for CANCEL."""
        self._clients: dict[bytes, None] = {}
        """Mesh/1 clients that spoke, to be told when the state changes."""
        self._builtin: dict[str, ControlMethod] = {}
        self._default = config.default_method or self._only_raw()
        self._hello = Hello(
            identity.peer_id,
            identity.name,
            identity.realm,
            list(services),
            [name for name, info in self._methods.items() if not info.idempotent],
            identity.version,
            self._body_max,
        )
        self.state: int = ServerState.SERVING
        self._stopping = False
        self.admitted: int = 0
        """Calls admitted and not yet answered."""
        self.stats: dict[str, MethodStats] = {name: MethodStats() for name in self._methods}
        """Counters and latencies by method."""
        self.started_at = started_at
        self.garbage: int = 0
        """Messages that could not be read."""
        self.ignored: int = 0
        """Single frames that are nothing: probes, empty ones."""
        self.unknown_records: int = 0
        self.shed: int = 0
        """Calls refused for want of room."""
        self.expired: int = 0
        """Calls dropped because their caller had given up."""
        self.duplicates: int = 0
        """Calls answered from the duplicate window."""
        self.unanswerable: int = 0
        """Answers whose client was gone."""
        self._handlers: dict[type, _Handler] = {
            RequestReceived: self._on_request,
            RepliesGiven: self._on_replies,
            Tick: lambda event, now: None,
            Stopping: self._on_stopping,
        }

    def handle(self, event: ServerEvent, now: float) -> list[ServerAction]:
        """Take in what happened and return what to do, in order.

        Args:
            event: One event.
            now: Seconds of the monotonic clock whose milliseconds PONGs carry.
        """
        self._handlers[type(event)](event, now)
        actions, self._out = self._out, []
        return actions

    def deadline(self) -> float | None:
        """Return when the next Tick is due: a server waits for nothing but messages and handlers."""
        return None

    def offer(self, name: str, answer: ControlMethod) -> None:
        """Answer the reserved method `name` (`mesh.*`) with what `answer(frames, now)` returns."""
        self._builtin[name] = answer

    def drain(self, now: float) -> None:
        """Admit no more calls and tell the clients, until `resume`; for a reserved method, while it is answered."""
        if self.state == ServerState.SERVING:
            self.state = ServerState.DRAINING
            self._tell_state(now)

    def resume(self, now: float) -> bool:
        """Admit calls again after `drain`, as that; False for a server that stops, which is not taken back."""
        if self._stopping:
            return False
        if self.state == ServerState.DRAINING:
            self.state = ServerState.SERVING
            self._tell_state(now)
        return True

    @property
    def name(self) -> str:
        """Name of the server, for people."""
        return self._identity.name

    @property
    def default_method(self) -> str:
        """Method for callers that name none; empty if there is none."""
        return self._default

    @property
    def waiting(self) -> int:
        """Calls admitted that have not begun."""
        return sum(len(lane.waiting) + max(0, lane.running - lane.at_once) for lane in self._lanes.values())

    @property
    def clients(self) -> int:
        """Clients that spoke, as far as they are remembered."""
        return len(self._clients)

    def idle(self) -> bool:
        """Return whether no call is admitted."""
        return self.admitted == 0

    def end(self, now: float) -> list[ServerAction]:
        """Say goodbye to every client; the last thing before the socket closes."""
        self.state = ServerState.NOT_SERVING
        self._tell_state(now)
        actions, self._out = self._out, []
        return actions

    # -- messages

    def _on_request(self, event: RequestReceived, now: float) -> None:
        frames, client = event.frames, event.client
        if frames and frames[0][:2] == MAGIC:  # nearly all, so they do not go the long way
            self._on_mesh(client, (), frames, now)
            return
        incoming = read_dialect(frames)
        if type(incoming) is MeshFrames:
            self._on_mesh(client, incoming.envelope, incoming.frames, now)
        elif type(incoming) is FlpPing:
            self._out.append(AnswerFrames(client, [*incoming.envelope, PONG]))
        elif type(incoming) is Ignored:
            self.ignored += 1
        elif type(incoming) is Plain:
            work = Work(client, incoming.envelope, False, 0, self._default, incoming.frames)
            self._admit(work, now)

    def _on_mesh(self, client: bytes, envelope: Envelope, frames: list[bytes], now: float) -> None:
        try:
            message = decode(frames, self._limits)
        except RemoteProtocolError as error:
            self.garbage += 1
            self._out.append(Notice("garbage", f"a client sent {error}"))
            limit = str(error).partition(":")[0]
            detail = Detail(message=str(error), limit=limit if limit.endswith("_max") else "")
            self._post(client, envelope, Reply(0, Status.INVALID_ARGUMENT, b"", self.admitted, detail))
            return
        self.unknown_records += message.unknown
        # A REQ socket waits for one answer and hears nothing else.
        if client not in self._clients and not envelope:
            self._meet(client)
        self._take_in(client, envelope, message.records, now)

    def _take_in(self, client: bytes, envelope: Envelope, records: list[Record], now: float) -> None:
        lanes, opened, boot, admitted_max = self._lane_of, self._open, self._boot, self._config.admitted_max
        begun: list[Work] = []
        for record in records:
            if type(record) is Call:
                method, body, deadline = record.method, record.body, None
                lane = lanes.get(method)
                if record.deadline:
                    deadline = record.deadline / 1000.0
                if (  # nearly all, so they do not go the long way
                    lane is not None
                    and type(body) is bytes
                    and not record.key
                    and not record.metadata
                    and len(body) <= self._body_max
                    and (record.boot == boot or not record.boot)
                    and (deadline is None or now <= deadline)
                    and self.admitted < admitted_max
                    and not self.state  # it is SERVING
                ):
                    self.admitted += 1
                    call_id = record.call_id
                    work = Work(client, envelope, True, call_id, method, [body], deadline, lane, record.attempt)
                    opened[client, call_id] = work
                    if lane.running < lane.limit and not lane.waiting:
                        lane.running += 1
                        work.begun = True
                        begun.append(work)
                    else:
                        lane.waiting.append(work)
                else:
                    if begun:
                        self._out.append(Handle(begun))
                        begun = []
                    self._on_call(client, envelope, record, now)
            elif type(record) is Ping:
                pong = self._pong(record.nonce, now)
                self._post(client, envelope, *((self._hello, pong) if record.hello else (pong,)))
            elif type(record) is CancelRecord:
                cancelled = opened.get((client, record.call_id))
                if cancelled is not None:
                    self._cancel(cancelled)
            else:
                self.unknown_records += 1
        if begun:
            self._out.append(Handle(begun))

    def _cancel(self, work: Work) -> None:
        if self._duplicates.is_joined(work.key):
            return
        if work.key and work.begun and self._methods[work.method].idempotent:
            return  # the answer is kept for its key; a handler that is cut off leaves none, and would run again
        work.cancelled = True
        if work.begun:
            self._out.append(Cancel(work))

    def _on_call(self, client: bytes, envelope: Envelope, call: Call, now: float) -> None:
        deadline = call.deadline / 1000.0 if call.deadline else None
        body: Body = call.body  # type: ignore[assignment]
        work = Work(
            client,
            envelope,
            True,
            call.call_id,
            call.method,
            [body] if type(body) is bytes else body,  # type: ignore[arg-type]
            deadline,
            attempt=call.attempt,
            key=call.key,
            metadata=call.metadata,
        )
        problem = self._over_limit(call, body)
        if problem is not None:
            self._answer(work, b"", Status.INVALID_ARGUMENT, problem)
        elif call.boot and call.boot != self._boot:
            detail = Detail(message="meant for the process that was here before", retry_after_ms=0)
            self._answer(work, b"", Status.UNAVAILABLE, detail)
        elif deadline is not None and now > deadline:
            self.expired += 1
            self._answer(work, b"", Status.DEADLINE_EXCEEDED, _EXPIRED)
        else:
            self._admit(work, now)

    def _over_limit(self, call: Call, body: Body) -> Detail | None:
        limits = self._limits
        metadata = sum(len(name.encode()) + len(value.encode()) for name, value in (call.metadata or {}).items())
        for name, value, most in (
            ("body_max", largest_frame(body), limits.body_max),
            ("method_max", len(call.method.encode()), limits.method_max),
            ("metadata_max", metadata, limits.metadata_max),
            ("key_max", len(call.key), limits.key_max),
        ):
            if value > most:
                return Detail(message=f"{name}: {value} octets; {most} are allowed", limit=name)
        return None

    # -- admission

    def _admit(self, work: Work, now: float) -> None:
        name = work.method
        info = self._methods.get(name)
        if info is None:
            self._other_method(work, now)
            return
        if work.key and self._is_duplicate(work, now):
            return  # also while draining: nobody else knows what became of it
        if self.state != ServerState.SERVING:
            detail = Detail(message="the server is draining", retry_after_ms=0)
            self._answer(work, b"", Status.UNAVAILABLE, detail)
            return
        if self.admitted >= self._config.admitted_max:
            self.shed += 1
            detail = Detail(
                message=f"the server has {self.admitted} calls to answer (admitted_max)",
                retry_after_ms=max(1, int(self._config.retry_after_s * 1000)),
                limit="admitted_max",
            )
            self._answer(work, b"", Status.RESOURCE_EXHAUSTED, detail)
            return
        self.admitted += 1
        lane = work.lane = self._lane_of[name]
        if work.key:
            self._duplicates.begin(work.key, hash((name, tuple(work.frames))))
        if work.mesh:
            self._open[work.client, work.call_id] = work
        if lane.running < lane.limit and not lane.waiting:
            lane.running += 1
            work.begun = True
            self._out.append(Handle([work]))
        else:
            lane.waiting.append(work)

    def _other_method(self, work: Work, now: float) -> None:
        builtin = self._builtin.get(work.method)
        if builtin is not None:
            try:
                body = builtin(work.frames, now)
            except RemoteError as error:
                self._answer(work, b"", error.code, Detail(message=error.message))
            else:
                self._answer(work, body, 0, None)
        elif not work.method:
            text = "this server has no default method for callers that name none; set default_method"
            self._answer(work, b"", Status.UNIMPLEMENTED, Detail(message=text))
        else:
            self._answer(
                work,
                b"",
                Status.UNIMPLEMENTED,
                Detail(message=unknown_method(work.method, [*self._methods, *self._builtin])),
            )

    def _is_duplicate(self, work: Work, now: float) -> bool:
        entry = self._duplicates.find(work.key, now)
        if entry is None:
            return False
        self.duplicates += 1
        if entry.asked != hash((work.method, tuple(work.frames))):
            text = "another call with the same key but another method or body was here before"
            self._answer(work, b"", Status.INVALID_ARGUMENT, Detail(message=text, limit="key"))
        elif entry.answer is None and len(entry.joined) >= _JOINED_MAX:
            detail = Detail(message="too many calls wait for the same key", retry_after_ms=50, limit="key")
            self._answer(work, b"", Status.RESOURCE_EXHAUSTED, detail)
        elif entry.answer is None:
            entry.joined.append(work)
        else:
            answer = entry.answer
            self._answer(work, answer.body, answer.status, answer.detail)
        return True

    # -- running

    def _on_replies(self, event: RepliesGiven, now: float) -> None:
        opened, body_max = self._open, self._body_max
        client: bytes | None = None
        records: list[Record] = []
        for reply in event.replies:
            work, body = reply.work, reply.body
            work.lane.running -= 1
            if (  # nearly all, so they do not go the long way
                type(body) is bytes
                and reply.ran
                and not reply.status
                and work.mesh
                and not work.key
                and not work.envelope
                and len(body) <= body_max
            ):
                stats = self.stats[work.method]
                stats.count += 1
                stats.histogram.record(reply.took_s)
                self.admitted -= 1
                if work.client is not client:  # many of one client follow each other, if it has many
                    client, records = work.client, []
                    self._out.append(Answer(client, records))
                call_id = work.call_id
                opened.pop((client, call_id), None)
                records.append(Reply(call_id, 0, body, self.admitted))
            elif reply.ran:
                self._ran(reply, now)
            else:
                self._drop(work)
        for lane in self._lanes.values():
            if lane.waiting:
                if self.looks_ahead and lane.name != COROUTINE:
                    lane.pace([reply.took_s for reply in event.replies if reply.work.lane is lane])
                begun, given_up = lane.begin(now)
                if begun:
                    self._out.append(Handle(begun))
                for work in given_up:
                    self._drop(work)

    def _ran(self, reply: ReplyGiven, now: float) -> None:
        work, status, detail = reply.work, reply.status, reply.detail
        stats = self.stats[work.method]
        stats.count += 1
        stats.histogram.record(reply.took_s)
        if status and work.cancelled and self._methods[work.method].idempotent:
            stats.failed(Status.CANCELLED, reply.took_s)
            self._drop(work)  # why it stopped is no answer and no error: its caller went elsewhere, and may come back
            return
        if status:
            stats.errors += 1
            stats.failed(status, reply.took_s)
            if detail is not None:
                stats.last_error = f"{detail.type or Status(status).name}: {detail.message}"[:200]
        self._done(reply, now)

    def _answer_over_limit(self, method: str, body: Body) -> Detail | None:
        limits = self._limits
        largest, count = largest_frame(body), len(body_frames(body))
        if largest > limits.body_max:
            text = f"{method} returned a frame of {largest} octets; body_max is {limits.body_max}"
            return Detail(message=text, limit="body_max")
        if count > limits.frames_max:
            text = f"{method} returned {count} frames; frames_max is {limits.frames_max}"
            return Detail(message=text, limit="frames_max")
        return None

    def _drop(self, work: Work) -> None:
        """Do not run it, or forget that it ran: nobody waits. Whoever joined it is refused, and may ask again."""
        self.expired += 1
        self.admitted -= 1
        joined = self._duplicates.forget(work.key) if work.key else []
        self._open.pop((work.client, work.call_id), None)
        for refused in (work, *joined):
            if refused.cancelled:
                detail = Detail(message="cancelled by its caller", retry_after_ms=0)
                self._answer(refused, b"", Status.CANCELLED, detail)
            else:
                self._answer(refused, b"", Status.DEADLINE_EXCEEDED, _EXPIRED)

    def _done(self, reply: ReplyGiven, now: float) -> None:
        work, body, status, detail = reply.work, reply.body, reply.status, reply.detail
        if type(body) is not bytes or len(body) > self._body_max:
            problem = self._answer_over_limit(work.method, body)
            if problem is not None:
                body, status, detail = b"", Status.INTERNAL, problem
        self.admitted -= 1
        if work.mesh:
            self._open.pop((work.client, work.call_id), None)
        if work.key:
            for joined in self._duplicates.finish(work.key, Answered(body, status, detail, now), now):
                self._answer(joined, body, status, detail)
        self._answer(work, body, status, detail)

    # -- answering

    def _answer(self, work: Work, body: Body, status: int, detail: Detail | None) -> None:
        if work.mesh:
            reply = Reply(work.call_id, status, body, self.admitted, detail)  # type: ignore[arg-type]
            if work.envelope:
                self._post(work.client, work.envelope, reply)
            else:
                self._out.append(Answer(work.client, [reply]))
            return
        if status:
            text = detail.message if detail is not None else ""
            frames = [f"ERROR {Status(status).name}: {text}".encode()]
        else:
            frames = body_frames(body) or [b""]
        self._out.append(AnswerFrames(work.client, [*work.envelope, *frames]))

    def _post(self, client: bytes, envelope: Envelope, *records: Record) -> None:
        if envelope:  # a REQ socket takes one message per request
            frames, _ = encode(records, self._limits)
            self._out.append(AnswerFrames(client, [*envelope, *frames]))
        else:
            self._out.append(Answer(client, list(records)))

    def _pong(self, nonce: int, now: float) -> Pong:
        return Pong(nonce, self._boot, int(now * 1000.0), self.state, self.admitted, self._config.window)

    def _meet(self, client: bytes) -> None:
        if len(self._clients) >= self._config.clients_max:
            del self._clients[next(iter(self._clients))]
        self._clients[client] = None

    def forget_client(self, client: bytes) -> None:
        """The transport says that a client is gone."""
        self._clients.pop(client, None)
        self.unanswerable += 1

    # -- stopping

    def _on_stopping(self, event: Stopping, now: float) -> None:
        self._stopping = True
        self.drain(now)

    def _tell_state(self, now: float) -> None:
        for client in self._clients:
            self._out.append(Answer(client, [self._pong(0, now)]))

    def _only_raw(self) -> str:
        raw = [name for name, info in self._methods.items() if info.raw]
        return raw[0] if len(raw) == 1 else ""
