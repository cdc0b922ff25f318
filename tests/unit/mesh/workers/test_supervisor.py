"""What a supervisor decides, without processes and without waiting."""

from __future__ import annotations

import random

import pytest

from mesh.workers.actions import Notify
from mesh.workers.events import StopAsked, Tick
from mesh.workers.messages import Bury, Cleared
from mesh.workers.policy import WorkerPolicy
from tests.unit.mesh.workers.floor import KILL, SEGV, Floor

POLICY = WorkerPolicy(count=3)


@pytest.fixture
def floor() -> Floor:
    """Three workers that have served for a while, and a spare."""
    floor = Floor(POLICY)
    floor.settle()
    floor.advance(5.0)
    return floor


def test_the_first_interpreter_shows_that_the_application_loads_before_others_start() -> None:
    floor = Floor(POLICY)
    assert list(floor.fakes) == [1]
    floor.load(1)
    assert list(floor.fakes) == [1, 2, 3, 4]
    floor.settle()
    assert floor.serving == {1: 1, 2: 2, 3: 3}
    assert floor.spares == [4]
    assert floor.heard("serving")[0] == "serving calc as calc-1 on tcp://127.0.0.1:5000"


def test_readiness_is_told_once_and_then_how_many_serve(floor: Floor) -> None:
    assert [(one.state, one.status) for one in floor.notified] == [
        ("READY", "1 of 3 workers serve"),
        ("", "2 of 3 workers serve"),
        ("", "3 of 3 workers serve"),
    ]
    floor.die(1)
    assert floor.notified[-1] == Notify("", "2 of 3 workers serve")


def test_a_spare_takes_the_place_of_a_dead_worker_at_once_and_another_is_started(floor: Floor) -> None:
    floor.advance(10.0)
    floor.die(2, SEGV)
    taken = floor.fakes[4].activated
    assert taken is not None
    assert taken.slot == 2
    assert floor.spares == [5]
    floor.now += 0.25
    floor.serve(4)
    assert floor.heard("died") == ["calc-2 was ended by SIGSEGV"]
    assert floor.said[-1].facts["after_s"] == 0.25


def test_all_dead_at_once_come_back_as_interpreters_load(floor: Floor) -> None:
    floor.advance(10.0)
    for number in (1, 2, 3):
        floor.die(number)
    assert len(floor.spares) == 3
    floor.settle()
    assert sorted(floor.serving) == [1, 2, 3]
    assert len(floor.spares) == 1


def test_the_dead_are_said_goodbye_for_by_a_living_one(floor: Floor) -> None:
    floor.die(1)
    [buried] = [message for message in floor.fakes[2].told if isinstance(message, Bury)]
    assert (buried.departed.name, buried.departed.peer_id, buried.departed.services) == ("calc-1", "id1", ("calc",))


def test_where_nobody_lives_the_next_one_says_goodbye_for_the_dead() -> None:
    floor = Floor(WorkerPolicy(count=1))
    floor.settle()
    floor.die(1)
    floor.advance(1.0)
    floor.settle()
    told = floor.fakes[floor.serving[1]].told
    assert [message.departed.peer_id for message in told if isinstance(message, Bury)] == ["id1"]


def test_a_silent_worker_is_killed_and_replaced_before_it_is_gone(floor: Floor) -> None:
    floor.advance(POLICY.hang_s - 0.01, 2)
    assert not floor.killed
    floor.advance(0.02, 2)
    assert floor.killed == {2}
    assert floor.fakes[4].activated is not None
    assert floor.heard("died") == ["calc-2 gave no sign of life for 5 s, and is killed"]
    floor.die(2, KILL, "x")
    assert floor.fakes[1].doubts["x"].deaths == 1  # it hung on one of these


def test_a_supervisor_that_was_late_itself_accuses_nobody(floor: Floor) -> None:
    floor.now += 60.0  # stopped, or the whole machine was
    floor.handle(Tick())
    assert not floor.killed
    floor.advance(POLICY.hang_s + 0.1, 2)
    assert floor.killed == {2}


def test_a_worker_that_does_not_drain_is_killed_and_no_call_is_blamed_for_it(floor: Floor) -> None:
    floor.reload()
    floor.load(5)
    floor.serve(5)
    assert floor.fakes[1].draining
    floor.die(4, 0)
    floor.advance(POLICY.drain_s + 0.1)
    assert floor.killed == {1}
    floor.die(1, KILL, "long")
    assert "long" not in floor.fakes[2].doubts


