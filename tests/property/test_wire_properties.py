"""What holds for every message: what was encoded is decoded, and nothing else raises more than it may."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mesh.config import Limits
from mesh.core.dialect import FlpPing, MeshFrames, Plain, read_dialect
from mesh.core.wire import (
    MESH_PREFIX,
    Call,
    Cancel,
    Detail,
    Hello,
    Message,
    Ping,
    Pong,
    Record,
    Reply,
    decode,
    encode,
)
from mesh.errors import RemoteProtocolError

LIMITS = Limits(head_max=4096, body_max=65536, frames_max=8, records_max=16, inline_max=32)

ids = st.integers(0, 2**64 - 1)
texts = st.text(max_size=20)
parts = st.one_of(st.binary(max_size=40), st.binary(min_size=2040, max_size=2060))
bodies = st.one_of(parts, st.lists(parts, max_size=LIMITS.frames_max))
details = st.builds(Detail, texts, texts, texts, st.none() | st.integers(-(2**63), 2**64 - 1), texts)
records: st.SearchStrategy[Record] = st.one_of(
    st.builds(
        Call,
        ids,
        texts,
        bodies,
        ids,
        ids,
        st.binary(max_size=64),
        st.integers(0, 1000),
        st.none() | st.dictionaries(texts, texts, max_size=3),
    ),
    st.builds(Reply, ids, st.integers(0, 16), bodies, ids, st.none() | details),
    st.builds(Cancel, ids),
    st.builds(Ping, ids, st.booleans()),
    st.builds(Pong, ids, ids, ids, st.integers(0, 2), ids, ids),
    st.builds(Hello, texts, texts, texts, st.lists(texts, max_size=3), st.lists(texts, max_size=3), texts, ids),
)

# msgpack that is valid and means nothing in particular
values: st.SearchStrategy[object] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | texts | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts | st.integers(0, 9), inner, max_size=3),
    max_leaves=12,
)
strange_records = st.lists(
    st.one_of(values, st.tuples(st.integers(-1, 12), values, values), st.tuples(st.sampled_from([1, 2]), ids, values))
)


def read(frames: list[bytes]) -> Message | None:
    """Decode, or return None where the message is refused."""
    try:
        return decode(frames, LIMITS)
    except RemoteProtocolError:
        return None


@given(st.lists(records, min_size=1, max_size=40))
def test_what_was_encoded_is_decoded_however_many_messages_it_takes(given_records: list[Record]) -> None:
    left, decoded = list(given_records), list[Record]()
    while left:
        frames, count = encode(left, LIMITS)
        assert count >= 1
        assert len(frames[0]) <= LIMITS.head_max
        message = decode(frames, LIMITS)
        assert message.unknown == 0
        decoded += message.records
        del left[:count]
    assert decoded == given_records


@given(st.lists(st.binary(max_size=64), max_size=6))
def test_any_frames_are_read_or_refused(frames: list[bytes]) -> None:
    read(frames)


@given(strange_records, st.lists(st.binary(max_size=8), max_size=3))
def test_any_msgpack_is_read_or_refused(given_records: list[object], rest: list[bytes]) -> None:
    message = read([MESH_PREFIX + msgspec.msgpack.encode(given_records), *rest])
    if message is not None:
        assert len(message.records) + message.unknown == len(given_records)


@given(st.lists(records, min_size=1, max_size=8), st.data())
def test_a_damaged_message_is_read_or_refused_and_what_was_read_can_be_sent(
    given_records: list[Record], data: st.DataObject
) -> None:
    frames = encode(given_records, LIMITS)[0]
    which = data.draw(st.integers(0, len(frames) - 1))
    damaged = bytearray(frames[which])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged)))
        damaged[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    frames[which] = bytes(damaged)
    message = read(frames)
    if message is not None and message.records and not message.unknown:
        assert decode(encode(message.records, LIMITS)[0], LIMITS).records == message.records


@given(st.lists(st.sampled_from([b"", b"PING", b"PONG", b"x", MESH_PREFIX, MESH_PREFIX + b"\x90"]), max_size=4))
def test_a_dialect_keeps_every_frame(frames: list[bytes]) -> None:
    match read_dialect(frames):
        case MeshFrames(envelope, rest) | Plain(envelope, rest):
            assert [*envelope, *rest] == frames
        case FlpPing(envelope):
            assert [*envelope, b"PING"] == frames
        case _:
            assert len(frames) <= 1
