"""A server's core: what it admits, runs, remembers, refuses and answers, and to whom."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from mesh.config import Limits, ServerConfig
from mesh.core.actions import Answer, AnswerFrames, Cancel, Handle, Notice, ServerAction
from mesh.core.events import RepliesGiven, ReplyGiven, RequestReceived, Stopping, Tick
from mesh.core.methods import COROUTINE, INLINE, MethodInfo
from mesh.core.server import ServerCore, ServerIdentity
from mesh.core.wire import MAGIC, Body, Call, Detail, Hello, Ping, Pong, Record, Reply, ServerState, decode, encode
from mesh.core.wire import Cancel as CancelRecord
from mesh.core.work import Work
from mesh.errors import RemoteError, Status
from tests.unit.mesh.core.harness import match

BOOT = 77
METHODS = {
    "calc.add": MethodInfo(INLINE),
    "calc.pay": MethodInfo(INLINE, idempotent=False),
    "calc.wait": MethodInfo(COROUTINE),
    "calc.echo": MethodInfo("threads", raw=True),
}
A, B = b"client-a", b"client-b"


class Server:
    """A `ServerCore` with its clock, and what it sent and started."""

    def __init__(
        self,
        config: ServerConfig | None = None,
        methods: Mapping[str, MethodInfo] = METHODS,
        lanes: Mapping[str, int] | None = None,
    ) -> None:
        self.limits = (config or ServerConfig()).limits
        identity = ServerIdentity(peer_id="s1", name="one", realm="default", version="1.0", boot=BOOT)
        self.core = ServerCore(
            identity,
            methods,
            {COROUTINE: 2, "threads": 2} if lanes is None else lanes,
            config or ServerConfig(),
            services=("calc",),
        )
        self.core.offer("mesh.ping", lambda frames, now: b"pong at %d" % now)
        self.now = 1000.0
        self.running: list[Work] = []
        self.cancelled: list[Work] = []
        self.replies: list[tuple[bytes, Record]] = []
        self.frames: list[tuple[bytes, list[bytes]]] = []
        self.notices: list[str] = []

    def feed(self, event: RequestReceived | RepliesGiven | Tick | Stopping) -> list[ServerAction]:
        return self.perform(self.core.handle(event, self.now))

    def perform(self, actions: list[ServerAction]) -> list[ServerAction]:
        for action in actions:
            if isinstance(action, Handle):
                self.running += action.works
            elif isinstance(action, Cancel):
                self.cancelled.append(action.work)
            elif isinstance(action, Answer):
                self.replies += [(action.client, record) for record in action.records]
            elif isinstance(action, AnswerFrames):
                self.frames.append((action.client, action.frames))
            elif isinstance(action, Notice):
                self.notices.append(action.text)
        assert self.core.admitted >= len(self.running)
        assert self.core.idle() is (self.core.admitted == 0)
        return actions

    def send(self, *records: Record, client: bytes = A) -> list[ServerAction]:
        """Let a client send records."""
        return self.feed(RequestReceived(client, encode(records, Limits())[0]))

    def raw(self, *frames: bytes, client: bytes = A) -> list[ServerAction]:
        """Let a client send frames."""
        return self.feed(RequestReceived(client, list(frames)))

    def give(self, body: Body = b"answer", status: int = 0, detail: Detail | None = None, took_s: float = 0.02) -> None:
        """Let the oldest handler end, which fills a turn of the loop."""
        self.feed(RepliesGiven([ReplyGiven(self.running.pop(0), body, status, detail, took_s=took_s)]))

    @property
    def last(self) -> Reply:
        """The last record that was sent, a REPLY."""
        record = self.replies[-1][1]
        assert type(record) is Reply
        return record


@pytest.fixture
def server() -> Server:
    return Server()


def refused(server: Server) -> tuple[Status, int | None]:
    """Return the status of the last reply, and its push-back."""
    detail = server.last.detail
    assert detail is not None
    return Status(server.last.status), detail.retry_after_ms


# -- calls


def test_a_call_is_run_and_answered(server: Server) -> None:
    server.send(Call(5, "calc.add", b"args", 0, BOOT, b"", 2, {"m": "1"}))
    [work] = server.running
    assert (work.method, work.frames, work.attempt, work.metadata, work.deadline) == (
        "calc.add",
        [b"args"],
        2,
        {"m": "1"},
        None,
    )
    assert server.core.admitted == 1
    server.give(b"5", took_s=0.25)
    assert server.replies == [(A, Reply(5, 0, b"5", 0))]
    stats = server.core.stats["calc.add"]
    assert (stats.count, stats.errors) == (1, 0)
    assert stats.histogram.percentile_s(0.5) == pytest.approx(0.25, rel=0.1)
    assert server.core.idle()


def test_every_reply_carries_the_calls_not_yet_answered(server: Server) -> None:
    server.send(Call(1, "calc.add"), Call(2, "calc.add"), Call(3, "calc.add"))
    for _ in range(3):
        server.give()
    assert [record.load for _, record in server.replies if isinstance(record, Reply)] == [2, 1, 0]


def test_the_error_of_a_handler_is_counted_and_sent(server: Server) -> None:
    server.send(Call(1, "calc.add"))
    server.give(b"", Status.UNKNOWN, Detail(type="ZeroDivisionError", message="by zero"))
    assert (server.last.status, server.last.detail) == (2, Detail(type="ZeroDivisionError", message="by zero"))
    stats = server.core.stats["calc.add"]
    assert (stats.errors, stats.last_error) == (1, "ZeroDivisionError: by zero")
    server.send(Call(2, "calc.add"))
    server.give(b"", Status.NOT_FOUND, Detail(message="no such order"))
    assert (stats.errors, stats.last_error) == (2, "NOT_FOUND: no such order")  # the handler chose the status
    assert {status: histogram.count for status, histogram in stats.failures.items()} == {2: 1, 5: 1}


def test_calls_of_several_clients_with_equal_ids_do_not_mix(server: Server) -> None:
    server.send(Call(1, "calc.add", b"a"), client=A)
    server.send(Call(1, "calc.add", b"b"), client=B)
    server.give(b"for a")
    server.give(b"for b")
    assert server.replies == [(A, match(Reply, body=b"for a")), (B, match(Reply, body=b"for b"))]


def test_an_unknown_method_names_the_nearest(server: Server) -> None:
    server.send(Call(1, "calc.ad"))
    assert server.last.status == Status.UNIMPLEMENTED
    assert server.last.detail is not None
    assert server.last.detail.message == "unknown method calc.ad; nearest: calc.add, calc.pay, calc.wait"
    assert server.last.detail.retry_after_ms is None, "no other server of this service has it either"


def test_reserved_methods_answer_at_once_even_while_draining(server: Server) -> None:
    server.feed(Stopping())
    server.send(Call(1, "mesh.ping"))
    assert (server.last.status, server.last.body) == (0, b"pong at 1000")


# -- pings


def test_a_ping_is_answered_with_boot_clock_state_load_and_window(server: Server) -> None:
    server.send(Call(1, "calc.add"))
    server.send(Ping(9))
    assert server.replies == [(A, Pong(9, BOOT, 1_000_000, ServerState.SERVING, 1, 512))]


def test_a_ping_that_asks_is_told_who_answers_before_the_pong(server: Server) -> None:
    server.send(Ping(9, True))
    assert server.replies == [
        (A, Hello("s1", "one", "default", ["calc"], ["calc.pay"], "1.0", server.limits.body_max)),
        (A, match(Pong, nonce=9)),
    ]


# -- admission


def test_one_call_more_than_admitted_max_is_pushed_back() -> None:
    server = Server(ServerConfig(admitted_max=2, retry_after_s=0.2))
    server.send(Call(1, "calc.add"), Call(2, "calc.add"), Call(3, "calc.add"))
    assert refused(server) == (Status.RESOURCE_EXHAUSTED, 200)
    assert server.last.call_id == 3
    assert server.last.detail is not None
    assert server.last.detail.limit == "admitted_max"
    assert server.core.shed == 1
    server.give()
    server.send(Call(4, "calc.add"))
    assert server.core.admitted == 2


def test_a_call_whose_deadline_has_passed_is_not_run(server: Server) -> None:
    server.send(Call(1, "calc.add", b"", int(server.now * 1000) - 1, BOOT))
    assert refused(server) == (Status.DEADLINE_EXCEEDED, 0)
    assert (server.running, server.core.expired, server.core.admitted) == ([], 1, 0)


def test_a_call_whose_deadline_passes_while_it_waits_is_not_run(server: Server) -> None:
    server.send(
        Call(1, "calc.add"), Call(2, "calc.add", b"", 1_000_100, BOOT), Call(3, "calc.add", b"", 1_000_900, BOOT)
    )
    server.now += 0.5
    server.give()
    assert [work.call_id for work in server.running] == [3]
    assert server.core.expired == 1
    assert match(Reply, call_id=2, status=Status.DEADLINE_EXCEEDED) in [record for _, record in server.replies]
    server.give()
    assert server.core.idle()


@pytest.mark.parametrize("method", ["calc.add", "calc.pay"])
def test_a_call_that_was_not_begun_in_time_was_never_made(server: Server, method: str) -> None:
    server.send(Call(1, method, b"", int(server.now * 1000) + 10, BOOT, b"k"))
    server.feed(RepliesGiven([ReplyGiven(server.running.pop(), ran=False)]))
    assert refused(server) == (Status.DEADLINE_EXCEEDED, 0)
    assert (server.core.expired, server.core.stats[method].count) == (1, 0)
    server.send(Call(2, method, key=b"k"))
    assert server.running, "it can be asked for again"
    server.give()
    assert server.core.idle()


def test_a_call_for_the_process_before_is_not_run(server: Server) -> None:
    server.send(Call(1, "calc.add", b"", 0, BOOT + 1))
    assert refused(server) == (Status.UNAVAILABLE, 0)
    assert server.running == []


def test_a_call_without_boot_or_deadline_is_run(server: Server) -> None:
    server.send(Call(1, "calc.add"))
    assert server.running[0].deadline is None


# -- lanes


def test_inline_handlers_run_one_at_a_time_in_order(server: Server) -> None:
    server.send(*[Call(number, "calc.add") for number in range(1, 4)])
    started = []
    while server.running:
        assert len(server.running) == 1
        started.append(server.running[0].call_id)
        server.give()
    assert started == [1, 2, 3]


@pytest.mark.parametrize(("method", "at_once"), [("calc.add", 1), ("calc.echo", 2)])
def test_quick_calls_are_handed_out_ahead_as_many_as_run_in_a_turn(server: Server, method: str, at_once: int) -> None:
    server.send(*[Call(number, method) for number in range(1, 101)])
    assert (len(server.running), server.core.waiting) == (at_once, 100 - at_once)
    server.give(took_s=0.0005)
    assert [work.call_id for work in server.running] == list(range(2, 4 * at_once + 2))
    assert server.core.waiting == 99 - at_once, "no more run than can"
    replies, server.running = [ReplyGiven(work, b"", took_s=0.000001) for work in server.running], []
    server.feed(RepliesGiven(replies))
    assert len(server.running) == 32
    server.give(took_s=1.0)
    assert len(server.running) == 31, "slow ones wait where the newest may go first"
    while len(server.running) > at_once:
        server.give(took_s=1.0)
    last = server.running[-1].call_id
    server.give()
    assert [work.call_id for work in server.running][-1] == last + 1
    assert len(server.running) == at_once


def test_nothing_is_handed_out_ahead_for_who_wants_to_know_what_runs(server: Server) -> None:
    server.core.looks_ahead = False
    server.send(*[Call(number, "calc.add") for number in range(1, 10)])
    for _ in range(9):
        assert len(server.running) == 1
        server.give(took_s=0.000001)


def test_coroutines_are_never_handed_out_beyond_their_limit(server: Server) -> None:
    server.send(*[Call(number, "calc.wait") for number in range(1, 10)])
    for _ in range(7):
        assert len(server.running) == 2
        server.give(took_s=0.000001)


@pytest.mark.parametrize("method", ["calc.wait", "calc.echo"])
def test_other_lanes_run_as_many_as_they_may(server: Server, method: str) -> None:
    server.send(*[Call(number, method) for number in range(1, 6)])
    assert [work.call_id for work in server.running] == [1, 2]
    server.give()
    assert [work.call_id for work in server.running] == [2, 3]


def test_a_full_lane_does_not_hold_up_another(server: Server) -> None:
    server.send(*[Call(number, "calc.wait") for number in range(1, 6)], Call(9, "calc.add"))
    assert server.running[-1].call_id == 9


# -- cancelling


def test_a_cancelled_call_that_waits_is_not_run(server: Server) -> None:
    server.send(Call(1, "calc.add"), Call(2, "calc.add"), CancelRecord(2))
    server.give()
    assert server.running == []
    assert refused(server) == (Status.CANCELLED, 0)
    assert server.core.idle()


def test_a_cancelled_call_that_runs_is_told(server: Server) -> None:
    server.send(Call(1, "calc.add"), CancelRecord(1))
    assert server.cancelled == server.running
    assert server.running[0].cancelled
    server.give()
    assert server.last.call_id == 1, "whoever answers, is heard"


def test_a_cancelled_call_that_fails_was_never_made(server: Server) -> None:
    server.send(Call(1, "calc.add"), CancelRecord(1))
    server.give(b"", Status.UNKNOWN, Detail(type="CancelledError"))
    assert refused(server) == (Status.CANCELLED, 0)
    assert server.core.stats["calc.add"].errors == 0
    assert [*server.core.stats["calc.add"].failures] == [Status.CANCELLED]


def test_a_call_with_a_key_that_has_begun_is_not_cut_off(server: Server) -> None:
    server.send(Call(1, "calc.add", key=b"k"), CancelRecord(1))
    assert server.cancelled == []
    assert not server.running[0].cancelled
    server.give(b"5")
    server.send(Call(2, "calc.add", key=b"k"))
    assert server.running == [], "it would run a second time for the same key"
    assert (server.last.call_id, server.last.body) == (2, b"5")


def test_a_call_with_a_key_that_was_cancelled_before_it_began_can_be_made_again(server: Server) -> None:
    server.send(Call(1, "calc.add"), Call(2, "calc.add", key=b"k"), CancelRecord(2))
    server.give()
    assert refused(server) == (Status.CANCELLED, 0)
    server.send(Call(3, "calc.add", key=b"k"))
    assert [work.call_id for work in server.running] == [3]


def test_a_cancelled_call_that_fails_and_must_not_run_twice_is_remembered(server: Server) -> None:
    server.send(Call(1, "calc.pay", key=b"k"), CancelRecord(1))
    server.give(b"", Status.UNKNOWN, Detail(message="half done"))
    server.send(Call(2, "calc.pay", key=b"k"))
    assert server.running == []
    assert server.last.detail == Detail(message="half done")


def test_a_failure_is_no_error_of_a_method_whose_call_was_cancelled(server: Server) -> None:
    server.send(Call(1, "calc.add"), CancelRecord(1))
    server.give(b"", Status.UNKNOWN, Detail(type="CancelledError"))
    stats = server.core.stats["calc.add"]
    assert (stats.count, stats.errors, stats.last_error, server.core.expired) == (1, 0, "", 1)


def test_a_failure_that_is_remembered_is_an_error_even_of_a_cancelled_call(server: Server) -> None:
    server.send(Call(1, "calc.pay"), CancelRecord(1))
    server.give(b"", Status.UNKNOWN, Detail(type="ValueError", message="half done"))
    stats = server.core.stats["calc.pay"]
    assert (stats.errors, stats.last_error, server.core.expired) == (1, "ValueError: half done", 0)


def test_only_the_caller_can_cancel(server: Server) -> None:
    server.send(Call(1, "calc.add"))
    server.send(CancelRecord(1), client=B)
    server.send(CancelRecord(2))
    assert server.cancelled == []


# -- the duplicate window


def test_a_key_that_runs_is_joined_and_runs_once(server: Server) -> None:
    server.send(Call(1, "calc.pay", b"x", key=b"k"))
    server.send(Call(7, "calc.pay", b"x", key=b"k"), client=B)
    assert (len(server.running), server.core.duplicates, server.core.admitted) == (1, 1, 1)
    server.give(b"paid")
    assert sorted(server.replies, key=lambda entry: entry[0]) == [
        (A, match(Reply, call_id=1, body=b"paid")),
        (B, match(Reply, call_id=7, body=b"paid")),
    ]


def test_a_key_that_was_answered_is_replayed(server: Server) -> None:
    server.send(Call(1, "calc.pay", b"x", key=b"k"))
    server.give([b"paid", b"twice"])
    server.send(Call(2, "calc.pay", b"x", key=b"k"))
    assert server.running == []
    assert server.last == Reply(2, 0, [b"paid", b"twice"], 0)


def test_an_error_is_replayed_as_well(server: Server) -> None:
    server.send(Call(1, "calc.pay", b"x", key=b"k"))
    server.give(b"", Status.UNKNOWN, Detail(message="no money"))
    server.send(Call(2, "calc.pay", b"x", key=b"k"))
    assert server.last == Reply(2, 2, b"", 0, Detail(message="no money"))


@pytest.mark.parametrize("call", [Call(2, "calc.pay", b"y", key=b"k"), Call(2, "calc.add", b"x", key=b"k")])
@pytest.mark.parametrize("answered", [False, True])
def test_another_method_or_body_under_the_same_key_is_an_error(server: Server, call: Call, answered: bool) -> None:
    server.send(Call(1, "calc.pay", b"x", key=b"k"))
    if answered:
        server.give()
    server.send(call)
    assert server.last.status == Status.INVALID_ARGUMENT
    assert server.last.detail is not None
    assert server.last.detail.limit == "key"
    assert server.last.detail.retry_after_ms is None


def test_a_forgotten_key_runs_again() -> None:
    server = Server(ServerConfig(duplicates_age_s=60))
    server.send(Call(1, "calc.pay", b"x", key=b"k"))
    server.give()
    server.now += 61
    server.send(Call(2, "calc.pay", b"x", key=b"k"))
    assert len(server.running) == 1


def test_a_refused_call_leaves_no_key_behind() -> None:
    server = Server(ServerConfig(admitted_max=1))
    server.send(Call(1, "calc.add"), Call(2, "calc.pay", b"x", key=b"k"))
    server.give()
    server.send(Call(3, "calc.pay", b"x", key=b"k"))
    assert [work.call_id for work in server.running] == [3]


def test_a_key_is_joined_even_when_there_is_no_room() -> None:
    server = Server(ServerConfig(admitted_max=1))
    server.send(Call(1, "calc.pay", b"x", key=b"k"), Call(2, "calc.pay", b"x", key=b"k"))
    server.give(b"paid")
    assert {record.call_id for _, record in server.replies if isinstance(record, Reply) and not record.status} == {1, 2}


def test_whoever_joined_a_call_that_expired_may_ask_again(server: Server) -> None:
    server.send(
        Call(1, "calc.add"), Call(2, "calc.pay", b"x", 1_000_100, BOOT, b"k"), Call(3, "calc.pay", b"x", key=b"k")
    )
    server.now += 0.5
    server.give()
    assert {record.call_id: record.status for _, record in server.replies if isinstance(record, Reply)} == {
        1: 0,
        2: Status.DEADLINE_EXCEEDED,
        3: Status.DEADLINE_EXCEEDED,
    }
    assert refused(server)[1] == 0
    server.send(Call(4, "calc.pay", b"x", key=b"k"))
    assert len(server.running) == 1


def test_a_call_that_others_joined_is_not_told_to_stop(server: Server) -> None:
    server.send(Call(1, "calc.pay", b"x", key=b"k"), Call(2, "calc.pay", b"x", key=b"k"), CancelRecord(1))
    assert server.cancelled == []
    assert not server.running[0].cancelled
    server.give(b"paid")
    assert match(Reply, call_id=2, body=b"paid") in [record for _, record in server.replies]


def test_those_who_wait_for_one_key_are_bounded(server: Server) -> None:
    for number in range(1, 70):
        server.send(Call(number, "calc.pay", b"x", key=b"k"))
    assert refused(server)[0] == Status.RESOURCE_EXHAUSTED
    server.give(b"paid")
    assert sum(isinstance(record, Reply) and not record.status for _, record in server.replies) == 65


# -- draining


def test_a_draining_server_tells_its_clients_refuses_calls_and_finishes_what_it_has(server: Server) -> None:
    server.send(Call(1, "calc.add"), Call(2, "calc.add"))
    server.send(Ping(1), client=B)
    server.replies.clear()
    server.feed(Stopping())
    assert server.replies == [(client, Pong(0, BOOT, 1_000_000, ServerState.DRAINING, 2, 512)) for client in (A, B)]
    server.send(Call(3, "calc.add"))
    assert refused(server) == (Status.UNAVAILABLE, 0)
    server.give()
    assert not server.core.idle()
    server.give()
    assert server.core.idle()
    assert server.feed(Stopping()) == []
    server.replies.clear()
    server.perform(server.core.end(server.now))
    assert {(client, record.state) for client, record in server.replies if isinstance(record, Pong)} == {
        (A, ServerState.NOT_SERVING),
        (B, ServerState.NOT_SERVING),
    }


def test_a_draining_server_still_answers_for_the_keys_it_knows(server: Server) -> None:
    server.send(Call(1, "calc.pay", b"x", key=b"k"), Call(2, "calc.pay", b"y", key=b"l"))
    server.give(b"paid")
    server.feed(Stopping())
    server.replies.clear()
    server.send(Call(3, "calc.pay", b"x", key=b"k"), Call(4, "calc.pay", b"y", key=b"l"))
    assert server.replies == [(A, match(Reply, call_id=3, status=0, body=b"paid"))]
    server.give(b"paid too")
    assert server.replies[-1] == (A, match(Reply, call_id=2, status=0, body=b"paid too"))
    assert (A, match(Reply, call_id=4, status=0, body=b"paid too")) in server.replies


def drainable(server: Server) -> None:
    """Let clients drain a server, and take that back."""

    def drain(frames: object, now: float) -> bytes:
        server.core.drain(now)
        return b"drained"

    server.core.offer("mesh.drain", drain)
    server.core.offer("mesh.resume", lambda frames, now: b"%d" % server.core.resume(now))


def test_a_server_that_was_told_to_drain_serves_again_when_it_is_told_to(server: Server) -> None:
    drainable(server)
    server.send(Call(1, "calc.add"))
    server.send(Call(2, "mesh.drain"), Call(3, "mesh.drain"), client=B)
    told = Pong(0, BOOT, 1_000_000, ServerState.DRAINING, 1, 512)
    drained = [match(Reply, body=b"drained"), match(Reply, body=b"drained")]
    assert server.replies == [(A, told), (B, told), *((B, reply) for reply in drained)]
    server.send(Call(4, "calc.add"))
    assert refused(server) == (Status.UNAVAILABLE, 0)
    server.replies.clear()
    server.send(Call(5, "mesh.resume"), Call(6, "mesh.resume"))
    told = Pong(0, BOOT, 1_000_000, ServerState.SERVING, 1, 512)
    resumed = [match(Reply, body=b"1"), match(Reply, body=b"1")]
    assert server.replies == [(A, told), (B, told), *((A, reply) for reply in resumed)]
    server.send(Call(7, "calc.add"))
    server.give(b"first")
    server.give(b"second")
    assert server.last.body == b"second"


def test_a_server_that_stops_is_not_told_to_serve_again(server: Server) -> None:
    drainable(server)
    server.send(Call(1, "mesh.drain"))
    server.feed(Stopping())
    server.send(Call(2, "mesh.resume"))
    assert server.last.body == b"0"
    assert server.core.state == ServerState.DRAINING


def test_a_reserved_method_may_refuse(server: Server) -> None:
    def refuse(frames: object, now: float) -> bytes:
        raise RemoteError("not here", code=Status.PERMISSION_DENIED)

    server.core.offer("mesh.drain", refuse)
    server.send(Call(1, "mesh.drain"))
    assert server.last == match(Reply, call_id=1, status=Status.PERMISSION_DENIED)
    assert server.last.detail == Detail(message="not here")


def test_a_client_that_is_gone_is_not_told(server: Server) -> None:
    server.send(Ping(1))
    server.core.forget_client(A)
    assert server.core.unanswerable == 1
    assert server.feed(Stopping()) == []


def test_clients_are_remembered_up_to_a_number() -> None:
    server = Server(ServerConfig(clients_max=3))
    for number in range(10):
        server.send(Ping(1), client=b"%d" % number)
    assert [action.client for action in server.feed(Stopping()) if isinstance(action, Answer)] == [b"7", b"8", b"9"]


def test_a_req_client_does_not_push_another_out_of_memory() -> None:
    server = Server(ServerConfig(clients_max=1))
    server.send(Ping(1), client=A)
    server.raw(b"", encode([Ping(1)], Limits())[0][0], client=B)
    assert [action.client for action in server.feed(Stopping()) if isinstance(action, Answer)] == [A]


# -- limits


SMALL = Limits(
    body_max=1024, method_max=255, metadata_max=32, key_max=16, inline_max=4096, head_max=16384, frames_max=4
)


@pytest.mark.parametrize(
    ("call", "limit"),
    [
        (Call(1, "calc.add", b"x" * 1025), "body_max"),
        (Call(1, "calc.add", [b"", b"x" * 1025]), "body_max"),
        (Call(1, "m" * 256), "method_max"),
        (Call(1, "é" * 128), "method_max"),
        (Call(1, "calc.add", metadata={"a" * 16: "b" * 17}), "metadata_max"),
        (Call(1, "calc.add", metadata={"é" * 9: "é" * 8}), "metadata_max"),
        (Call(1, "calc.add", key=b"k" * 17), "key_max"),
    ],
)
def test_a_call_over_a_limit_is_refused_by_its_name_and_the_connection_lives_on(call: Call, limit: str) -> None:
    server = Server(ServerConfig(limits=SMALL))
    server.send(call, Call(2, "calc.add", b"x" * 1024, key=b"k" * 16, metadata={"a": "b" * 31}))
    [(_, reply)] = server.replies
    assert isinstance(reply, Reply)
    assert (reply.call_id, reply.status) == (1, Status.INVALID_ARGUMENT)
    assert reply.detail is not None
    assert reply.detail.limit == limit
    assert reply.detail.message.startswith(f"{limit}: ")
    assert reply.detail.retry_after_ms is None
    assert [work.call_id for work in server.running] == [2]


@pytest.mark.parametrize(
    ("frames", "limit"),
    [
        ([*encode([Call(1, "calc.add", [b"x"] * 5)], Limits())[0]], "frames_max"),
        ([*encode([Call(1, "calc.add", b"x" * 20_000)], Limits(inline_max=50_000))[0]], "head_max"),
        ([MAGIC + b"\x02"], ""),
        ([MAGIC + b"\x01\xc1"], ""),
        ([MAGIC], ""),
    ],
)
def test_a_message_that_cannot_be_read_is_answered_to_call_0(frames: list[bytes], limit: str) -> None:
    server = Server(ServerConfig(limits=SMALL))
    server.raw(*frames)
    assert (server.last.call_id, server.last.status) == (0, Status.INVALID_ARGUMENT)
    assert server.last.detail is not None
    assert server.last.detail.limit == limit
    assert server.core.garbage == 1
    assert server.notices
    server.send(Call(2, "calc.add"))
    assert len(server.running) == 1


@pytest.mark.parametrize(
    ("body", "limit"), [(b"x" * 1025, "body_max"), ([b"", b"x" * 1025], "body_max"), ([b""] * 5, "frames_max")]
)
def test_an_answer_over_a_limit_is_an_error_that_names_it(body: Body, limit: str) -> None:
    server = Server(ServerConfig(limits=SMALL))
    server.send(Call(1, "calc.add"))
    server.give(body)
    assert (server.last.status, server.last.body) == (Status.INTERNAL, b"")
    assert server.last.detail is not None
    assert server.last.detail.limit == limit
    assert "calc.add" in server.last.detail.message


# -- clients that speak no mesh/1


def test_a_req_client_gets_a_plain_answer_of_the_only_raw_method(server: Server) -> None:
    server.raw(b"", b"hello", b"world")
    [work] = server.running
    assert (work.method, work.frames, work.mesh) == ("calc.echo", [b"hello", b"world"], False)
    server.give(b"answer")
    assert server.frames == [(A, [b"", b"answer"])]


def test_an_flp_client_gets_its_control_frame_back(server: Server) -> None:
    server.raw(b"\x00\x01", b"hello")
    server.give([b"one", b"two"])
    assert server.frames == [(A, [b"\x00\x01", b"one", b"two"])]


def test_a_control_frame_that_reads_ping_is_one_if_a_body_follows(server: Server) -> None:
    server.raw(b"PING", b"hello")
    server.give(b"answer")
    assert server.frames == [(A, [b"PING", b"answer"])]


def test_an_empty_answer_is_one_empty_frame(server: Server) -> None:
    server.raw(b"", b"hello")
    server.give([])
    assert server.frames == [(A, [b"", b""])]


def test_an_flp_ping_is_answered_even_while_draining(server: Server) -> None:
    server.feed(Stopping())
    server.raw(b"PING")
    server.raw(b"", b"PING")
    assert server.frames == [(A, [b"PONG"]), (A, [b"", b"PONG"])]


def test_an_error_for_a_plain_client_is_a_sentence(server: Server) -> None:
    server.raw(b"", b"hello")
    server.give(b"", Status.NOT_FOUND, Detail(message="no such order"))
    server.feed(Stopping())
    server.raw(b"c", b"hello")
    assert server.frames == [
        (A, [b"", b"ERROR NOT_FOUND: no such order"]),
        (A, [b"c", b"ERROR UNAVAILABLE: the server is draining"]),
    ]


@pytest.mark.parametrize("raws", [0, 2])
def test_without_a_default_method_a_plain_client_is_told_what_to_set(raws: int) -> None:
    server = Server(
        methods={f"calc.m{number}": MethodInfo(INLINE, raw=True) for number in range(raws)} or METHODS_TYPED
    )
    server.raw(b"", b"hello")
    assert server.frames == [
        (
            A,
            [
                b"",
                b"ERROR UNIMPLEMENTED: this server has no default method for callers that name none; "
                b"set default_method",
            ],
        )
    ]


METHODS_TYPED = {"calc.add": MethodInfo(INLINE)}


def test_the_default_method_can_be_named() -> None:
    server = Server(ServerConfig(default_method="calc.add"))
    server.raw(b"", b"hello")
    assert (server.core.default_method, server.running[0].method) == ("calc.add", "calc.add")


def test_mesh_records_in_the_envelope_of_a_req_socket_are_answered_in_it(server: Server) -> None:
    server.raw(b"", *encode([Call(5, "calc.add", b"x")], Limits())[0])
    assert server.running[0].mesh
    server.give(b"answer")
    [(client, frames)] = server.frames
    assert (client, frames[0]) == (A, b"")
    assert decode(frames[1:], Limits()).records == [Reply(5, 0, b"answer", 0)]


@pytest.mark.parametrize("frames", [[], [b""], [b"x"], [b"PONG"]])
def test_what_is_nothing_is_counted_and_not_answered(server: Server, frames: list[bytes]) -> None:
    assert server.raw(*frames) == []
    assert server.core.ignored == 1


def test_records_of_clients_that_only_servers_send_are_counted(server: Server) -> None:
    assert server.send(Reply(1), Pong(1, 1, 1), Hello("x", "x", "x", [], [])) == []
    assert server.core.unknown_records == 3


def test_a_server_waits_for_nothing_but_messages_and_handlers(server: Server) -> None:
    server.send(Call(1, "calc.add"))
    assert server.core.deadline() is None
    assert server.feed(Tick()) == []
