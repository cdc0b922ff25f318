"""mesh/1 frames, from their specification (WIRE.md)."""

from __future__ import annotations

import msgspec
import pytest

from mesh.config import Limits
from mesh.core.wire import (
    MAGIC,
    MESH_PREFIX,
    Call,
    Cancel,
    Detail,
    Hello,
    Ping,
    Pong,
    Record,
    Reply,
    ServerState,
    body_frames,
    body_octets,
    decode,
    encode,
    largest_frame,
    pack_body,
)
from mesh.errors import RemoteProtocolError

LIMITS = Limits()
SMALL = Limits(head_max=4096, body_max=65536, frames_max=4, records_max=8, inline_max=16)
BIG = b"B" * SMALL.inline_max


def head(*records: object) -> bytes:
    """Return a head with any msgpack values for records."""
    return MESH_PREFIX + msgspec.msgpack.encode(records)


RECORDS: list[Record] = [
    Call(1, "calc.add"),
    Call(2**63, "calc.add", b"body", 12345, 2**64 - 1, b"key", 3, {"traceparent": "00-ab"}),
    Call(3, "é" * 100, [b"one", b"", b"three"]),
    Call(4, "calc.none", []),
    Reply(1),
    Reply(2, 8, b"", 7, Detail(type="T", message="m", traceback="t", retry_after_ms=0, limit="body_max")),
    Reply(3, 0, [b"a", b"b"], 1),
    Cancel(9),
    Ping(1),
    Ping(2, True),
    Pong(1, 2, 3),
    Pong(1, 2, 3, ServerState.DRAINING, 5, 6),
    Hello("id", "name", "default", ["calc"], ["calc.pay"]),
    Hello("id", "name", "r", [], [], "1.2", 1024),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_a_record_comes_back_as_it_was(record: Record) -> None:
    frames, count = encode([record], LIMITS)
    assert count == 1
    assert decode(frames, LIMITS) == decode([bytes(frame) for frame in frames], LIMITS)
    assert decode(frames, LIMITS).records == [record]


def test_many_records_make_one_message_in_their_order() -> None:
    frames, count = encode(RECORDS, LIMITS)
    assert (len(frames), count) == (1, len(RECORDS))
    assert decode(frames, LIMITS).records == RECORDS


def test_a_head_is_magic_version_and_an_array() -> None:
    frames, _ = encode([Ping(7)], LIMITS)
    assert frames[0][:3] == MAGIC + b"\x01"
    assert msgspec.msgpack.decode(frames[0][3:]) == [[6, 7, False]]


# -- bodies


@pytest.mark.parametrize(
    ("body", "outside"),
    [
        (b"", []),
        (BIG[1:], []),
        (BIG, [BIG]),
        ([], []),
        ([b""], []),
        ([b"a", BIG, b"", BIG + b"2"], [BIG, BIG + b"2"]),
        ([BIG], [BIG]),
    ],
)
def test_a_body_of_inline_max_or_more_leaves_the_head(body: bytes | list[bytes], outside: list[bytes]) -> None:
    given = body if isinstance(body, bytes) else list(body)
    record = Call(1, "m", given)  # type: ignore[arg-type]
    frames, _ = encode([record], SMALL)
    assert frames[1:] == outside
    assert decode(frames, SMALL).records == [record]
    assert record.body == body, "encode must not change what it was given"


def test_references_run_through_the_records_in_order() -> None:
    records: list[Record] = [
        Call(1, "m", b"1" * 20),
        Cancel(4),
        Reply(2, 0, [b"2" * 20, b"x", b"3" * 20]),
        Call(3, "m", b"4" * 20),
    ]
    frames, _ = encode(records, SMALL)
    assert [frame[:1] for frame in frames[1:]] == [b"1", b"2", b"3", b"4"]
    assert msgspec.msgpack.decode(frames[0][3:])[2][3] == [1, b"x", 2]
    assert decode(frames, SMALL).records == records


def test_a_small_body_may_travel_outside_as_well() -> None:
    assert decode([head([1, 5, "m", 0]), b"s"], LIMITS).records == [Call(5, "m", b"s")]


@pytest.mark.parametrize(
    ("frames", "sentence"),
    [
        ([head([1, 1, "m", 0])], "refers to body 0; the next one is 0 of 0"),
        ([head([1, 1, "m", 1]), b"a", b"b"], "refers to body 1; the next one is 0 of 2"),
        ([head([1, 1, "m", 0], [1, 2, "m", 0]), b"a", b"b"], "refers to body 0; the next one is 1 of 2"),
        ([head([1, 1, "m", -1]), b"a"], "refers to body -1"),
        ([head([1, 1, "m", [0, 0]]), b"a", b"b"], "refers to body 0; the next one is 1 of 2"),
        ([head([1, 1, "m", 2**64 - 1]), b"a"], "refers to body 18446744073709551615"),
        ([head([6, 1]), b"a"], "1 body frames came, the records speak of 0"),
        ([head(), b"a"], "1 body frames came, the records speak of 0"),
        ([head([1, 1, "m", 0]), b"a", b"b"], "2 body frames came, the records speak of 1"),
    ],
)
def test_a_body_that_nobody_refers_to_or_twice_is_refused(frames: list[bytes], sentence: str) -> None:
    with pytest.raises(RemoteProtocolError, match=sentence):
        decode(frames, LIMITS)


# -- later versions


def test_fields_that_a_later_version_appends_are_ignored() -> None:
    message = decode([head([6, 1, True, "new", {"a": [1]}], [2, 1, 0, b"", 0, {"message": "m", "new": 1}, 7])], LIMITS)
    assert message.records == [Ping(1, True), Reply(1, detail=Detail(message="m"))]
    assert message.unknown == 0


def test_kinds_that_a_later_version_adds_are_counted_and_skipped() -> None:
    message = decode([head([3, 1, 0, True, b"chunk"], [6, 1], [99], [4, "x"])], LIMITS)
    assert message.records == [Ping(1)]
    assert message.unknown == 3


def test_body_frames_of_a_later_kind_are_skipped_with_it() -> None:
    message = decode(
        [head([1, 1, "m", 0], [3, 1, 1], [1, 2, "m", [2, b"x"]], [3, 1, 3]), b"a", b"b", b"c", b"d"], LIMITS
    )
    assert message.records == [Call(1, "m", b"a"), Call(2, "m", [b"c", b"x"])]
    assert message.unknown == 2


@pytest.mark.parametrize("number", [0, 2, 255])
def test_another_major_version_is_refused_by_its_number(number: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"version {number} of the protocol; this side reads 1"):
        decode([MAGIC + bytes([number]) + b"\x90"], LIMITS)


# -- garbage


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b""],
        [b"PING"],
        [MAGIC[:1]],
        [MAGIC],
        [MESH_PREFIX],
        [MESH_PREFIX + b"\xc0"],
        [MESH_PREFIX + b"\x80"],
        [MESH_PREFIX + b"\x90\x90"],
        [MESH_PREFIX + b"\xdd\xff\xff\xff\xff"],
        [MESH_PREFIX + b"\x91\x92\x63\xdd\xff\xff\xff\xff"],
        [MESH_PREFIX + b"\x91\x92\x63" + b"\x91" * 200_000 + b"\x01"],
        [MESH_PREFIX + b"\x91\x92\x63\x81\x80\x01"],
        [MESH_PREFIX + b"\x91\x92\x63\xa1\xff"],
        [head(1)],
        [head({"kind": 1})],
        [head([])],
        [head(["x", 1])],
        [head([None])],
        [head([True, 1])],
        [head([1])],
        [head([1, "x", "m"])],
        [head([1, 1, b"m"])],
        [head([1, 1, "m", "text"])],
        [head([1, 1, "m", None])],
        [head([1, 1, "m", [[b"a"]]])],
        [head([1, 1, "m", True])],
        [head([1, 1.5, "m"])],
        [head([1, 1, "m", b"", 0, 0, b"", 1, {"a": 1}])],
        [head([2, 1, 0, b"", 0, []])],
        [head([6, 1], [6, "x"])],
        [head([6, 1], [99, 1], [6, "x"])],
        [head([8, "id", "name", "realm", "calc", []])],
    ],
    ids=lambda frames: b"|".join(frames)[:24].hex() or "nothing",
)
def test_garbage_is_refused(frames: list[bytes]) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(frames, LIMITS)


