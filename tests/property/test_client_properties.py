"""A client among servers that do anything: nothing raises, every call ends once, nothing runs twice that must not."""

from __future__ import annotations

import random
from functools import partial

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from discovery.model import PeerAdded, PeerRemoved, PeerUpdated
from mesh.config import ClientConfig
from mesh.core.actions import Send, SendFrames
from mesh.core.calls import PendingCall
from mesh.core.events import LinkUp, Received
from mesh.core.wire import MESH_PREFIX, Hello, Pong
from mesh.errors import Status
from tests.unit.mesh.core.harness import Client, Far, assert_quiet, peer

CONFIG = ClientConfig(
    ping_interval_s=0.5,
    ping_timeout_s=0.05,
    dial_timeout_s=0.3,
    attempt_patience=2,
    attempt_patience_min_s=0.2,
    window_max=3,
    peers_max=6,
    calls_max=40,
)
ADDRESSES = [f"10.0.0.{number}:1" for number in range(1, 5)]
NAMES = ["a", "b", "c", "d"]
IDS = [*NAMES, "e", "", "static:10.0.0.1:1", "\x1b"]

which = st.integers(0, len(ADDRESSES) - 1)
numbers = st.integers(0, 2**64 - 1)
wild = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5) | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=9),
    max_leaves=20,
)
frames = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.sampled_from([b"PONG", b"PING", b"", b"\0" * 8]),
        st.lists(wild, max_size=4).map(lambda records: MESH_PREFIX + msgspec.msgpack.encode(records)),
    ),
    max_size=4,
)


class Chaos(RuleBasedStateMachine):
    """Four addresses with a server behind each, which behaves, or does not."""

    @initialize(
        seed=st.integers(0, 1000),
        known=st.integers(0, 4),
        protos=st.lists(st.sampled_from(["mesh/1"] * 5 + ["flp", "rep"]), min_size=4),
    )
    def begin(self, seed: int, known: int, protos: list[str]) -> None:
        self.client = Client(CONFIG, seed=seed)
        for address, name, proto in zip(ADDRESSES, NAMES, protos, strict=False):
            self.client.far(name, address, proto=proto, once=["calc.pay"], window=2)
        for far in self.client.fars[:known]:
            self.client.feed(PeerAdded(far.peer))
        self.calls: list[PendingCall] = []
        self.abandoned: list[PendingCall] = []

    def far(self, number: int) -> Far:
        return self.client.fars[number]

    # -- discovery

    @rule(number=which, name=st.sampled_from(NAMES), again=st.booleans())
    def discover(self, number: int, name: str, again: bool) -> None:
        record = peer(name, ADDRESSES[number], services=["calc", "mesh"][: 1 + again], proto=self.far(number).proto)
        self.client.feed(PeerUpdated(record) if again else PeerAdded(record))

    @rule(number=which, other=which)
    def discover_by_address(self, number: int, other: int) -> None:
        name = f"static:{ADDRESSES[number]}"
        addresses = dict.fromkeys([ADDRESSES[number], ADDRESSES[other]])
        self.client.feed(PeerAdded(peer(name, *addresses, services=(), source="static")))

    @rule(key=st.sampled_from([*NAMES, *[f"static:{address}" for address in ADDRESSES]]))
    def forget(self, key: str) -> None:
        self.client.feed(PeerRemoved(peer(key)))

    # -- servers

    @rule(number=which)
    def freeze_or_thaw(self, number: int) -> None:
        self.far(number).frozen = not self.far(number).frozen

    @rule(number=which, refusing=st.booleans())
    def restart(self, number: int, refusing: bool) -> None:
        far = self.far(number)
        far.boot += 10
        far.refusing = refusing
        far.hello.peer_id = far.hello.name = NAMES[(NAMES.index(far.hello.name) + 1) % 4]
        self.lose(number, unsent=False)

    @rule(number=which, unsent=st.booleans())
    def lose(self, number: int, unsent: bool) -> None:
        far = self.far(number)
        if far.conn_id:
            conn = self.client.core._links.conns[far.conn_id]
            calls = list(conn.inflight.values()) if unsent else []
            far.records = [got for got in far.records if getattr(got, "call_id", 0) not in [c.call_id for c in calls]]
            far.down(unsent=calls)

    @rule(number=which, late=st.booleans(), how=st.sampled_from(["answer", "fail", "refuse", "drain"]))
    def reply(self, number: int, late: bool, how: str) -> None:
        far = self.far(number)
        if not far.conn_id or not far.calls:
            return
        call_id = far.calls[0 if late else -1].call_id
        if how == "answer":
            far.answer(call_id)
        elif how == "fail":
            far.fail(call_id)
        else:
            far.refuse(call_id, Status.RESOURCE_EXHAUSTED if how == "refuse" else Status.UNAVAILABLE, 20)

    @rule(number=which)
    def reply_plainly(self, number: int) -> None:
        far = self.far(number)
        if far.conn_id and far.frames:
            envelope = [b""] if far.proto == "rep" else []
            self.client.feed(Received(far.conn_id, [far.frames[-1][0], *envelope, b"answer"]))

    @rule(number=which, boot=numbers, clock=numbers, state=st.integers(0, 3), window=st.integers(-1, 4))
    def tell_anything(self, number: int, boot: int, clock: int, state: int, window: int) -> None:
        far = self.far(number)
        if far.conn_id:
            nonces = list(self.client.core._links.conns[far.conn_id].pings)
            far.say(Pong(nonces[-1] if nonces else 0, boot, clock, state, 0, window))

    @rule(number=which, identity=st.sampled_from(IDS), realm=st.sampled_from(["default", "other"]))
    def introduce(self, number: int, identity: str, realm: str) -> None:
        if self.far(number).conn_id:
            self.far(number).say(Hello(identity, identity, realm, ["calc", "calc", "mesh", "\n"], []))

    @rule(number=which, given_frames=frames)
    def babble(self, number: int, given_frames: list[bytes]) -> None:
        self.client.feed(Received(self.far(number).conn_id, given_frames))

    @rule(number=which, call_id=st.integers(0, 40), status=st.integers(-1, 20), after=st.none() | st.integers(-1, 9))
    def reply_to_anything(self, number: int, call_id: int, status: int, after: int | None) -> None:
        if self.far(number).conn_id:
            detail = {"retry_after_ms": after} if after is not None else {}
            reply = [2, call_id, status, b"", 0, detail]
            self.client.feed(Received(self.far(number).conn_id, [MESH_PREFIX + msgspec.msgpack.encode([reply])]))

    @rule(conn_id=st.integers(0, 40))
    def connect_again(self, conn_id: int) -> None:
        if conn_id in [far.conn_id for far in self.client.fars] or conn_id not in self.client.conns:
            self.client.feed(LinkUp(conn_id))

    # -- callers

    @rule(
        method=st.sampled_from(["calc.add", "calc.pay", "mesh.ping"]),
        once=st.sampled_from([None, True, False]),
        name=st.sampled_from(["", "", "", *NAMES]),
        plain=st.booleans(),
        timeout=st.sampled_from([0.05, 0.4, 2.0, 5.0]),
        count=st.integers(1, 4),
    )
    def call(self, method: str, once: bool | None, name: str, plain: bool, timeout: float, count: int) -> None:
        for _ in range(count):
            self.calls.append(self.client.call(method, once=once, peer=name, plain=plain, timeout=timeout))

    @rule(number=st.integers(0, 20))
    def abandon(self, number: int) -> None:
        if number < len(self.calls):
            self.abandoned.append(self.calls[number])
            self.client.abandon(self.calls[number])

    @rule(count=st.integers(1, 3))
    def watch(self, count: int) -> None:
        self.client.watch(count, timeout=0.5)

    @rule(seconds=st.sampled_from([0.001, 0.02, 0.06, 0.3, 1.1]))
    def wait(self, seconds: float) -> None:
        self.client.advance(seconds)

    # -- what must hold

    @invariant()
    def what_is_sent_can_be_sent(self) -> None:
        for action in self.client.actions:
            if isinstance(action, Send):
                assert msgspec.msgpack.encode(action.records)
            elif isinstance(action, SendFrames):
                assert all(type(frame) is bytes for frame in action.frames)
        self.client.actions.clear()

    @invariant()
    def what_must_run_once_is_never_given_to_two_processes(self) -> None:
        asked: dict[int, set[tuple[int, int]]] = {}
        for number, far in enumerate(self.client.fars):
            for got in far.calls:
                if got.method == "calc.pay" and got.key:
                    asked.setdefault(got.call_id, set()).add((number, got.boot))
        refused = {call.call_id for call in self.calls if any("refused" in str(part) for part in call.history or ())}
        assert [call_id for call_id, places in asked.items() if len(places) > 1 and call_id not in refused] == []

    def teardown(self) -> None:
        if not hasattr(self, "client"):
            return
        client = self.client
        for far in client.fars:
            far.refusing = True
        client.advance(6.0)
        for call in self.calls:
            assert call.done
            assert (call in client.finished) is (
                call not in self.abandoned or call.finished_at > 0 or call.error is not None
            )
        for key in [*NAMES, *[f"static:{address}" for address in ADDRESSES]]:
            client.feed(PeerRemoved(peer(key)))
        for far in client.fars:
            if far.conn_id:
                far.down()
        client.advance(1.0)
        assert_quiet(client)


