"""What clients check before a call, and what they make of it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from mesh.calling import raw_call, typed_call, watch_of
from mesh.config import ClientConfig, Limits
from mesh.core.calls import PendingCall
from mesh.errors import ConfigError, LocalProtocolError

CONFIG = ClientConfig(timeout_s=2.0, limits=Limits(body_max=1024, frames_max=4))


def raw(body: Any = b"", **options: Any) -> PendingCall:
    defaults: dict[str, Any] = {"timeout": None, "idempotent": None, "key": None, "peer": None, "metadata": None}
    return raw_call(CONFIG, options.pop("method", "a.b"), body, **{**defaults, **options})


@pytest.mark.parametrize(
    ("body", "packed", "octets"),
    [
        (b"", b"", 0),
        (b"one", b"one", 3),
        ([b"one"], b"one", 3),
        ((b"one", b"two"), [b"one", b"two"], 6),
        ([], [], 0),
        ([bytearray(b"a"), memoryview(b"b")], [b"a", b"b"], 2),
    ],
)
def test_a_raw_body_is_one_frame_or_several(body: Any, packed: object, octets: int) -> None:
    call = raw(body)
    assert (call.body, call.octets, call.plain) == (packed, octets, True)


def test_the_limit_is_for_each_frame_not_for_their_sum() -> None:
    assert raw([bytes(1024)] * 4).octets == 4096
    with pytest.raises(LocalProtocolError, match=r"a\.b: a body of 1026 octets; body_max is 1024; send several frames"):
        raw([b"x", bytes(1025)])


def test_a_typed_call_carries_encoded_arguments_and_goes_to_mesh_servers_only() -> None:
    call = typed_call(CONFIG, "a.b", (1, "x"), {}, None, None, None, None, None)
    assert (call.body, call.plain, call.service) == (b"\x92\x01\xa1x", False, "a")


@pytest.mark.parametrize(("idempotent", "once"), [(None, None), (True, False), (False, True)])
def test_idempotent_or_not_or_as_the_server_says(idempotent: bool | None, once: bool | None) -> None:
    assert raw(idempotent=idempotent).once is once


def test_a_key_may_be_text() -> None:
    assert raw(key="né").key == "né".encode()
    assert raw(key=b"k").key == b"k"
    assert raw().key == b""


def test_metadata_is_taken_as_it_is_at_the_time_of_the_call() -> None:
    metadata = {"a": "b"}
    call = raw(metadata=metadata)
    metadata["a"] = "c"
    assert call.metadata == {"a": "b"}
    assert raw(metadata={}).metadata is None


def test_the_deadline_is_absolute() -> None:
    for timeout, seconds in ((None, 2.0), (0.5, 0.5), (3, 3.0)):
        call = raw(timeout=timeout)
        assert call.deadline - call.started_at == pytest.approx(seconds)
        assert 0 <= time.monotonic() - call.started_at < 5.0


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), True, "1"])
def test_a_timeout_that_is_none_is_named(timeout: Any) -> None:
    with pytest.raises(ConfigError, match="give seconds, more than 0") as caught:
        raw(timeout=timeout)
    assert repr(timeout) in str(caught.value)


def test_a_watch_waits_for_a_number_of_servers() -> None:
    watch = watch_of(2, "a", 1.0, CONFIG)
    assert (watch.count, watch.service) == (2, "a")
    assert watch.deadline == watch.started_at + 1.0
    with pytest.raises(ConfigError, match="a number of servers from 1 on, not 0"):
        watch_of(0, "", None, CONFIG)


@pytest.mark.parametrize("method", ["", "m" * 256, "é" * 128])
def test_a_method_that_cannot_be_called_is_named(method: str) -> None:
    with pytest.raises(LocalProtocolError, match=r"cannot be called; write 'service\.method', at most 255 octets"):
        raw(method=method)