def test_early_deaths_in_a_row_make_pauses_and_are_reported_as_a_loop(floor: Floor) -> None:
    waited = []
    for _ in range(8):
        died_at = floor.now
        floor.die(floor.serving[2], 1)
        while 2 not in floor.serving:
            floor.settle()
            floor.advance(0.01)
        waited.append(floor.now - died_at)
    assert waited[0] < 0.02  # the first one had lived for long
    assert 0.3 < waited[4] < 0.6
    assert 1.8 < waited[7] < 3.5
    [loop] = floor.heard("crash-loop")
    assert loop.startswith("calc-2 died 5 times in a row soon after its start; the last time it ended by itself with ")
    assert "exit code 1; it last wrote: last words; it is started again and again, with pauses of up to 30 s" in loop


def test_a_worker_that_lived_long_enough_is_replaced_without_a_pause(floor: Floor) -> None:
    for _ in range(20):
        floor.advance(POLICY.early_s + 0.1)
        floor.die(floor.serving[1])
        floor.settle()
        assert 1 in floor.serving
    assert not floor.heard("crash-loop")


def test_an_application_that_cannot_be_loaded_ends_everything_with_its_own_sentence() -> None:
    floor = Floor(POLICY)
    floor.fail(1, "app.py:3: NameError: x", 2)
    assert floor.finish is not None
    assert (floor.finish.code, floor.finish.sentence) == (2, "app.py:3: NameError: x")


def test_a_port_that_is_taken_ends_everything_with_the_sentence_of_the_first_worker() -> None:
    floor = Floor(POLICY)
    floor.load(1)
    floor.fail(1, "cannot bind tcp://*:5555", 2)
    assert floor.finish is not None
    assert floor.finish.sentence == "cannot bind tcp://*:5555"


def test_an_interpreter_that_dies_without_a_word_before_any_served_ends_everything() -> None:
    floor = Floor(POLICY)
    floor.die(1, SEGV)
    assert floor.finish is not None
    assert floor.finish.code == 1
    assert "no worker came to serve: spare 1 was ended by SIGSEGV; it last wrote: last words" in floor.finish.sentence


def test_an_interpreter_that_never_loads_is_killed() -> None:
    floor = Floor(POLICY)
    floor.advance(POLICY.start_s + 0.1)
    assert floor.killed == {1}
    assert floor.finish is not None
    assert "did not load the application within 60 s" in floor.finish.sentence


def test_a_worker_that_never_comes_to_serve_is_replaced(floor: Floor) -> None:
    floor.die(1)
    floor.load(5)
    floor.advance(POLICY.start_s + 0.1)
    assert floor.killed == {4}
    assert floor.fakes[5].activated is not None


def test_a_system_without_room_is_asked_again_after_growing_pauses(floor: Floor) -> None:
    floor.refuses = True
    floor.die(1)
    floor.serve(4)
    said = floor.heard("load-failed")
    assert len(said) == 1
    assert "cannot be started: out of memory; another try in 0.1 s" in said[0]
    floor.advance(60.0)
    assert 5 <= len(floor.heard("load-failed")) <= 20
    floor.refuses = False
    floor.advance(POLICY.pause_max_s)
    assert len(floor.spares) == 1


def test_spares_that_die_are_started_again_after_growing_pauses(floor: Floor) -> None:
    for _ in range(10):
        floor.die(floor.spares[0], SEGV)
        floor.advance(POLICY.pause_max_s)
        floor.step()
    assert len(floor.spares) == 1
    assert len(floor.heard("load-failed")) == 10


def test_a_reload_replaces_one_worker_after_the_other_and_never_has_fewer(floor: Floor) -> None:
    floor.reload()
    assert floor.notified[-1].state == "RELOADING"
    assert floor.spares == [4, 5]  # the old spare stays until the new code has been loaded
    for _ in range(100):
        assert len(floor.serving) == 3
        draining = [number for number, fake in floor.fakes.items() if fake.draining and fake.serving]
        assert len(draining) <= 1
        assert not draining or not floor.heard("reloaded")
        if not floor.step():
            break
    assert min(floor.serving.values()) > 4
    assert floor.heard("reloaded") == ["all workers serve the application as it was loaded anew"]
    assert floor.notified[-1] == Notify("READY", "3 of 3 workers serve")
    assert len(floor.spares) == 1


