"""Cores without a network: a client with scripted servers, and a client with a real server core.

`Client` drives a `ClientCore` by a clock of its own. `Far` is a server in the test's hands: it answers PINGs by itself
as long as it is not `frozen`, and everything else when the test says so. `Pair` passes real frames between both cores.
After every event `Client` checks what must hold between events; `assert_quiet` checks that nothing is left.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import chain
from typing import Any, TypeVar

from discovery.model import Address, Peer
from mesh.config import ClientConfig, ServerConfig
from mesh.core.actions import (
    Answer,
    AnswerFrames,
    ClientAction,
    Connect,
    Disconnect,
    Finish,
    Handle,
    Notice,
    Send,
    SendFrames,
    ServerAction,
)
from mesh.core.calls import PendingCall, Watch
from mesh.core.client import ClientCore
from mesh.core.dialect import PING, PONG
from mesh.core.events import (
    CallAbandoned,
    CallsRequested,
    ClientEvent,
    LinkDown,
    LinkUp,
    PeerAdded,
    PeerRemoved,
    Received,
    RepliesGiven,
    ReplyGiven,
    RequestReceived,
    ServerEvent,
    Stopping,
    Tick,
    WatchRequested,
)
from mesh.core.liveness import State
from mesh.core.methods import INLINE, MethodInfo
from mesh.core.routing import NONE, READY
from mesh.core.server import ServerCore, ServerIdentity
from mesh.core.timers import NEVER
from mesh.core.wire import Body, Call, Cancel, Detail, Hello, Ping, Pong, Record, Reply, body_octets, decode, encode
from mesh.core.work import Work
from mesh.errors import Status

A = TypeVar("A", bound=ClientAction)
R = TypeVar("R", bound=Record)

START = 100.0
EPSILON = 1e-6


class _Match:
    def __init__(self, kind: type, fields: dict[str, object]) -> None:
        self._kind = kind
        self._fields = fields

    def __eq__(self, other: object) -> bool:
        return isinstance(other, self._kind) and all(
            getattr(other, name) == value for name, value in self._fields.items()
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self._fields.items())
        return f"{self._kind.__name__}({fields}, ...)"


def match(kind: type, /, **fields: object) -> Any:
    """Return what equals any value of a type whose named fields are equal: `match(Send, records=[match(Ping)])`."""
    return _Match(kind, fields)


def peer(
    key: str,
    *addresses: str,
    services: Iterable[str] = ("calc",),
    name: str = "",
    source: str = "mdns",
    **properties: str,
) -> Peer:
    """Return what discovery says of a server, `HOST:PORT` by `HOST:PORT`."""
    return Peer(key, name or key, tuple(services), tuple(map(Address.parse, addresses)), properties, (source,))


class Far:
    """A server in the hands of a test, on one address."""

    def __init__(
        self,
        client: Client,
        identity: str,
        address: str,
        *,
        name: str = "",
        services: Iterable[str] = ("calc",),
        realm: str = "default",
        once: Iterable[str] = (),
        boot: int = 0,
        window: int = 512,
        body_max: int = 0,
        proto: str = "mesh/1",
    ) -> None:
        self.client = client
        self.address = address
        self.boot = boot or 1000 + len(client.fars)
        self.window = window
        self.state = 0
        self.load = 0
        self.proto = proto
        self.identity = identity
        self.hello = Hello(
            identity, name or identity, realm, list(services), list(once), version="1.0", body_max=body_max
        )
        self.peer = peer(identity, address, services=services, name=name, proto=proto)
        self.conn_id = 0
        """Connection that was dialled to it last; 0 while there is none."""
        self.frozen = False
        """It does not even answer PINGs."""
        self.refusing = False
        """Nobody listens on its address."""
        self.rtt_s = 0.0
        """Time that it takes to answer a PING."""
        self.clock_ahead_s = 5000.0
        """How much more its clock shows than that of the client."""
        self.records: list[Record] = []
        """What it got and did not answer by itself."""
        self.frames: list[list[bytes]] = []
        """The same for a server that speaks no mesh/1."""

    # -- what it got

    @property
    def calls(self) -> list[Call]:
        """Every CALL it got."""
        return [record for record in self.records if type(record) is Call]

    @property
    def cancels(self) -> list[int]:
        """Every call it was told to forget."""
        return [record.call_id for record in self.records if type(record) is Cancel]

    # -- what it does

    def dialled(self, conn_id: int) -> None:
        """Take part in a dial."""
        if self.refusing:
            self.client.feed(LinkDown(conn_id, "connection refused"))
        elif not self.frozen:
            self.client.feed(LinkUp(conn_id))

    def got(self, record: Record) -> None:
        """Take in a record, and answer a PING."""
        if type(record) is not Ping:
            self.records.append(record)
        elif not self.frozen:
            if self.rtt_s:
                self.client.later(self.rtt_s, lambda: self.pong(record.nonce, hello=record.hello))
            else:
                self.pong(record.nonce, hello=record.hello)

    def got_frames(self, frames: list[bytes]) -> None:
        """Take in a plain message, and answer a 10/FLP ping."""
        if frames != [PING]:
            self.frames.append(frames)
        elif not self.frozen:
            self.client.feed(Received(self.conn_id, [PONG]))

    def pong(self, nonce: int = 0, *, hello: bool = False) -> None:
        """Answer a PING, or say that the state has changed."""
        clock = int((self.client.now + self.clock_ahead_s) * 1000)
        pong = Pong(nonce, self.boot, clock, self.state, self.load, self.window)
        self.say(*((self.hello, pong) if hello else (pong,)))

    def say(self, *records: Record) -> list[ClientAction]:
        """Send records."""
        return self.client.feed(Received(self.conn_id, encode(records, self.client.config.limits)[0]))

    def answer(self, call: PendingCall | int, body: Body = b"answer") -> list[ClientAction]:
        """Answer a call."""
        return self.say(Reply(_id(call), 0, body, self.load))  # type: ignore[arg-type]

    def fail(
        self, call: PendingCall | int, status: Status = Status.UNKNOWN, message: str = "bad"
    ) -> list[ClientAction]:
        """Answer a call with the error of its handler."""
        return self.say(Reply(_id(call), status, b"", self.load, Detail(type="ValueError", message=message)))

    def refuse(
        self, call: PendingCall | int, status: Status = Status.RESOURCE_EXHAUSTED, after_ms: int = 50
    ) -> list[ClientAction]:
        """Refuse a call before it ran."""
        return self.say(Reply(_id(call), status, b"", self.load, Detail(message="no", retry_after_ms=after_ms)))

    def down(self, why: str = "connection reset", unsent: Iterable[PendingCall] = ()) -> list[ClientAction]:
        """Lose the link."""
        conn_id, self.conn_id = self.conn_id, 0
        return self.client.feed(LinkDown(conn_id, why, tuple(call.call_id for call in unsent)))

    def kill(self) -> list[ClientAction]:
        """End the process: the link is lost, and nobody listens any more."""
        self.refusing = True
        return self.down()

    def thaw(self) -> None:
        """Run again; the client sees it at its next PING."""
        self.frozen = False


def _id(call: PendingCall | int) -> int:
    return call if isinstance(call, int) else call.call_id


class Client:
    """A `ClientCore` with its clock and the servers it may meet."""

    def __init__(self, config: ClientConfig | None = None, *, realm: str = "default", seed: int = 1) -> None:
        self.config = config or ClientConfig()
        self.core = ClientCore(self.config, random.Random(seed), realm)
        self.now = START
        self.fars: list[Far] = []
        self.actions: list[ClientAction] = []
        """Everything the core asked for so far."""
        self.finished: list[PendingCall | Watch] = []
        self.conns: dict[int, str] = {}
        """Connections that were asked for and not taken down, with their addresses."""
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._reactions: deque[tuple[int, Callable[[], None]]] = deque()
        """What servers do when a list of actions is through, and on which connection."""
        self._reacting = False

    # -- events and time

    def feed(self, event: ClientEvent) -> list[ClientAction]:
        """Give the core an event, check it, and let the servers react."""
        actions = self.core.handle(event, self.now)
        if isinstance(event, LinkDown):
            self.conns.pop(event.conn_id, None)
        check(self)
        self.actions += actions
        for action in actions:
            self._perform(action)
        if not self._reacting:
            self._reacting = True
            while self._reactions:
                conn_id, reaction = self._reactions.popleft()
                if conn_id in self.conns:
                    reaction()
            self._reacting = False
        return actions

    def advance(self, seconds: float) -> list[ClientAction]:
        """Let time pass, waking the core when it asked for it; return what it asked for on the way."""
        until = self.now + seconds
        before = len(self.actions)
        for _ in range(100_000):
            deadline = self.core.deadline()
            self._later.sort(key=lambda entry: entry[:2])
            due = self._later[0][0] if self._later else until
            when = min(until, due, deadline if deadline is not None else until)
            self.now = max(self.now, when)
            if self._later and due <= self.now:
                self._later.pop(0)[2]()
            elif deadline is not None and deadline <= self.now:
                self.feed(Tick())
                after = self.core.deadline()
                assert after is None or after > self.now, "a Tick left something due"
            else:
                return self.actions[before:]
        raise AssertionError("time stands still: the core wants to be woken again and again")

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Do something after a while."""
        self._later.append((self.now + seconds, len(self._later), what))

    def took(self, kind: type[A]) -> list[A]:
        """Return every action of a kind so far."""
        return [action for action in self.actions if type(action) is kind]

    def sent(self, kind: type[R]) -> list[tuple[int, R]]:
        """Return every record of a kind that was sent so far, and on which connection."""
        return [
            (action.conn_id, record) for action in self.took(Send) for record in action.records if type(record) is kind
        ]

    def notices(self) -> str:
        """Return the texts of all notices."""
        return "\n".join(notice.text for notice in self.took(Notice))

    # -- what tests do

    def far(self, identity: str, address: str = "", **options: Any) -> Far:
        """Make a server that exists and is not known yet."""
        far = Far(self, identity, address or f"10.0.0.{len(self.fars) + 1}:5555", **options)
        self.fars.append(far)
        return far

    def join(self, identity: str, **options: Any) -> Far:
        """Make a server and let it be discovered: it is alive when this returns."""
        far = self.far(identity, **options)
        self.feed(PeerAdded(far.peer))
        return far

    def vanish(self, *fars: Far) -> None:
        """Have discovery and transport lose servers."""
        for far in fars:
            self.feed(PeerRemoved(far.peer))
            if far.conn_id:
                far.kill()

    def call(
        self,
        method: str = "calc.add",
        body: Body = b"x",
        *,
        timeout: float = 5.0,
        once: bool | None = None,
        key: bytes = b"",
        peer: str = "",
        metadata: dict[str, str] | None = None,
        plain: bool = False,
    ) -> PendingCall:
        """Make a call."""
        call = PendingCall(
            method, body, body_octets(body), self.now, self.now + timeout, once, key, peer, metadata, plain
        )
        self.feed(CallsRequested([call]))
        return call

    def abandon(self, call: PendingCall) -> list[ClientAction]:
        """Let the caller lose interest."""
        return self.feed(CallAbandoned(call))

    def watch(self, count: int = 1, service: str = "", timeout: float = 5.0) -> Watch:
        """Wait for servers."""
        watch = Watch(count, service, self.now, self.now + timeout)
        self.feed(WatchRequested(watch))
        return watch

    def stop(self) -> list[ClientAction]:
        """Close the client."""
        return self.feed(Stopping())

    def state(self, name: str) -> str:
        """Return the word for the state of the only server of a name."""
        [view] = [view for view in self.core.views(self.now) if view.name == name]
        return view.state

    def names(self) -> list[str]:
        """Return the names of all servers the client knows."""
        return sorted(view.name for view in self.core.views(self.now))

    def _perform(self, action: ClientAction) -> None:
        if isinstance(action, Finish):
            for call in action.calls:
                assert call.done, "Finish of a call that is not done"
                assert call not in self.finished, "a call finished twice"
                self.finished.append(call)
        elif isinstance(action, Connect):
            address = str(action.address)
            assert action.conn_id not in self.conns
            assert address not in self.conns.values(), f"two connections to {address}"
            self.conns[action.conn_id] = address
            for far in self.fars:
                if far.address == address:
                    far.conn_id = 0 if far.refusing else action.conn_id
                    self._reactions.append((action.conn_id, partial(far.dialled, action.conn_id)))
        elif isinstance(action, Disconnect):
            del self.conns[action.conn_id]
            for far in self.fars:
                if far.conn_id == action.conn_id:
                    far.conn_id = 0
        elif isinstance(action, Send | SendFrames):
            for far in self.fars:
                if far.conn_id == action.conn_id:
                    if isinstance(action, Send):
                        got = [partial(far.got, record) for record in action.records]
                    else:
                        got = [partial(far.got_frames, action.frames)]
                    self._reactions += [(action.conn_id, reaction) for reaction in got]


