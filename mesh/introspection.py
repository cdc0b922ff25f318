"""The reserved methods, which every server answers.

`mesh.ping`, `mesh.info`, `mesh.stats`, `mesh.health` and `mesh.describe` tell; by `mesh.drain` and `mesh.resume` an
operator takes the server out of service and back.

Keys follow NATS micro (ADR-32), so that people and tools know them; durations there are nanoseconds. What is ours on
top: state, uptime, processor seconds and octets of memory of the process, calls in flight, percentiles, and calls shed,
expired and recognised as duplicates.
"""

from __future__ import annotations

import datetime
import logging
import os
import socket
from collections.abc import Callable, Sequence

import msgspec

from mesh.config import ServerConfig
from mesh.core.figures import ServerFigures, method_figures
from mesh.core.methods import MethodStats, unknown_method
from mesh.core.server import ControlMethod, ServerCore, ServerIdentity
from mesh.core.wire import ServerState
from mesh.errors import RemoteError, Status
from mesh.io.usage import cpu_s, resident_octets
from mesh.service import Service

__all__ = ["Introspection"]

_log = logging.getLogger("mesh")

_STATES = {
    ServerState.SERVING: "SERVING",
    ServerState.DRAINING: "DRAINING",
    ServerState.NOT_SERVING: "NOT_SERVING",
}


class Introspection:
    """What one server tells about itself."""

    def __init__(
        self,
        identity: ServerIdentity,
        services: Sequence[Service],
        core: ServerCore,
        config: ServerConfig,
    ) -> None:
        self._identity = identity
        self._services = services
        self._core = core
        self._config = config
        self._started = datetime.datetime.now(datetime.UTC)

    def offer(self) -> None:
        """Have the core answer the reserved methods."""
        for answer in (self.ping, self.info, self.stats, self.health, self.drain, self.resume):
            self._core.offer(f"mesh.{answer.__name__}", _encoded(answer))
        self._core.offer("mesh.describe", lambda frames, now: msgspec.msgpack.encode(self.describe(_asked(frames))))

    def ping(self, now: float) -> dict[str, object]:
        """Who is it."""
        return self._common("ping_response")

    def info(self, now: float) -> dict[str, object]:
        """What does it offer."""
        return {
            **self._common("info_response"),
            "description": "; ".join(service.description for service in self._services if service.description),
            "services": [
                {"name": service.name, "version": service.version, "description": service.description}
                for service in self._services
            ],
            "endpoints": [
                {
                    "name": method.name,
                    "subject": full_name,
                    "queue_group": service.name,
                    "metadata": {
                        "signature": method.signature,
                        "description": method.description,
                        "lane": method.lane,
                        "idempotent": str(method.idempotent).lower(),
                        "read_only": str(method.read_only).lower(),
                        "raw": str(method.raw).lower(),
                    },
                }
                for service in self._services
                for full_name, method in service.methods.items()
            ],
            "proto": "mesh/1",
            "realm": self._identity.realm,
            "default_method": self._core.default_method,
            "pid": os.getpid(),
            "host": socket.gethostname(),
        }

    def stats(self, now: float) -> dict[str, object]:
        """How does it do."""
        core = self._core
        return {
            **self._common("stats_response"),
            "started": self._started.isoformat(timespec="milliseconds"),
            "uptime_s": now - core.started_at,
            "cpu_s": cpu_s(),
            "memory": resident_octets(),
            "in_flight": core.admitted,
            "capacity": self._config.admitted_max,
            "num_shed": core.shed,
            "num_expired": core.expired,
            "num_duplicates": core.duplicates,
            "num_garbage": core.garbage,
            "num_unanswerable": core.unanswerable,
            "endpoints": [_endpoint(full_name, stats) for full_name, stats in core.stats.items()],
        }

    def figures(self) -> ServerFigures:
        """Return the same for those who draw it up, with histograms; in the thread that serves."""
        core = self._core
        return ServerFigures(
            name=self._identity.name,
            version=self._identity.version,
            realm=self._identity.realm,
            state=_STATES[core.state],
            started_unix=self._started.timestamp(),
            in_flight=core.admitted,
            waiting=core.waiting,
            capacity=self._config.admitted_max,
            window=self._config.window,
            clients=core.clients,
            shed=core.shed,
            expired=core.expired,
            duplicates=core.duplicates,
            garbage=core.garbage,
            unanswerable=core.unanswerable,
            cpu_s=cpu_s(),
            memory=resident_octets(),
            methods=tuple(figures for method, stats in core.stats.items() for figures in method_figures(method, stats)),
        )

    def health(self, now: float) -> dict[str, object]:
        """Does it serve (gRPC health checking's words)."""
        return {**self._common("health_response"), "status": _STATES[self._core.state]}

    def describe(self, method: str) -> dict[str, object]:
        """Describe one method, with JSON Schema of its arguments and its result. Raises RemoteError: it is none."""
        known = {name: known for service in self._services for name, known in service.methods.items()}
        if method not in known:
            raise RemoteError(unknown_method(method, known), code=Status.NOT_FOUND)
        return {
            **self._common("describe_response"),
            "subject": method,
            "signature": known[method].signature,
            "description": known[method].description,
            "schema": known[method].schema(),
        }

    def drain(self, now: float) -> dict[str, object]:
        """Refuse new calls, finish those that are here, and stay, until `resume`."""
        self._check_drainable()
        if self._core.state == ServerState.SERVING:
            _log.warning("%s was told to drain: it takes no more calls until it is told to", self._identity.name)
        self._core.drain(now)
        return {**self._common("drain_response"), "in_flight": self._core.admitted}

    def resume(self, now: float) -> dict[str, object]:
        """Take calls again after `drain`."""
        self._check_drainable()
        drained = self._core.state == ServerState.DRAINING
        if not self._core.resume(now):
            raise RemoteError(
                f"{self._identity.name} is stopping, and takes no more calls; start it again",
                code=Status.FAILED_PRECONDITION,
            )
        if drained:
            _log.warning("%s was told to take calls again", self._identity.name)
        return {**self._common("resume_response"), "in_flight": self._core.admitted}

    def _check_drainable(self) -> None:
        if not self._config.drainable:
            raise RemoteError(
                f"{self._identity.name} lets nobody drain it (ServerConfig.drainable); stop it where it runs",
                code=Status.PERMISSION_DENIED,
            )

    def _common(self, kind: str) -> dict[str, object]:
        return {
            "type": f"mesh.v1.{kind}",
            "name": self._identity.name,
            "id": self._identity.peer_id,
            "version": self._identity.version,
            "metadata": {key: value for service in self._services for key, value in service.metadata.items()},
            "state": _STATES[self._core.state],
        }


