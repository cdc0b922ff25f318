"""What both clients do around a call: check what the caller gave, and turn the outcome into a value or an error."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from mesh.config import ClientConfig
from mesh.core.calls import PendingCall, Watch
from mesh.core.wire import Body, body_octets, largest_frame, pack_body
from mesh.errors import ConfigError, LocalProtocolError
from mesh.typed import encode_arguments

__all__ = ["raw_call", "seconds_of", "typed_call", "watch_of"]


def typed_call(
    config: ClientConfig,
    method: str,
    args: tuple[object, ...],
    kwargs: Mapping[str, object],
    timeout: float | None,
    idempotent: bool | None,
    key: str | bytes | None,
    peer: str | None,
    metadata: Mapping[str, str] | None,
) -> PendingCall:
    """Return the call of a typed method.

    Raises:
        ConfigError: The timeout cannot be used.
        LocalProtocolError: A name, a key, metadata or the arguments cannot be sent.
    """
    return _make(config, method, encode_arguments(args, kwargs), timeout, idempotent, key, peer, metadata, plain=False)


def raw_call(
    config: ClientConfig,
    method: str,
    body: bytes | str | Sequence[bytes],
    timeout: float | None,
    idempotent: bool | None,
    key: str | bytes | None,
    peer: str | None,
    metadata: Mapping[str, str] | None,
) -> PendingCall:
    """Return the call of a raw method, whose body goes as it is. Raises as `typed_call`."""
    packed: Body
    if type(body) is bytes:
        # Nearly every call: nothing to check but sizes. 60 characters are never more octets than the limit allows.
        if key is None and metadata is None and 0 < len(method) <= 60 and len(body) <= config.limits.body_max:
            now = time.monotonic()
            until = now + (timeout if type(timeout) is float and 0 < timeout < 1e6 else seconds_of(timeout, config))
            once = None if idempotent is None else not idempotent
            return PendingCall(method, body, len(body), now, until, once, b"", peer or "", None, True)
        packed = body
    elif isinstance(body, str):
        raise LocalProtocolError("the body is a str; encode it, for example body.encode()")
    else:
        frames: list[bytes] = []
        for number, frame in enumerate(body):
            if not isinstance(frame, bytes | bytearray | memoryview):
                raise LocalProtocolError(f"frame {number} of the body is {type(frame).__name__}; frames are bytes")
            frames.append(bytes(frame))
        if len(frames) > config.limits.frames_max:
            raise LocalProtocolError(f"the body has {len(frames)} frames; frames_max is {config.limits.frames_max}")
        packed = pack_body(frames)
    return _make(config, method, packed, timeout, idempotent, key, peer, metadata, plain=True)


def seconds_of(timeout: float | None, config: ClientConfig) -> float:
    """Return the seconds until the deadline. Raises ConfigError if the timeout is not a positive number."""
    if timeout is None:
        return config.timeout_s
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout <= 86_400 * 365:
        raise ConfigError(f"timeout is {timeout!r}; give seconds, more than 0")
    return timeout


def watch_of(count: int, service: str, timeout: float | None, config: ClientConfig) -> Watch:
    """Return the wait for `count` servers. Raises ConfigError for what cannot be waited for."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ConfigError(f"wait_for takes a number of servers from 1 on, not {count!r}")
    now = time.monotonic()
    return Watch(count, service, now, now + seconds_of(timeout, config))


def _make(
    config: ClientConfig,
    method: str,
    body: Body,
    timeout: float | None,
    idempotent: bool | None,
    key: str | bytes | None,
    peer: str | None,
    metadata: Mapping[str, str] | None,
    *,
    plain: bool,
) -> PendingCall:
    limits = config.limits
    octets = len(body) if type(body) is bytes else body_octets(body)
    if octets > limits.body_max and largest_frame(body) > limits.body_max:
        raise LocalProtocolError(
            f"{method}: a body of {octets} octets; body_max is {limits.body_max}; "
            "send several frames, or raise the limit on both sides"
        )
    # Up to 60 characters are never more octets than the limit allows.
    if not method or (len(method) > 60 and len(method.encode()) > limits.method_max):
        raise LocalProtocolError(
            f"method {method[:80]!r} cannot be called; write 'service.method', at most {limits.method_max} octets"
        )
    if key is not None:
        key = key.encode() if isinstance(key, str) else key
        if not 0 < len(key) <= limits.key_max:
            raise LocalProtocolError(f"an idempotency key has 1 to {limits.key_max} octets, not {len(key)}")
    if metadata:
        _check_metadata(metadata, limits.metadata_max)
    now = time.monotonic()
    return PendingCall(
        method,
        body,
        octets,
        now,
        now + (timeout if type(timeout) is float and 0 < timeout < 1e6 else seconds_of(timeout, config)),
        None if idempotent is None else not idempotent,
        key or b"",
        peer or "",
        dict(metadata) if metadata else None,
        plain,
    )


def _check_metadata(metadata: Mapping[str, str], most: int) -> None:
    octets = 0
    for name, value in metadata.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise LocalProtocolError(f"metadata maps text to text; {name!r} does not")
        octets += len(name.encode()) + len(value.encode())
    if octets > most:
        raise LocalProtocolError(f"metadata of {octets} octets; metadata_max is {most}")