Chaos.TestCase.settings = settings(max_examples=40, stateful_step_count=30)
TestChaos = Chaos.TestCase


@pytest.mark.parametrize("seed", range(12))
def test_a_long_life_with_more_calls_than_faults(seed: int) -> None:
    rng = random.Random(seed)
    life = Chaos()
    life.begin(seed, 4, ["mesh/1", "mesh/1", rng.choice(["mesh/1", "rep"]), rng.choice(["mesh/1", "flp"])])
    place = partial(rng.randrange, 4)
    for _ in range(250):
        match rng.randrange(20):
            case 0 | 1 | 2 | 3 | 4:
                once, plain = rng.choice([None, None, True, False]), rng.random() < 0.5
                life.call(rng.choice(["calc.add", "calc.pay"]), once, "", plain, rng.choice([0.4, 2.0, 5.0]), 2)
            case 5 | 6 | 7 | 8 | 9 | 10:
                life.reply(place(), rng.random() < 0.5, rng.choice(["answer"] * 6 + ["fail", "refuse", "drain"]))
                life.reply_plainly(place())
            case 11 | 12 | 13:
                life.wait(rng.choice([0.02, 0.06, 0.3]))
            case 14 | 15:
                life.freeze_or_thaw(place())
            case 16:
                life.restart(place(), rng.random() < 0.3)
            case 17:
                life.lose(place(), rng.random() < 0.5)
            case 18:
                life.abandon(rng.randrange(len(life.calls) + 1))
            case _:
                number = place()
                life.discover(number, NAMES[number], True)
        life.what_is_sent_can_be_sent()
        life.what_must_run_once_is_never_given_to_two_processes()
    life.teardown()
