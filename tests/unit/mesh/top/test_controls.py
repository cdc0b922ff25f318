"""Controls: what each key does."""

from __future__ import annotations

from mesh.top.columns import COLUMNS, Order
from mesh.top.controls import Ask, Controls
from mesh.top.keys import keys_in
from mesh.top.rows import Row, row_of
from tests.helpers.top import view

ROWS = [row_of(view(name=name, peer_id=f"id-{name}"), met=True) for name in ("a", "b", "c")]


def after(keys: str, controls: Controls | None = None, rows: list[Row] | None = None) -> Controls:
    """Return what holds after some keys, as a terminal sends them."""
    controls = controls or Controls()
    for key in keys_in(keys):
        controls = controls.after(key, ROWS if rows is None else rows)
    return controls


def test_keys_pause_sort_and_quit() -> None:
    assert after("q").quitting
    assert after("p").paused
    assert not after("p ").paused
    assert after(">").order == after("\x1b[C").order == Order("state")
    assert after(">r").order == Order("state", down=True)
    assert after("<").order.key == COLUMNS[-1].key


def test_the_column_to_sort_by_is_chosen_from_a_list() -> None:
    assert after("sjj\x1b[B").cursor == 3
    assert after("sjjj\r") == Controls(order=Order("calls_per_s", down=True), cursor=3)
    assert after("s\r").order == Order("name", down=True)
    assert after("sG\r").order.key == COLUMNS[-1].key
    assert after("sk\r").order.key == "name"
    assert after("sjx\x1b") == Controls(cursor=1)
    assert after("sjjj\rs").cursor == 3


def test_a_filter_is_typed_until_enter_and_its_letters_are_no_keys() -> None:
    typing = after("/qps")
    assert (typing.filter, typing.prompt, typing.quitting) == ("qps", "filter", False)
    assert after("\r", typing) == Controls(filter="qps")
    assert after("\x7fx", typing).filter == "qpx"
    assert after("\x15y", typing).filter == "y"
    assert after("\x1b[D\x01\t", typing) == typing


def test_escape_drops_the_filter_and_then_the_selection() -> None:
    assert after("/abc\x1b") == Controls()
    chosen = Controls(filter="abc", selected="id-a")
    assert after("\x1b", chosen) == Controls(selected="id-a")
    assert after("\x1b\x1b", chosen) == Controls()


def test_a_filter_has_a_bound() -> None:
    assert len(after("/" + "a" * 1000).filter) == 60


def test_what_is_shown_is_filtered_and_in_order() -> None:
    assert [row.name for row in Controls(order=Order("name", down=True)).chosen(ROWS)] == ["c", "b", "a"]
    assert [row.name for row in Controls(filter="B").chosen(ROWS)] == ["b"]


def test_arrows_select_a_row_and_stay_on_the_table() -> None:
    assert after("\x1b[B").selected == "id-a"
    assert after("jj").selected == "id-b"
    assert after("jjk").selected == "id-a"
    assert after("jkk").selected == "id-a"
    assert after("G").selected == after("\x1b[6~").selected == after("jjjjj").selected == "id-c"
    assert after("Gg").selected == after("k").selected == "id-a"
    assert after("j", rows=[]) == Controls()


def test_the_selection_is_of_a_server_not_of_a_place() -> None:
    selected = after("j")
    assert selected.row(reversed(ROWS)) is ROWS[0]
    assert after("j", selected, ROWS[::-1]).selected == "id-a"
    assert after("k", selected, ROWS[::-1]).selected == "id-b"
    assert after("j", Controls(selected="left")).selected == "id-a"


def test_enter_looks_closer_and_the_way_back_is_short() -> None:
    assert after("jj\r") == Controls(selected="id-b", sheet="detail")
    assert after("\r") == Controls(selected="id-a", sheet="detail")
    assert after("\r", rows=[]) == Controls()
    for key in ("q", "\x1b", "\r", "\x7f"):
        assert after(key, after("jj\r")) == Controls(selected="id-b")
    assert after("p", after("\r")).paused


def test_a_sheet_is_turned_over_page_by_page() -> None:
    detail = after("\r")
    assert after("\x1b[C\x1b[6~\x1b[D", detail).page == 1
    assert after("\x1b[C\x1b[B", detail) == Controls(selected="id-b", sheet="detail")
    assert after("? ") == Controls(sheet="help", page=1)
    assert after("?x") == after("h\x1b") == Controls()


def test_a_ping_is_asked_for_once() -> None:
    asked = after("jP")
    assert asked.ask == Ask("ping", "id-a", "a")
    assert "asking a" in asked.message
    assert after("x", asked) == Controls(selected="id-a")
    assert after("\rP").ask == Ask("ping", "id-a", "a")


def test_a_drain_is_asked_for_after_a_yes_alone() -> None:
    question = after("jD")
    assert (question.prompt, question.ask) == ("drain", None)
    assert after("y", question).ask == Ask("drain", "id-a", "a")
    for key in ("n", "\x1b", "\r", "D", "\x1b[B"):
        refused = after(key, question)
        assert (refused.prompt, refused.ask, refused.message) == ("", None, "left as it is")
    gone = after("y", question, ROWS[1:])
    assert (gone.ask, gone.message) == (None, "left as it is")


def test_a_server_that_drains_is_taken_back() -> None:
    draining = [row_of(view(state="draining", peer_id="id-a", name="a"), met=True)]
    assert after("jDy", rows=draining).ask == Ask("resume", "id-a", "a")


def test_nobody_is_acted_upon_without_a_selection() -> None:
    for key in ("P", "D"):
        assert after(key) == Controls(message="select a server first, with the arrows up and down")
