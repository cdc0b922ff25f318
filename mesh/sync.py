"""`Client` and `Server` for programs with threads. `mesh.aio` has the same for asyncio: same methods, same order."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import discovery
from discovery import Advertiser, Browser, Discovery, StaticBrowser
from mesh.calling import raw_call, typed_call, watch_of
from mesh.config import ClientConfig, ServerConfig
from mesh.core.actions import Notice
from mesh.core.client import ClientCore, Counters
from mesh.core.observer import CallObserver
from mesh.core.view import ServerView
from mesh.environment import chosen_interfaces, chosen_realm, chosen_servers
from mesh.errors import ClosedError
from mesh.instruments import instrumented_call
from mesh.io.context import check_process, process_mark
from mesh.io.thread import ThreadDriver
from mesh.reply import Reply
from mesh.typed import decode_result

# What only a server needs is imported when one is made: a short program that calls, such as `mesh call`, starts sooner.
if TYPE_CHECKING:
    from mesh.core.figures import ServerFigures
    from mesh.io.hosts import ThreadHost
    from mesh.service import Service

__all__ = ["Client", "Server", "ServiceProxy"]

_log = logging.getLogger("mesh")


def _log_notice(notice: Notice) -> None:
    _log.debug("%s: %s", notice.kind, notice.text)


class Client:
    """Calls methods of whichever servers live; any number of threads may use one client at the same time.

    Use it in a `with` statement, or call `close`. Making one takes milliseconds and waits for no server: the calls
    do, until their deadlines.

    Args:
        servers: Endpoints that need not be discovered, as `tcp://HOST:PORT`, optionally with
            `?proto=flp|rep&service=NAME`. None: those of MESH_SERVERS.
        discover: Whether to find servers by mDNS.
        realm: Name of the mesh; servers of other realms are not used. None: MESH_REALM, else `default`.
        interfaces: Names or addresses of interfaces for mDNS. None: MESH_INTERFACE, else all sensible ones.
        config: Settings.
        browser: Another way of finding servers, instead of mDNS.

    Raises:
        ConfigError: A setting cannot be used.
        DiscoveryError: mDNS cannot be used here.
    """

    def __init__(
        self,
        servers: Iterable[str] | None = None,
        discover: bool = True,
        realm: str | None = None,
        interfaces: Sequence[str] | None = None,
        config: ClientConfig | None = None,
        *,
        browser: Browser | None = None,
    ) -> None:
        self._mark = process_mark()
        self._config = config or ClientConfig()
        browsers: list[Browser] = []
        peers = chosen_servers(servers)
        if peers:
            browsers.append(StaticBrowser(peers))
        if discover:
            browsers.append(browser or discovery.MdnsBrowser(chosen_interfaces(interfaces)))
        core = ClientCore(self._config, random.Random(), chosen_realm(realm))
        self._discovery = Discovery(*browsers)
        self._driver = ThreadDriver(core, self._config, self._discovery.search, _log_notice)
        self._make = instrumented_call(self._driver.call, self.observe)
        try:
            self._discovery.start(self._driver.post)
        except BaseException:
            self._driver.close()
            raise

    def call(
        self,
        method: str,
        /,
        *args: object,
        timeout: float | None = None,
        idempotent: bool | None = None,
        key: str | bytes | None = None,
        peer: str | None = None,
        metadata: Mapping[str, str] | None = None,
        **kwargs: object,
    ) -> Any:
        """Call a typed method and return its result.

        Args:
            method: Full name, `service.method`.
            args: Arguments in order.
            timeout: Seconds for the whole call, over all attempts. None: the configured one.
            idempotent: Whether it may run again on another server if the outcome of an attempt is unknown. None: as
                the server declares the method.
            key: Idempotency key, 1 to 64 octets: calls with equal keys run once per server.
            peer: Only at the server of this name or id.
            metadata: Text that travels with the call.
            kwargs: Arguments by name.

        Raises:
            NoServer: Nobody who offers the method could be reached in time.
            CallTimeout: Somebody had the call, and no answer came in time.
            Overloaded: Every server refused for want of room until then.
            OutcomeUnknown: It must not run twice, and its server was lost.
            RemoteError: The method failed; carries the remote type, message and traceback.
            LocalProtocolError: What was given cannot be sent.
            ClosedError: The client is closed.
        """
        call = typed_call(self._config, method, args, kwargs, timeout, idempotent, key, peer, metadata)
        self._make(call)
        if call.error is not None:
            raise call.error
        return decode_result(call.body)  # type: ignore[arg-type]

    def invoke(
        self,
        method: str,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
        /,
        timeout: float | None = None,
        idempotent: bool | None = None,
        key: str | bytes | None = None,
        peer: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Reply:
        """Call a typed method with its arguments in one list and one mapping, and return the answer with its story.

        For programs that get arguments as data: a name in `kwargs` may be any, `timeout` too. The result of the method
        is the reply's `value`. Takes and raises what `call` does.
        """
        call = typed_call(self._config, method, tuple(args), kwargs or {}, timeout, idempotent, key, peer, metadata)
        self._make(call)
        if call.error is not None:
            raise call.error
        return Reply(call)

    def request(
        self,
        method: str,
        body: bytes | Sequence[bytes] = b"",
        /,
        timeout: float | None = None,
        idempotent: bool | None = None,
        key: str | bytes | None = None,
        peer: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Reply:
        """Call a raw method with one frame or several, as they are, and return the answer. Raises as `call`."""
        call = raw_call(self._config, method, body, timeout, idempotent, key, peer, metadata)
        self._make(call)
        if call.error is not None:
            raise call.error
        return Reply(call)

    def service(self, name: str, /, *, timeout: float | None = None) -> ServiceProxy:
        """Return a proxy: `client.service("calc").add(2, 3)` is `client.call("calc.add", 2, 3)`."""
        return ServiceProxy(self, name, timeout)

    def wait_for(self, count: int = 1, /, service: str = "", timeout: float | None = None) -> list[ServerView]:
        """Return the live servers (that offer `service`) once there are `count`. Raises NoServer after `timeout`."""
        watch = watch_of(count, service, timeout, self._config)
        self._driver.watch(watch)
        if watch.error is not None:
            raise watch.error
        return [server for server in self.servers() if server.takes(service)]

    def servers(self) -> list[ServerView]:
        """Return every server that is known, as it stands."""
        return self._driver.look(ClientCore.views)

    def counters(self) -> Counters:
        """Return what was counted so far."""
        return self._driver.look(lambda core, now: core.counters())

    def observe(self, observer: CallObserver) -> None:
        """Have an observer see what becomes of the calls from now on; metrics and traces do."""
        self._driver.look(lambda core, now: core.observe(observer))

    def close(self) -> None:
        """Fail the open calls with ClosedError and release everything; a second time does nothing."""
        check_process(self._mark)
        self._driver.close()
        self._discovery.stop()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


class ServiceProxy:
    """The methods of one service as attributes."""

    def __init__(self, client: Client, name: str, timeout: float | None) -> None:
        self._client = client
        self._name = name
        self._timeout = timeout

    def __getattr__(self, method: str) -> Any:
        """Return the method of this name."""
        if method.startswith("__"):
            raise AttributeError(method)

        def call(*args: object, **kwargs: Any) -> Any:
            kwargs.setdefault("timeout", self._timeout)
            return self._client.call(f"{self._name}.{method}", *args, **kwargs)

        return call


class Server:
    """Offers services: binds, advertises itself, runs handlers, drains when it stops.

    Inline handlers run one at a time in the server's own thread, between two looks at the socket; threaded ones on
    a pool; coroutines in a loop of their own. Use `run` in a program's main thread, or `start` and `stop`, or `with`.

    Args:
        services: What it offers.
        bind: `tcp://HOST:PORT`; port 0 is any free one, host `*` every address of the chosen interfaces.
        name: For people; made from the first service's name if none is given.
        advertise: Whether to advertise by mDNS; or the endpoint under which others reach it, where that is another.
        realm: Name of the mesh. None: MESH_REALM, else `default`.
        interfaces: Names or addresses of interfaces. None: MESH_INTERFACE, else all sensible ones.
        config: Settings.

    Raises:
        ConfigError: A setting cannot be used.
    """

    def __init__(
        self,
        *services: Service,
        bind: str = "tcp://*:0",
        name: str | None = None,
        advertise: bool | str = True,
        realm: str | None = None,
        interfaces: Sequence[str] | None = None,
        config: ServerConfig | None = None,
    ) -> None:
        from mesh.hosting import ServerParts

        self._parts = ServerParts(services, bind, name, advertise, realm, interfaces, config)
        self._advertiser: Advertiser | None = None
        self._host: ThreadHost | None = None
        self._stopped = False
        self._stopping = threading.Lock()

    @property
    def name(self) -> str:
        """Its name for people."""
        return self._parts.name

    @property
    def peer_id(self) -> str:
        """Its identity, new for each Server."""
        return self._parts.peer_id

    @property
    def endpoints(self) -> tuple[str, ...]:
        """Where it listens; empty before `start`."""
        return self._parts.endpoints

    def start(self) -> Self:
        """Bind, serve and advertise; return at once.

        Raises:
            ConfigError: The port is in use, or the address is not of this host.
            DiscoveryError: mDNS cannot be used here.
            ClosedError: It was started before.
        """
        if self._host is not None:
            raise ClosedError("this server was started before; make a new one")
        from mesh.io.hosts import ThreadHost

        parts = self._parts
        link = parts.bind()
        core = parts.core()
        self._host = ThreadHost(core, link, parts.runner(), parts.config.limits, parts.threads(), _log_notice)
        try:
            self._advertiser = parts.advertise()
        except BaseException:
            self._host.drain(0.0)
            self._host.join()
            raise
        return self

    def wait(self, timeout: float | None = None) -> bool:
        """Return True when it has stopped, False if that takes more than `timeout` seconds."""
        if self._host is None:
            raise ClosedError("this server was not started")
        return self._host.finished.wait(timeout)

    def figures(self) -> ServerFigures | None:
        """Return what it has counted and measured; None if it has stopped, or its loop does not turn for a second.

        Raises:
            ClosedError: It was not started.
        """
        if self._host is None:
            raise ClosedError("this server was not started")
        return self._host.look(self._parts.figures)

    def stop(self) -> None:
        """Stop advertising, refuse new calls, finish those that run (bounded by `drain_s`), say goodbye."""
        check_process(self._parts.mark)
        with self._stopping:
            if self._host is None or self._stopped:
                return
            self._stopped = True
            if self._advertiser is not None:
                self._advertiser.stop()
            self._host.drain(self._parts.config.drain_s)
            self._host.join()

    def run(self) -> None:
        """Start, serve until SIGINT or SIGTERM, then stop; a second signal exits at once. Main thread only."""
        from mesh.signals import StopSignals

        with StopSignals() as signals:
            self.start()
            signals.wait()
            self.stop()

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()
