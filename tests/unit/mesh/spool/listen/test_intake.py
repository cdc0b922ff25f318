"""How many wait for one commit together."""

from __future__ import annotations

import asyncio

import pytest

from mesh import LocalProtocolError
from mesh.spool.listen.intake import OCTETS_MAX, RECORDS_MAX, Rounds, Taken, check_method, pieces
from tests.helpers import async_wait_until
from tests.unit.mesh.spool.listen.desk import Desk


def test_pieces_are_as_large_as_may_be_and_keep_the_order() -> None:
    assert [*pieces([])] == []
    many = [b"%d" % number for number in range(2 * RECORDS_MAX + 1)]
    assert [len(piece) for piece in pieces(many)] == [RECORDS_MAX, RECORDS_MAX, 1]
    assert [body for piece in pieces(many) for body in piece] == many
    large, half = bytes(OCTETS_MAX + 1), bytes(OCTETS_MAX // 2)
    assert [len(piece) for piece in pieces([large, half, half, b"x", large])] == [1, 2, 1, 1]


@pytest.mark.parametrize("name", ["warehouse.ingest", "a-b_c.d.e", "w." + "x" * 253])
def test_a_method_has_a_service_and_a_name(name: str) -> None:
    assert check_method(name) == name


@pytest.mark.parametrize("name", ["", "warehouse", ".x", "x.", "a b.c", "w." + "x" * 254, "é.x", "a.b\n"])
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(LocalProtocolError, match=r"is no method; write SERVICE\.METHOD"):
        check_method(name)


def test_what_comes_while_a_round_is_written_makes_the_next_one() -> None:
    async def main() -> None:
        desk, room = Desk(), asyncio.Event()
        rounds = Rounds(desk, "w.i", 3, 1000, room.set)
        task = asyncio.create_task(rounds.run())
        stored: list[int] = []

        def add(number: int, stream: str) -> None:
            rounds.add(Taken(stream, b"%d" % number, lambda: stored.append(number)))

        desk.open.clear()
        add(1, "a")
        await async_wait_until(lambda: desk.asked, what="the first round")
        for number, stream in [(2, "a"), (3, "b"), (4, "a")]:
            assert not rounds.full
            add(number, stream)
        assert rounds.full
        await asyncio.sleep(0)
        assert desk.asked == [("w.i", "a", 1)], "one round at a time"
        assert not stored
        rounds.end()
        desk.open.set()
        await task
        assert desk.asked == [("w.i", "a", 1), ("w.i", "a", 2), ("w.i", "b", 1)]
        assert stored == [1, 2, 4, 3]
        assert room.is_set()
        assert not rounds.full

    asyncio.run(main())


def test_a_large_round_is_put_in_pieces_and_each_is_told_of_when_it_is_durable() -> None:
    async def main() -> None:
        desk = Desk()
        rounds = Rounds(desk, "w.i", 10_000, 1 << 20, lambda: None)
        durable: list[int] = []
        for number in range(RECORDS_MAX + 2):
            rounds.add(Taken("", b"%d" % number, lambda: durable.append(len(desk.bodies))))
        rounds.end()
        await rounds.run()
        assert [count for _, _, count in desk.asked] == [RECORDS_MAX, 2]
        assert durable == [RECORDS_MAX] * RECORDS_MAX + [RECORDS_MAX + 2] * 2

    asyncio.run(main())


def test_octets_fill_a_round_as_well() -> None:
    async def main() -> None:
        rounds = Rounds(Desk(), "w.i", 1000, 10, lambda: None)
        rounds.add(Taken("", bytes(10)))
        assert rounds.full

    asyncio.run(main())
