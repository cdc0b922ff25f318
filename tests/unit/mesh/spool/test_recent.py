"""What was just put need not be read back."""

from __future__ import annotations

import pytest

from mesh.spool import recent
from mesh.spool.recent import Recent


def test_rows_are_taken_once_up_to_the_first_that_is_missing() -> None:
    rows = Recent()
    rows.add([(5, b"five"), (6, b"six"), (8, b"eight")])
    assert rows.take(4, 10, 100) == []
    assert rows.take(5, 10, 100) == [(5, b"five"), (6, b"six")]
    assert rows.take(5, 10, 100) == []
    assert rows.take(8, 10, 100) == [(8, b"eight")]


def test_no_more_are_taken_than_asked_for_but_one() -> None:
    rows = Recent()
    rows.add([(key, b"12345") for key in range(1, 6)])
    assert len(rows.take(1, 2, 100)) == 2
    assert len(rows.take(3, 10, 3)) == 1
    assert len(rows.take(4, 10, 10)) == 2


def test_what_is_too_much_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "OCTETS_MAX", 10)
    rows = Recent()
    rows.add([(1, b"123456")])
    rows.add([(2, b"123456")])
    assert rows.take(1, 10, 100) == []
    rows.add([(3, b"123456")])
    assert rows.take(3, 10, 100) == [(3, b"123456")]