def test_code_that_cannot_be_loaded_anew_leaves_everything_as_it_is(floor: Floor) -> None:
    floor.reload()
    floor.fail(5, "app.py:3: SyntaxError")
    assert floor.serving == {1: 1, 2: 2, 3: 3}
    assert floor.spares == [4]
    [said] = floor.heard("reload-failed")
    assert "the workers stay as they are: spare 5 ended: app.py:3: SyntaxError" in said
    assert floor.notified[-1].state == "READY"
    floor.advance(10.0)
    floor.die(1)
    floor.settle()  # the old spare, and another that loads what is there now
    assert floor.serving[1] == 4


def test_a_second_reload_begins_anew(floor: Floor) -> None:
    floor.reload()
    floor.reload()
    assert floor.killed == {5}
    floor.settle()
    assert min(floor.serving.values()) > 5
    assert len(floor.heard("reloaded")) == 1


def test_a_worker_that_dies_during_a_reload_is_replaced_all_the_same(floor: Floor) -> None:
    floor.reload()
    floor.load(5)
    floor.die(1)  # while its successor starts
    floor.die(3)
    floor.settle()
    assert sorted(floor.serving) == [1, 2, 3]
    assert min(floor.serving.values()) > 4


def test_a_worker_over_its_limit_serves_until_its_successor_does() -> None:
    floor = Floor(WorkerPolicy(count=2, memory_max=1 << 20, calls_max=100))
    floor.settle()
    floor.advance(5.0)
    floor.beat(1, calls=99, memory=(1 << 20) - 1)
    assert floor.fakes[3].activated is None
    floor.beat(1, calls=100)
    floor.beat(2, memory=1 << 20)
    assert floor.fakes[3].activated is not None
    assert not floor.fakes[1].draining
    floor.serve(3)
    assert floor.fakes[1].draining
    assert not floor.fakes[2].draining  # one at a time
    floor.settle()
    assert sorted(floor.serving) == [1, 2]
    assert not {1, 2} & set(floor.serving.values())
    assert floor.heard("outworn") == [
        "calc-1 is to be replaced: it has answered 100 calls of 100 that are allowed",
        "calc-2 is to be replaced: it has 1 MiB of 1 MiB that are allowed",
    ]


def test_workers_that_are_too_large_from_the_start_are_replaced_ever_more_slowly() -> None:
    floor = Floor(WorkerPolicy(count=1, memory_max=1000))
    floor.settle()
    for _ in range(600):
        floor.advance(0.1)
        floor.beat(*floor.serving.values(), memory=2000)
        floor.settle()
    assert 5 <= len(floor.heard("outworn")) <= 12


def test_a_worker_that_somebody_else_stops_is_replaced_at_once(floor: Floor) -> None:
    floor.leave(2)
    taken = floor.fakes[4].activated
    assert taken is not None
    assert taken.slot == 2
    floor.die(2, 0)
    assert floor.heard("died") == []


def test_ports_differ_among_all_that_live_and_one_that_fails_is_tried_last() -> None:
    floor = Floor(WorkerPolicy(count=2), ports=True)
    floor.settle()

    def offsets() -> list[int]:
        return sorted(fake.activated.offset for fake in floor.fakes.values() if fake.activated)

    assert offsets() == [0, 1]
    floor.advance(5.0)
    floor.reload()
    floor.load(4)
    assert offsets() == [0, 1, 2]
    floor.fail(4, "cannot bind: in use")
    floor.settle()
    floor.advance(1.0)
    floor.settle()
    assert len(floor.serving) == 2
    assert len(set(offsets())) == 2


def test_a_call_that_ends_workers_in_a_row_is_told_to_all_of_them(floor: Floor) -> None:
    floor.advance(5.0)
    floor.die(1, SEGV, "poison", "bystander")
    assert floor.fakes[2].doubts["poison"].deaths == floor.fakes[2].doubts["bystander"].deaths == 1
    floor.say(3, Cleared("bystander"))
    assert list(floor.fakes[2].doubts) == ["poison"]
    floor.die(2, SEGV, "poison", "other")
    assert floor.fakes[3].doubts["poison"].alone
    assert not floor.fakes[3].doubts["other"].alone
    floor.die(3, SEGV, "poison")
    floor.settle()
    for number in floor.serving.values():
        assert floor.fakes[number].doubts["poison"].quarantined_s > 590
        assert floor.fakes[number].doubts["other"].quarantined_s == 0
    [said] = floor.heard("quarantined")
    assert "a call of calc.poison ended 3 workers in a row; for 600 s" in said
    floor.advance(601.0)
    assert all(not floor.fakes[number].doubts for number in floor.serving.values())