# -- limits


@pytest.mark.parametrize(
    ("frames", "limit"),
    [
        ([head([1, 1, "m", b"x" * 4096])], "head_max: a head of .* octets; 4096 are allowed"),
        ([head(*[[6, 1]] * 9)], "records_max: 9 records in a message; 8 are allowed"),
        ([head(*[[6, 1]] * 5, *[[99]] * 4)], "records_max: 9 records"),
        ([head([1, 1, "m", [b""] * 5])], "frames_max: a body of 5 frames; 4 are allowed"),
    ],
)
def test_a_limit_is_refused_by_its_name(frames: list[bytes], limit: str) -> None:
    with pytest.raises(RemoteProtocolError, match=f"^{limit}"):
        decode(frames, SMALL)


def test_what_is_just_within_the_limits_passes() -> None:
    assert len(decode([head(*[[6, 1]] * 8)], SMALL).records) == 8
    assert decode([head([1, 1, "m", [b""] * 4])], SMALL).records == [Call(1, "m", [b""] * 4)]
    room = SMALL.head_max - len(head([1, 1, "m", b"x" * 300])) + 300
    assert len(head([1, 1, "m", b"x" * room])) == SMALL.head_max
    assert decode([head([1, 1, "m", b"x" * room])], SMALL).records == [Call(1, "m", b"x" * room)]


