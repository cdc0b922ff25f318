"""Which packets came before."""

from __future__ import annotations

from mesh.spool.listen.window import Seen, Window


def test_a_packet_is_new_then_pending_then_stored_then_forgotten() -> None:
    window = Window(kept_s=10.0, kept_max=100)
    assert window.meet("a", 0.0) is Seen.NEW
    assert window.meet("a", 1000.0) is Seen.PENDING, "as long as it is not durable"
    window.stored("a", 1000.0)
    assert window.meet("a", 1010.0) is Seen.STORED
    assert window.meet("a", 1010.1) is Seen.NEW
    assert window.meet("b", 1010.1) is Seen.NEW


def test_the_oldest_are_forgotten_first() -> None:
    window = Window(kept_s=10.0, kept_max=3)
    for at, key in enumerate("abcd"):
        window.meet(key, at)
        window.stored(key, at)
    assert len(window) == 3
    assert window.meet("a", 4.0) is Seen.NEW
    assert [window.meet(key, 4.0) for key in "bcd"] == [Seen.STORED] * 3


def test_what_is_too_old_takes_no_room() -> None:
    window = Window(kept_s=10.0, kept_max=100)
    for at, key in [(0, "a"), (1, "b"), (11, "c"), (12, "a")]:
        window.meet(key, at)
        window.stored(key, at)
    assert len(window) == 2
    assert window.meet("a", 21.0) is Seen.STORED
