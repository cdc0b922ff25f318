"""The view: every size fits, nothing wraps, no text of a server reaches the terminal unchecked."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from mesh.top.board import Board, Screen
from mesh.top.columns import Order
from mesh.top.controls import Controls
from mesh.top.view import View, table
from tests.helpers.top import snapshot, stats, view


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
    screen: Screen, width: int = 80, height: int = 24, controls: Controls | None = None, *, encoding: str = "utf-8"
) -> list[str]:
    output = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    console = Console(file=output, width=width, height=height, color_system=None, legacy_windows=False)
    console.print(View(screen, controls or Controls(), "default"))
    output.flush()
    return output.buffer.getvalue().decode(encoding).splitlines()


def test_a_screen_of_80_by_24() -> None:
    lines = shown(screen_of(2))
    assert [line.rstrip() for line in lines if line.strip()] == [
        "mesh-top  10:00:01  realm default  2 servers, 2 alive  1 service",
        "calls/s  20.0  errors/s     0  in flight 2  █",
        "NAME^     STATE       SERVICES  CALLS/S  IN FLIGHT  ERRORS     P99     RTT  FROM",
        "calc-0    alive       calc         10.0     1/4096       0  3.00ms  0.42ms  mdns",
        "calc-1    alive       calc         10.0     1/4096       0  3.00ms  0.42ms  mdns",
        "10:00:00  appeared     calc-0  tcp://127.0.0.1:5000 calc",
        "10:00:00  appeared     calc-1  tcp://127.0.0.1:5001 calc",
        "q quit  p pause  s sort by the next column  r reverse  / filter",
    ]
    assert len(lines) == 24


@pytest.mark.parametrize("count", [0, 1, 3, 200])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (10, 3), (20, 5), (60, 15), (80, 24), (300, 100)])
def test_every_size_is_filled_and_not_exceeded(count: int, width: int, height: int) -> None:
    lines = shown(screen_of(count), width, height)
    assert len(lines) == height
    assert max(map(cell_len, lines)) <= width


def test_a_wide_terminal_gets_every_column() -> None:
    titles = shown(screen_of(1), 200)[3].split()
    assert " ".join(titles) == (
        "NAME^ STATE SERVICES CALLS/S IN FLIGHT ERRORS ERR/S P50 P95 P99 RTT UP ADDRESS FROM VERSION NOTE"
    )


def test_the_column_that_sorts_is_always_shown() -> None:
    assert "VERSIONv" in shown(screen_of(1), 60, controls=Controls(order=Order("version", down=True)))[3]


def test_rows_without_room_are_counted() -> None:
    lines = shown(screen_of(200))
    rows = [line for line in lines if line.startswith("calc-")]
    assert f"and {200 - len(rows)} more" in "\n".join(lines)
    assert len(rows) > 8


def test_a_filter_is_applied_and_shown() -> None:
    text = "\n".join(shown(screen_of(20), controls=Controls(filter="calc-19")))
    assert "filter: calc-19" in text
    assert text.count("10.0     1/4096") == 1


def test_an_empty_screen_says_why() -> None:
    assert "no server seen yet: is one running, on this network and in this realm?" in "\n".join(shown(screen_of(0)))
    assert "none of 2 servers fits the filter" in "\n".join(shown(screen_of(2), controls=Controls(filter="x")))


def test_servers_of_other_realms_are_mentioned() -> None:
    stranger = view(state="ignored")
    assert "0 servers  0 services  1 more in other realms" in shown(Board().update(snapshot(0, stranger)))[0]


def test_the_last_line_says_that_the_screen_stands_still_or_what_is_typed() -> None:
    assert shown(screen_of(1), controls=Controls(paused=True))[-1].startswith(" PAUSED ")
    assert shown(screen_of(1), controls=Controls(typing=True, filter="ab"))[-1].startswith("filter: ab ")


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


def test_a_table_for_a_pipe_has_all_columns_and_cuts_no_line() -> None:
    long = view(note="no PONG within 1 s " * 3)
    lines = [line.plain for line in table(Board().update(snapshot(0, long)).rows)]
    assert lines[0].split()[-1] == "NOTE"
    assert lines[1].endswith("no PONG within 1 s")
    assert not any(line.endswith(" ") for line in lines)


def test_states_have_colours_and_who_is_gone_is_faint() -> None:
    board = Board()
    board.update(snapshot(0, view()))
    console = Console(file=io.StringIO(), width=80, height=24, force_terminal=True, color_system="standard")
    with console.capture() as capture:
        console.print(table(board.update(snapshot(1)).rows, width=80)[1])
        console.print(table(board.update(snapshot(2, view(state="dead"))).rows, width=80)[1])
    gone, dead = capture.get().splitlines()
    assert "\x1b[1;2mcalc-1" in gone
    assert "\x1b[1;31mdead" in dead
