"""Whatever is lost, late, refused or dead: every record arrives once faults end, in the order of its stream."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesh.spool.courier import HELD_MAX, RECORDS_MAX
from tests.helpers.courier_world import CourierWorld, Faults

faults = st.builds(
    Faults,
    lost=st.sampled_from([0.0, 0.3, 0.8]),
    refused=st.sampled_from([0.0, 0.3]),
    dies=st.sampled_from([0.0, 0.1, 0.5]),
    restarts=st.sampled_from([0.0, 0.1, 0.5]),
    delay_s=st.sampled_from([0.001, 0.5, 5.0]),
)


def assert_delivered(world: CourierWorld) -> None:
    """Check that nothing waits any more, and that only what is invalid was set aside."""
    assert not world.store
    assert set(world.quarantined) == world.poison
    assert world.courier.held == 0
    assert world.courier.in_flight == 0
    stored = {row for warehouse in world.warehouses for row in warehouse.stored}
    assert stored | world.poison == set(world.streams)


def assert_in_order(world: CourierWorld) -> None:
    """Check that each stream was stored in the order in which it was put."""
    for name in {*world.streams.values()} - {""}:
        for warehouse in world.warehouses:
            rows = [row for row in warehouse.stored if world.streams[row] == name]
            assert all(earlier < later for earlier, later in pairwise(rows)), name


@settings(max_examples=60)
@given(st.integers(0, 2**32), faults, st.integers(1, 5), st.integers(0, 4), st.sampled_from([0.0, 0.05]), st.booleans())
def test_everything_arrives_once_faults_end(
    seed: int, what: Faults, window: int, streams: int, poison: float, live_first: bool
) -> None:
    world = CourierWorld(seed, what, window=window, live_first=live_first)
    for _ in range(5):
        world.put(world.rng.choice([1, 20, 700]), streams, poison)
        world.run(world.rng.uniform(0, 10))
    world.calm()
    world.run(120.0)
    assert_delivered(world)
    assert_in_order(world)
    assert world.most_held <= HELD_MAX * window * RECORDS_MAX + RECORDS_MAX


@settings(max_examples=40)
@given(st.integers(0, 2**32), faults)
def test_two_warehouses_have_the_same_record_only_after_one_was_away_for_long(seed: int, what: Faults) -> None:
    world = CourierWorld(seed, what, warehouses=2)
    world.put(300, streams=2)
    world.run(30.0)
    world.calm()
    world.run(120.0)
    assert_delivered(world)
    both = set(world.warehouses[0].stored) & set(world.warehouses[1].stored)
    assert not both or what.dies or what.restarts or what.lost or what.delay_s > 1


def test_two_warehouses_share_nothing_where_answers_are_lost_and_both_stay() -> None:
    world = CourierWorld(3, Faults(lost=0.3), warehouses=2)
    world.put(5000)
    world.run(60.0)
    assert_delivered(world)
    first, second = world.warehouses
    assert first.stored
    assert second.stored
    assert not set(first.stored) & set(second.stored)


@pytest.mark.parametrize("seed", range(3))
def test_batches_that_fail_without_a_culprit_do_not_stop_the_flow(seed: int) -> None:
    world = CourierWorld(seed, Faults(invalid=0.2))
    world.put(2000, streams=2)
    world.run(60.0)
    assert len(world.quarantined) <= 2, "five times in a row, alone, is rare"
    assert not world.store
    assert_in_order(world)
