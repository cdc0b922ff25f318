"""Controls: what each key does."""

from __future__ import annotations

from mesh.top.columns import Order
from mesh.top.controls import Controls


def test_keys_pause_sort_and_quit() -> None:
    assert Controls().after("q").quitting
    assert Controls().after("p").paused
    assert not Controls().after("pp").paused
    assert Controls().after("s").order == Order("state")
    assert Controls().after("sr").order == Order("state", down=True)


def test_a_filter_is_typed_until_enter_and_its_letters_are_no_keys() -> None:
    typing = Controls().after("/qps")
    assert (typing.filter, typing.typing, typing.quitting) == ("qps", True, False)
    assert typing.after("\r") == Controls(filter="qps")
    assert typing.after("\n") == Controls(filter="qps")
    assert typing.after("\x7fx").filter == "qpx"
    assert typing.after("\x15y").filter == "y"


def test_escape_drops_the_filter() -> None:
    assert Controls().after("/abc").after("\x1b") == Controls()
    assert Controls(filter="abc").after("\x1b") == Controls()


def test_arrows_and_control_characters_mean_nothing() -> None:
    assert Controls().after("\x1b[A") == Controls()
    assert Controls().after("/a").after("\x1b[D").after("\x01\t").filter == "a"
    assert Controls().after("x") == Controls()


def test_a_filter_has_a_bound() -> None:
    assert len(Controls().after("/" + "a" * 1000).filter) == 60