def check(client: Client) -> None:
    """Assert what must hold between two events, whatever happened."""
    core = client.core
    links, roster, calls, pools = core._links, core._roster, core._dispatcher, core._pools
    live = {id(item): item.timer_at for item in core._timers}
    deadline = core.deadline()
    assert all(deadline is not None and deadline <= when for when in live.values())
    for conn in links.conns.values():
        assert conn.state is not State.GONE
        assert conn.server.conns.get(conn.conn_id) is conn
        assert conn.server in roster._servers
        assert roster.claims.get(conn.address) is conn
        assert conn.timer_at != NEVER or conn.proto == "rep"
        for call_id, call in conn.inflight.items():
            assert calls.open.get(call_id) is call, f"{conn.endpoint} holds a call that has ended"
            assert conn in (call.at, call.beside) or conn in [other for other, _ in call.earlier or ()]
    assert len(roster.claims) == len(links.conns)
    for call in calls.open.values():
        assert not call.done
        assert call.timer_at != NEVER
        assert id(call) in live
        assert call.at is None or call.at.inflight.get(call.call_id) is call
        assert call.at is None or call.at.state is not State.GONE
        for conn, _ in call.earlier or ():
            assert conn.inflight.get(call.call_id) is call
    for name, queue in calls._queues.items():
        assert queue
        assert all(call.waits_for == name and not call.done for call in queue.values())
    for server in roster:
        assert server.records or server.conns, f"{server.name} is a ghost: nobody advertises it, nothing connects to it"
        assert server.active is None or server.conns.get(server.active.conn_id) is server.active
        assert server.pool == NONE or server.active is not None
        assert roster._by_name[server.name][server] is None
        if server.pool != NONE:
            where = pools.ready if server.pool == READY else pools.second
            assert all(server in where[service].servers for service in server.pools)
    for pool in (*pools.ready.values(), *pools.second.values()):
        assert len(pool) == len(set(pool.servers)) == len(pool._places) > 0
        assert all(server.pool != NONE for server in pool)


