"""A server among clients that do anything: nothing raises, everything is answered once, every bound holds."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from mesh.config import Limits, ServerConfig
from mesh.core.actions import Answer, AnswerFrames, Handle
from mesh.core.events import RepliesGiven, ReplyGiven, RequestReceived, ServerEvent, Stopping
from mesh.core.methods import COROUTINE, INLINE, MethodInfo
from mesh.core.server import ServerCore, ServerIdentity
from mesh.core.wire import Body, Call, Cancel, Detail, Ping, Record, Reply, encode
from mesh.core.work import Work
from mesh.errors import Status
from scripts.fuzz_wire import mutate, valid

CONFIG = ServerConfig(
    admitted_max=12,
    clients_max=3,
    duplicates_max=5,
    duplicates_octets_max=5000,
    duplicates_age_s=20,
    limits=Limits(head_max=4096, body_max=2048, frames_max=4, records_max=16, inline_max=32),
)
METHODS = {
    "a.inline": MethodInfo(INLINE),
    "a.once": MethodInfo(COROUTINE, idempotent=False),
    "a.raw": MethodInfo("threads", raw=True),
}
LANES = {COROUTINE: 3, "threads": 2}
CLIENTS = [b"one", b"two", b"three", b"four", b"five"]


class Life:
    """A server core, its clients, and what is owed to them."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        identity = ServerIdentity(peer_id="s", name="s", realm="default", version="1", boot=7)
        self.core = ServerCore(identity, METHODS, LANES, CONFIG, services=("a",))
        self.now = 100.0
        self.running: list[Work] = []
        self.asked: Counter[tuple[bytes, int]] = Counter()
        self.answered: Counter[tuple[bytes, int]] = Counter()
        self.plain_asked = self.plain_answered = 0
        self.ran: Counter[bytes] = Counter()
        self.call_ids = 0

    def feed(self, event: ServerEvent) -> None:
        for action in self.core.handle(event, self.now):
            if isinstance(action, Handle):
                for work in action.works:
                    assert work.deadline is None or work.deadline >= self.now, "a call ran after its deadline"
                    assert not work.cancelled
                    self.running.append(work)
                    self.ran[work.key] += 1
            elif isinstance(action, Answer):
                encode(action.records, CONFIG.limits)
                for record in action.records:
                    if isinstance(record, Reply):
                        self.answered[action.client, record.call_id] += 1
            elif isinstance(action, AnswerFrames) and action.frames[0] == b"control":
                self.plain_answered += 1
        self.check()

    def check(self) -> None:
        core = self.core
        assert core.admitted <= CONFIG.admitted_max
        assert len(core._clients) <= CONFIG.clients_max
        assert len(core._duplicates._answered) <= CONFIG.duplicates_max
        assert core._duplicates._octets <= CONFIG.duplicates_octets_max
        running = Counter(work.lane.name for work in self.running)
        assert running[INLINE] <= 32
        assert running["threads"] <= 32
        assert running[COROUTINE] <= LANES[COROUTINE]
        assert core.admitted == len(self.running) + sum(len(lane.waiting) for lane in core._lanes.values())
        assert all(not lane.waiting or lane.running >= lane.limit for lane in core._lanes.values())
        assert len(core._open) <= core.admitted

    def send(self, *records: Record) -> None:
        client = self.rng.choice(CLIENTS)
        for record in records:
            if isinstance(record, Call):
                self.asked[client, record.call_id] += 1
        self.feed(RequestReceived(client, encode(records, CONFIG.limits)[0]))

    def call(self) -> None:
        rng = self.rng
        self.call_ids += 1
        deadline = int((self.now + rng.choice([-1, 0.1, 1, 9])) * 1000) if rng.random() < 0.6 else 0
        bodies: list[bytes | list[bytes | int]] = [b"x", b"y", b"z" * 3000, [b"a", b"b"]]
        method = rng.choice([*METHODS, "a.none"])
        key = rng.choice([b"", b"", b"k1", b"k2", b"k3", b"k" * 65])
        self.send(Call(self.call_ids, method, rng.choice(bodies), deadline, rng.choice([0, 7, 7, 8]), key))

    def end_one(self) -> None:
        if self.running:
            work = self.running.pop(self.rng.randrange(len(self.running)))
            bodies: list[Body] = [b"ok", b"o" * 2500, [b"a"] * 5, [], b"o" * 2000]
            failed = self.rng.random() < 0.2
            detail = Detail(message="bad") if failed else None
            reply = ReplyGiven(work, self.rng.choice(bodies), Status.UNKNOWN if failed else 0, detail, True, 0.0005)
            self.feed(RepliesGiven([reply]))

    def step(self) -> None:
        rng = self.rng
        match rng.randrange(12):
            case 0 | 1 | 2 | 3:
                self.call()
            case 4 | 5 | 6:
                self.end_one()
            case 7:
                self.send(Cancel(rng.randrange(self.call_ids + 1)), Ping(1, rng.random() < 0.5))
            case 8:
                self.feed(RequestReceived(rng.choice(CLIENTS), mutate(valid(rng), rng)))
            case 9:
                self.feed(RequestReceived(rng.choice(CLIENTS), [b"control", b"body"]))
                self.plain_asked += 1
            case 10:
                self.now += rng.choice([0.01, 0.5, 5.0])
            case _:
                self.core.forget_client(rng.choice(CLIENTS))


@pytest.mark.parametrize("seed", range(8))
def test_every_call_is_answered_once_whatever_clients_do(seed: int) -> None:
    life = Life(seed)
    for _ in range(400):
        life.step()
    life.feed(Stopping())
    while life.running:
        life.end_one()
    assert life.core.idle()
    assert life.core._open == {}
    assert len(life.core._duplicates._running) == 0
    # What the mutated messages asked is answered too, and nobody knows what that was.
    assert {call: count for call, count in life.asked.items() if life.answered[call] < count} == {}
    assert life.plain_answered >= life.plain_asked