def test_a_reload_lifts_quarantines_once_there_is_other_code(floor: Floor) -> None:
    for _ in range(3):
        floor.die(floor.serving[1], SEGV, "poison")
        floor.advance(1.0)
        floor.settle()
    floor.reload()
    floor.fail(max(floor.fakes), "SyntaxError")
    assert floor.fakes[floor.serving[2]].doubts
    floor.reload()
    assert floor.fakes[floor.serving[2]].doubts
    floor.load(max(floor.fakes))
    assert not floor.fakes[floor.serving[2]].doubts


def test_calls_that_ran_in_a_worker_which_ends_in_order_are_not_blamed(floor: Floor) -> None:
    floor.leave(1)
    floor.die(1, 0, "late")
    assert not floor.fakes[2].doubts


def test_a_worker_that_leaves_by_itself_in_the_midst_of_calls_has_died_of_them(floor: Floor) -> None:
    floor.die(1, 0, "os._exit")
    assert list(floor.fakes[2].doubts) == ["os._exit"]
    assert floor.heard("died") == ["calc-1 ended by itself with exit code 0 while 1 call ran"]


def test_a_stop_drains_everything_and_ends_with_zero(floor: Floor) -> None:
    floor.die(4)
    floor.advance(0.2)
    floor.stop()
    assert floor.killed == {5}  # it was loading
    assert all(fake.draining for number, fake in floor.fakes.items() if number != 5)
    assert floor.notified[-1].state == "STOPPING"
    floor.settle()
    assert floor.finish is not None
    assert (floor.finish.code, floor.finish.sentence) == (0, "")


def test_a_stop_in_the_midst_of_starting_comes_to_an_end() -> None:
    for steps in range(12):
        floor = Floor(POLICY)
        for _ in range(steps):
            floor.step()
        floor.stop(2)
        floor.settle()
        assert floor.finish is not None
        assert floor.finish.code == 0


def test_a_second_stop_ends_everything_at_once(floor: Floor) -> None:
    floor.stop(15)
    floor.stop(15)
    assert floor.finish is not None
    assert floor.finish.code == 128 + 15


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_it_comes_back_to_what_it_is_for(seed: int) -> None:
    """Random deaths, hangs, refusals, reloads and limits; then quiet, and everything is as it should be."""
    rng = random.Random(seed)
    policy = WorkerPolicy(count=rng.randint(1, 4), memory_max=1000, calls_max=0, start_s=10.0)
    floor = Floor(policy, ports=rng.random() < 0.5)
    floor.settle()
    for _ in range(150):
        numbers = list(floor.fakes)
        number = rng.choice(numbers) if numbers else 0
        match rng.randrange(10):
            case 0 | 1 if numbers:
                floor.die(number, rng.choice((KILL, SEGV, 0, 1)), *rng.sample("abcdef", rng.randint(0, 3)))
            case 2 if numbers:
                floor.advance(rng.uniform(0.0, 8.0), number)
            case 3:
                floor.refuses = rng.random() < 0.3
            case 4:
                floor.reload()
            case 5 if numbers and floor.fakes[number].loaded:
                floor.beat(number, memory=rng.randint(0, 1500))
            case 6 if numbers and floor.fakes[number].loaded:
                floor.leave(number)
            case 7 if numbers and not floor.fakes[number].loaded and number not in floor.killed:
                floor.fail(number, "broken")
            case _:
                floor.step()
        assert len(floor.fakes.keys() - floor.killed) <= 3 * policy.count + 2
        offsets = [fake.activated.offset for fake in floor.fakes.values() if fake.activated]
        assert not floor.core._ports or len(offsets) == len(set(offsets))
        assert floor.finish is None
    floor.refuses = False
    for _ in range(8):
        floor.advance(policy.pause_max_s)
        floor.settle()
    assert sorted(floor.serving) == list(range(1, policy.count + 1))
    assert len(floor.spares) == 1
    floor.handle(StopAsked(15))
    floor.settle()
    assert floor.finish is not None
    assert floor.finish.code == 0
