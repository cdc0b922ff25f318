"""The view: every size fits, nothing wraps, no text of a server reaches the terminal unchecked."""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence

import pytest
from rich.cells import cell_len
from rich.console import Console

from mesh.top.board import Board, Screen
from mesh.top.columns import COLUMNS, Field, Order, field_of
from mesh.top.controls import Controls
from mesh.top.table import table
from mesh.top.view import View
from tests.helpers.top import snapshot, stats, view


@functools.cache
def screen_of(count: int) -> Screen:
    """A mesh of `count` servers that were looked at twice: 10 calls/s each."""
    board = Board()
    servers = [
        view(name=f"calc-{number}", peer_id=f"id-{number}", address=f"tcp://127.0.0.1:{5000 + number}")
        for number in range(count)
    ]
    for at in (0, 1):
        said = {server.peer_id: stats(uptime_s=at + 1.0, calls=10 * at, in_flight=1) for server in servers}
        screen = board.update(snapshot(at, *servers, said=said))
    return screen


def shown(
    screen: Screen,
    width: int = 80,
    height: int = 24,
    controls: Controls | None = None,
    *,
    columns: Sequence[Field] = (),
    encoding: str = "utf-8",
) -> list[str]:
    output = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    console = Console(file=output, width=width, height=height, color_system=None, legacy_windows=False)
    console.print(View(screen, controls or Controls(), "default", columns))
    output.flush()
    return output.buffer.getvalue().decode(encoding).splitlines()


def test_a_screen_of_80_by_24() -> None:
    lines = shown(screen_of(2))
    assert [line.rstrip() for line in lines if line.strip()] == [
        "mesh-top  default  2 servers  ● 2 alive  1 service                      10:00:01",
        " 20.0 calls/s      0 errors/s      2 in flight                       max 20.0  █",
        "NAME▲     STATE     SERVICES    CALLS/S   FLIGHT   ERR/S     P99     RTT   CPU%",
        "calc-0    alive     calc           10.0   1/4096       0  3.00ms  0.40ms      0",
        "calc-1    alive     calc           10.0   1/4096       0  3.00ms  0.40ms      0",
        "─" * 80,
        "10:00:00  appeared     calc-0  tcp://127.0.0.1:5000 calc",
        "10:00:00  appeared     calc-1  tcp://127.0.0.1:5001 calc",
        "q quit  ? help  ↑↓ select  Enter details  s sort  r reverse  / filter  p pause",
    ]
    assert len(lines) == 24


_WAYS = {
    "table": Controls(),
    "selected": Controls(selected="id-150"),
    "filter": Controls(filter="calc-1", prompt="filter"),
    "drain": Controls(selected="id-0", prompt="drain"),
    "detail": Controls(selected="id-0", sheet="detail"),
    "gone": Controls(selected="x", sheet="detail", page=7),
    "sort": Controls(sheet="sort", cursor=15),
    "help": Controls(sheet="help", page=-1),
    "message": Controls(message="calc-0 answered in 0.42 ms " * 5, paused=True),
}


@pytest.mark.parametrize("way", _WAYS)
@pytest.mark.parametrize("count", [0, 3, 200])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (20, 3), (60, 15), (80, 24), (300, 100)])
def test_every_size_is_filled_and_not_exceeded(way: str, count: int, width: int, height: int) -> None:
    lines = shown(screen_of(count), width, height, _WAYS[way])
    assert len(lines) == height
    assert max(map(cell_len, lines)) <= width


def test_a_wide_terminal_gets_every_usual_column() -> None:
    titles = shown(screen_of(1), 200)[3].split()
    assert titles == ["NAME▲", *(column.title for column in COLUMNS if column.rank and column.key != "name")]


def test_the_column_that_sorts_is_always_shown() -> None:
    assert "VERSION▼" in shown(screen_of(1), 60, controls=Controls(order=Order("version", down=True)))[3]
    assert "WINDOW▲" in shown(screen_of(1), controls=Controls(order=Order("window")))[3]


def test_columns_that_were_asked_for_are_the_only_ones() -> None:
    columns = [field_of(key) for key in ("peer_id", "rtt_history_s", "window", "name")]
    lines = shown(screen_of(1), columns=columns)
    assert lines[3].split() == ["ID", "ROUNDTRIPS", "WINDOW", "NAME▲"]
    assert lines[4].split() == ["id-0", "██", "512", "calc-0"]
    assert shown(screen_of(1), 32, columns=columns)[3].split() == ["ID", "ROUNDTRIPS"]


def test_nothing_moves_when_another_column_sorts_or_another_row_is_selected() -> None:
    def titles(**how: object) -> list[int]:
        line = shown(screen_of(200), controls=Controls(**how))[3]  # type: ignore[arg-type]
        return [line.index(title) for title in ("NAME", "STATE", "SERVICES", "FLIGHT", "P99", "CPU%")]

    assert titles() == titles(selected="id-199") == titles(order=Order("state", down=True))
    assert abs(titles(order=Order("p99_s"))[4] - titles()[4]) == 1  # the title gives way to its arrow


def test_names_have_the_room_that_the_longest_of_all_needs() -> None:
    servers = [view(name="n" * (20 if number == 50 else 3), peer_id=f"id-{number}") for number in range(100)]
    screen = Board().update(snapshot(0, *servers))
    assert {shown(screen, controls=Controls(selected=f"id-{at}"))[3].index("STATE") for at in (0, 50, 99)} == {22}