def assert_quiet(client: Client) -> None:
    """Assert that nothing is left after every call has ended and every server has gone."""
    core = client.core
    links, roster, calls, pools = core._links, core._roster, core._dispatcher, core._pools
    left = {
        "connections": links.conns,
        "claimed addresses": roster.claims,
        "servers": roster._servers,
        "keys": roster._by_key,
        "names": roster._by_name,
        "calls": calls.open,
        "queues": calls._queues,
        "ready": pools.ready,
        "second": pools.second,
        "watches": core._watches,
        "transport": client.conns,
        "timers": [*core._timers],
    }
    assert {name: value for name, value in left.items() if value} == {}


class Pair:
    """A `ClientCore` and a `ServerCore` with a list in between; handlers are answered by the test, or by `answer`."""

    def __init__(
        self,
        methods: Mapping[str, MethodInfo] | None = None,
        *,
        client: ClientConfig | None = None,
        server: ServerConfig | None = None,
        lanes: Mapping[str, int] | None = None,
    ) -> None:
        self.client = Client(client)
        identity = ServerIdentity(peer_id="s1", name="one", realm="default", version="1.0", boot=77)
        self.server = ServerCore(
            identity,
            methods or {"calc.add": MethodInfo(INLINE)},
            lanes or {},
            server or ServerConfig(),
            services=("calc",),
        )
        self.works: list[Work] = []
        """Calls whose handler runs."""
        self.cut = False
        """Frames are lost in both directions."""
        self.client.feed(PeerAdded(peer("s1", "10.0.0.1:5555", name="one")))
        [(self.conn_id, _)] = self.client.conns.items()
        self.client.feed(LinkUp(self.conn_id))
        self.pass_on()

    def pass_on(self) -> None:
        """Carry messages until nobody has anything to say."""
        done = 0
        while done < len(self.client.actions):
            gathered = [action.records for action in self.client.actions[done:] if isinstance(action, Send)]
            sent = list(chain.from_iterable(gathered))
            done = len(self.client.actions)
            while sent and not self.cut:
                frames, count = encode(sent, self.client.config.limits)
                assert encode(decode(frames, self.client.config.limits).records, self.client.config.limits)[0] == frames
                del sent[:count]
                self.perform(RequestReceived(b"client", frames))
        self.client.actions.clear()

    def perform(self, event: ServerEvent) -> list[ServerAction]:
        """Give the server an event and carry its answers back."""
        actions = self.server.handle(event, self.client.now)
        for action in actions:
            if isinstance(action, Handle):
                self.works += action.works
            elif isinstance(action, Answer) and not self.cut:
                self.client.feed(Received(self.conn_id, encode(action.records, self.client.config.limits)[0]))
            elif isinstance(action, AnswerFrames) and not self.cut:
                self.client.feed(Received(self.conn_id, action.frames))
        return actions

    def answer(self, body: Body = b"answer") -> None:
        """Let the oldest running handler return."""
        self.perform(RepliesGiven([ReplyGiven(self.works.pop(0), body)]))
        self.pass_on()

    def call(self, method: str = "calc.add", body: Body = b"x", **options: Any) -> PendingCall:
        """Make a call and carry it over."""
        call = self.client.call(method, body, **options)
        self.pass_on()
        return call

    def advance(self, seconds: float) -> None:
        """Let time pass on both sides, in steps."""
        until = self.client.now + seconds
        while self.client.now < until - EPSILON:
            self.client.advance(min(0.01, until - self.client.now))
            self.pass_on()
