"""What was just put need not be read back."""

from __future__ import annotations

import pytest

from mesh.spool import recent
from mesh.spool.recent import Recent


def test_rows_are_taken_once_up_to_the_first_that_is_missing() -> None:
    rows = Recent()
    rows.add([(5, 1, b"five"), (6, 3, b"six to eight"), (10, 1, b"ten")])
    assert rows.take(4, 10, 100) == []
    assert rows.take(5, 10, 100) == [(5, 1, b"five"), (6, 3, b"six to eight")]
    assert rows.take(5, 10, 100) == []
    assert rows.take(10, 10, 100) == [(10, 1, b"ten")]


def test_no_more_are_taken_than_asked_for_but_one() -> None:
    rows = Recent()
    rows.add([(key, 1, b"12345") for key in range(1, 6)])
    assert len(rows.take(1, 2, 100)) == 2
    assert len(rows.take(3, 10, 3)) == 1
    assert len(rows.take(4, 10, 10)) == 2
    rows.add([(6, 1, b"6"), (7, 5, b"7 to 11")])
    assert len(rows.take(6, 3, 100)) == 1
    assert len(rows.take(7, 3, 100)) == 1


def test_what_is_too_much_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recent, "OCTETS_MAX", 10)
    rows = Recent()
    rows.add([(1, 1, b"123456")])
    rows.add([(2, 1, b"123456")])
    assert rows.take(1, 10, 100) == []
    rows.add([(3, 1, b"123456")])
    assert rows.take(3, 10, 100) == [(3, 1, b"123456")]