def test_the_selected_row_is_shown_wherever_it_is_and_the_line_below_says_where() -> None:
    screen = screen_of(200)
    assert "─── 1-13 of 200 ─" in "\n".join(shown(screen))
    for selected in ("id-0", "id-5", "id-100", "id-199"):
        lines = shown(screen, controls=Controls(selected=selected))
        assert len([line for line in lines if line.startswith(f"calc-{selected[3:]} ")]) == 1
    assert "─── 188-200 of 200 ─" in "\n".join(shown(screen, controls=Controls(selected="id-199")))


def test_why_the_selected_server_is_in_its_state_is_said_below() -> None:
    screen = Board().update(snapshot(0, view(state="suspect", note="no PONG for 0.2 s")))
    assert shown(screen, controls=Controls(selected="id-1"))[-1].startswith("calc-1: no PONG for 0.2 s  q quit")
    assert shown(screen)[-1].startswith("q quit")


def test_a_filter_is_applied_and_shown() -> None:
    text = "\n".join(shown(screen_of(20), controls=Controls(filter="calc-19")))
    assert "filter: calc-19" in text
    assert text.count("10.0   1/4096") == 1


def test_an_empty_screen_says_why() -> None:
    assert "no server seen yet: is one running, on this network and in this realm?" in "\n".join(shown(screen_of(0)))
    assert "none of 2 servers fits the filter" in "\n".join(shown(screen_of(2), controls=Controls(filter="x")))


def test_who_is_left_out_is_counted_where_there_is_room() -> None:
    board = Board()
    stranger = view(peer_id="id-2", state="ignored")
    for at, state in ((0, "alive"), (1, "dead"), (900, "dead")):
        screen = board.update(snapshot(at, view(state=state), stranger))
    assert shown(screen, 100)[0].startswith(
        "mesh-top  default  0 servers  0 services  + 1 of other realms  + 1 long dead  "
    )
    assert shown(screen, 50)[0] == "mesh-top  default  0 servers  0 services  10:15:00"
    assert shown(screen, 40)[0] == "mesh-top  default  0 servers    10:15:00"


def test_the_last_line_says_that_the_screen_stands_still_or_what_is_typed() -> None:
    assert shown(screen_of(1), controls=Controls(paused=True))[-1].startswith(" PAUSED ")
    assert shown(screen_of(1), controls=Controls(prompt="filter", filter="ab"))[-1].startswith("filter: ab ")
    assert shown(screen_of(1), controls=Controls(message="done"))[-1].rstrip() == "done"


def test_the_last_line_asks_before_a_drain() -> None:
    asked = shown(screen_of(1), controls=Controls(prompt="drain", selected="id-0"))[-1]
    assert asked.startswith("drain calc-0?  y: yes, any other key: no  it finishes the calls that it has")
    asked = shown(screen_of(1), controls=Controls(prompt="resume", selected="id-0"))[-1]
    assert asked.startswith("take calc-0 back?  y: yes, any other key: no  it takes calls again")


def test_a_sheet_lies_over_the_table_and_has_pages() -> None:
    pages = [shown(screen_of(1), 80, 15, Controls(selected="id-0", sheet="detail", page=page)) for page in range(4)]
    assert pages[0][3].startswith("calc-0  alive  calc")
    assert pages[0][-1].startswith("page 1 of 2  Esc back")
    assert "TXT RECORD" in "\n".join(pages[1])
    assert [page[3] for page in pages[:2]] == [page[3] for page in pages[2:]]


def test_text_of_a_server_cannot_reach_the_terminal() -> None:
    evil = "\x1b[2J\x07[red]\u202e\n"
    server = view(name=evil, services=(evil,), version=evil, note=evil, address=evil, sources=(evil,))
    text = "\n".join(shown(Board().update(snapshot(0, server)), 300))
    assert not {"\x1b", "\x07", "\u202e"} & set(text)
    assert "?[2J?[red]??" in text
    assert len(text.splitlines()) == 24


def test_names_of_wide_characters_keep_the_columns_in_line() -> None:
    board = Board()
    screen = board.update(snapshot(0, view(name="計算", peer_id="a"), view(name="z", peer_id="b")))
    rows = [line for line in shown(screen) if "alive     " in line]
    assert len({cell_len(line[: line.index("alive")]) for line in rows}) == 1


def test_a_terminal_without_unicode_gets_ascii() -> None:
    assert "".join(shown(screen_of(2), encoding="ascii")).isascii()


def test_a_screen_has_colours_for_states_and_the_selection_stands_out() -> None:
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True, color_system="standard")
    with console.capture() as capture:
        console.print(View(screen_of(2), Controls(selected="id-1"), "default"))
    text = capture.get()
    assert "\x1b[32malive" in text
    assert "\x1b[1;7mcalc-1" in text


def test_who_is_gone_is_faint() -> None:
    board = Board()
    board.update(snapshot(0, view()))
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True, color_system="standard")
    with console.capture() as capture:
        console.print(table(board.update(snapshot(1, view(state="dead"))).rows, width=80)[1])
        console.print(table(board.update(snapshot(2)).rows, width=80)[1])
    dead, gone = capture.get().splitlines()
    assert "\x1b[1;31mdead" in dead
    assert gone.startswith("\x1b[2mcalc-1")