# -- what does not fit one message


def messages(records: list[Record], limits: Limits) -> list[list[bytes]]:
    """Encode records as a sender does, message after message."""
    left, sent = list(records), []
    while left:
        frames, count = encode(left, limits)
        assert count >= 1
        del left[:count]
        sent.append(frames)
    return sent


@pytest.mark.parametrize(
    ("records", "limits"),
    [
        ([Ping(number) for number in range(20)], SMALL),
        ([Call(number, "m", b"x" * 15) for number in range(400)], Limits(head_max=4096, inline_max=16)),
        ([Call(number, "m", [b"x" * 15] * 4) for number in range(60)], SMALL),
        ([Call(number, "m", b"x" * 600_000) for number in range(5)], LIMITS),
        ([Call(number, "m", [b"x" * 600_000, b"y"]) for number in range(5)], LIMITS),
        ([Call(1, "m", b"x" * 3_000_000), Cancel(1), Ping(2)], LIMITS),
    ],
    ids=["records_max", "head_max", "head_max, several frames", "large bodies", "large frames", "the last one large"],
)
def test_what_does_not_fit_one_message_leaves_in_several(records: list[Record], limits: Limits) -> None:
    sent = messages(records, limits)
    assert len(sent) > 1
    assert [record for frames in sent for record in decode(frames, limits).records] == records


def test_large_bodies_gather_up_to_a_mebibyte() -> None:
    sent = messages([Call(number, "m", b"x" * 300_000) for number in range(8)], LIMITS)
    assert [len(frames) - 1 for frames in sent] == [4, 4]


def test_a_body_of_many_small_frames_never_bursts_the_head() -> None:
    body: list[bytes | int] = [b"x" * (LIMITS.inline_max - 1)] * LIMITS.frames_max
    frames, _ = encode([Call(1, "m", body)], LIMITS)
    assert len(frames[0]) <= LIMITS.head_max
    assert decode(frames, LIMITS).records == [Call(1, "m", body)]


# -- bodies and frames


@pytest.mark.parametrize(
    ("frames", "body", "octets", "largest"),
    [([b"one"], b"one", 3, 3), ([], [], 0, 0), ([b"a", b"bc"], [b"a", b"bc"], 3, 2), ([b""], b"", 0, 0)],
)
def test_one_frame_is_a_body_as_itself(
    frames: list[bytes], body: bytes | list[bytes], octets: int, largest: int
) -> None:
    assert pack_body(frames) == body
    assert body_frames(body) == frames
    assert (body_octets(body), largest_frame(body)) == (octets, largest)
