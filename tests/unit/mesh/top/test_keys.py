"""Keys: what terminals send for them."""

from __future__ import annotations

import pytest

from mesh.top.keys import keys_in


@pytest.mark.parametrize(
    ("typed", "keys"),
    [
        ("q/é計", ["q", "/", "é", "計"]),
        ("\x1b[A\x1bOB\x1b[5~\x1b[6~\x1b[H\x1bOF", ["up", "down", "page up", "page down", "home", "end"]),
        ("\r\n\x7f\x15", ["enter", "enter", "backspace", "clear line"]),
        ("\x1b", ["escape"]),
        ("\x1b\x1b[A", ["escape", "up"]),
        ("a\x1b[C\x1b[Db", ["a", "right", "left", "b"]),
        ("\x1b[1;5A\x1b[200~\x1bq\x0c\x00", []),
        ("", []),
    ],
)
def test_keys_have_names_and_what_means_nothing_is_left_out(typed: str, keys: list[str]) -> None:
    assert keys_in(typed) == keys
