"""The duplicate window."""

from __future__ import annotations

from mesh.core.duplicates import Answered, DuplicateWindow
from mesh.core.wire import Body


def window(entries: int = 100, octets: int = 100_000, age_s: float = 60.0) -> DuplicateWindow[str]:
    return DuplicateWindow(entries, octets, age_s)


def run(window: DuplicateWindow[str], key: bytes, now: float, body: Body = b"answer") -> None:
    """Begin and answer a key."""
    window.begin(key, 1)
    window.finish(key, Answered(body, 0, None, now), now)


def known(window: DuplicateWindow[str], keys: int, now: float) -> list[int]:
    """Return which of the numbered keys are remembered."""
    return [number for number in range(keys) if window.find(b"%d" % number, now) is not None]


def test_a_running_key_is_found_and_can_be_joined() -> None:
    keys = window()
    entry = keys.begin(b"k", 42)
    assert keys.find(b"k", 1e9) is entry, "a running call is never forgotten"
    assert (entry.asked, entry.answer, keys.is_joined(b"k")) == (42, None, False)
    entry.joined.append("second")
    assert keys.is_joined(b"k")
    assert keys.finish(b"k", Answered(b"a", 0, None, 5.0), 5.0) == ["second"]
    assert not keys.is_joined(b"k")


def test_an_answer_is_found_until_it_is_too_old() -> None:
    keys = window(age_s=60)
    run(keys, b"k", 0.0)
    entry = keys.find(b"k", 60.0)
    assert entry is not None
    assert entry.answer is not None
    assert entry.answer.body == b"answer"
    assert keys.find(b"k", 60.1) is None
    assert len(keys) == 0


def test_the_oldest_answer_makes_room() -> None:
    keys = window(entries=3)
    for number in range(5):
        run(keys, b"%d" % number, 0.0)
    assert known(keys, 5, 0.0) == [2, 3, 4]


def test_large_answers_make_each_other_room() -> None:
    keys = window(octets=3000)
    for number in range(5):
        run(keys, b"%d" % number, 0.0, [b"x" * 500, b"x" * 400])
    assert known(keys, 5, 0.0) == [3, 4]
    run(keys, b"9", 0.0, b"x" * 5000)
    assert len(keys) == 0, "it would not even fit alone"
    run(keys, b"0", 0.0)
    assert known(keys, 1, 0.0) == [0]


def test_running_keys_do_not_count_as_answers() -> None:
    keys = window(entries=1)
    for number in range(5):
        keys.begin(b"%d" % number, 1)
    assert known(keys, 5, 0.0) == [0, 1, 2, 3, 4]
    assert len(keys) == 5


def test_what_never_ran_is_forgotten_with_those_who_joined() -> None:
    keys = window()
    keys.begin(b"k", 1).joined.append("second")
    assert keys.forget(b"k") == ["second"]
    assert keys.find(b"k", 0.0) is None