def _encoded(answer: Callable[[float], dict[str, object]]) -> ControlMethod:
    return lambda frames, now: msgspec.msgpack.encode(answer(now))


class _Question(msgspec.Struct):
    """The arguments of `mesh.describe`."""

    method: str


_read_question = msgspec.msgpack.Decoder(tuple[str] | _Question).decode


def _asked(frames: Sequence[bytes]) -> str:
    """Return the method that is asked about. Raises RemoteError if that cannot be read."""
    try:
        (body,) = frames
        question = _read_question(body)
    except (ValueError, msgspec.DecodeError):
        text = "mesh.describe takes the full name of one method, such as 'calc.add'"
        raise RemoteError(text, code=Status.INVALID_ARGUMENT) from None
    return question.method if isinstance(question, _Question) else question[0]


def _endpoint(full_name: str, stats: MethodStats) -> dict[str, object]:
    service, _, name = full_name.partition(".")
    histogram = stats.histogram
    total_ns = int(histogram.total_s * 1e9)
    return {
        "name": name,
        "subject": full_name,
        "queue_group": service,
        "num_requests": stats.count,
        "num_errors": stats.errors,
        "last_error": stats.last_error,
        "processing_time": total_ns,
        "average_processing_time": total_ns // stats.count if stats.count else 0,
        **{f"p{share}_ns": int(histogram.percentile_s(share / 100) * 1e9) for share in (50, 95, 99)},
    }
