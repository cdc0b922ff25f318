"""What a liar makes of the truth."""

from __future__ import annotations

import random
from collections import deque

import pytest

from discovery.model import Address, Peer
from mesh.config import Limits
from mesh.core.wire import Hello, Pong, Record, Reply, decode, encode
from mesh.errors import RemoteProtocolError, Status
from mesh.sim.liar import LIE_BODY, LIES, Liar

LIMITS = Limits()
OTHER = Peer("other-1", "other", ("sim",), (Address("10.0.0.9", 1),), {}, ("memory",))
TRUTH: list[Record] = [
    Hello("s1-1", "s1", "default", ["sim"], ["sim.once"], "1", 100),
    Pong(7, 55, 1_000_000_000, 0, 3, 512),
    Reply(10, 0, b"answer", 3),
    Reply(12, 0, b"answer", 2),
]
OLD = Reply(4, 0, b"old answer", 0)


def told(kind: str, seed: int = 1) -> list[Record]:
    """Return what arrives instead of the truth."""
    memory = deque([("c1.0", OLD), ("c2.0", Reply(5, 0, b"not yours", 0))])
    liar = Liar(kind, random.Random(seed), memory, 11, OTHER, LIMITS)
    messages = liar.tell(encode(TRUTH, LIMITS)[0], "c1.0")
    return [record for message in messages for record in decode(message, LIMITS).records]


def replies(records: list[Record]) -> list[tuple[int, object]]:
    return [(record.call_id, record.body) for record in records if type(record) is Reply]


def test_stray_answers_are_beside_the_truth() -> None:
    records = told("stray")
    assert replies(records)[-2:] == replies(TRUTH)
    assert len(records) == len(TRUTH) + 4
    assert all(body == LIE_BODY for _, body in replies(records)[:-2])


def test_swapped_answers_are_to_other_calls() -> None:
    assert not {call_id for call_id, _ in replies(told("swap"))} & {10, 12}


def test_everything_is_said_twice() -> None:
    assert told("twice") == TRUTH * 2


def test_mute_one_answers_pings_only() -> None:
    assert told("mute") == TRUTH[:2]


def test_stale_one_answers_again_to_whom_it_did_and_tells_its_old_boot_id_and_clock() -> None:
    records = told("stale")
    assert records[0] == OLD
    assert (4, b"old answer") in replies(records)
    assert (5, b"not yours") not in replies(records)
    [pong] = [record for record in records if type(record) is Pong]
    assert (pong.boot, pong.clock) == (11, 1_000_000_000 - 3_600_000)


def test_impostor_is_somebody_else_with_its_own_services() -> None:
    [hello] = [record for record in told("impostor") if type(record) is Hello]
    assert (hello.peer_id, hello.name, hello.once) == ("other-1", "other", ["sim.once"])


def test_nameless_one_has_ids_that_are_none_and_new_ones() -> None:
    ids = {record.peer_id for seed in range(50) for record in told("nameless", seed) if type(record) is Hello}
    assert {"", "static:10.0.0.1:5555"} <= ids
    assert "s1-1" not in ids


def test_absurd_one_tells_numbers_that_no_server_has() -> None:
    pongs = [record for seed in range(50) for record in told("absurd", seed) if type(record) is Pong]
    assert {pong.nonce for pong in pongs} == {7}
    assert min(pong.clock for pong in pongs) < 0 < 2**60 < max(pong.clock for pong in pongs)
    assert min(pong.window for pong in pongs) < 0
    assert 7 in {pong.state for pong in pongs}


@pytest.mark.parametrize(
    ("kind", "status"), [("shove", Status.RESOURCE_EXHAUSTED), ("expire", Status.DEADLINE_EXCEEDED)]
)
def test_work_that_was_done_is_refused(kind: str, status: Status) -> None:
    refused = [record for record in told(kind) if type(record) is Reply]
    assert {record.status for record in refused} == {status}
    assert all(record.detail is not None and record.detail.retry_after_ms is not None for record in refused)


def test_garbage_cannot_be_read_and_the_truth_is_among_it() -> None:
    liar = Liar("garbage", random.Random(1), deque(), 11, OTHER, LIMITS)
    [truth] = [encode(TRUTH, LIMITS)[0]]
    unreadable = 0
    for _ in range(100):
        messages = liar.tell(truth, "c1.0")
        assert truth in messages
        for message in messages:
            try:
                decode(message, LIMITS)
            except RemoteProtocolError:
                unreadable += 1
    assert unreadable >= 100


def test_siren_has_room_for_all_and_answers_no_call() -> None:
    [_, pong] = told("siren")
    assert type(pong) is Pong
    assert (pong.load, pong.window) == (-(2**63), 2**63 - 1)


def test_every_lie_has_a_test() -> None:
    told_of = "stray swap twice mute stale impostor nameless absurd siren shove expire garbage"
    assert set(LIES) == set(told_of.split())
