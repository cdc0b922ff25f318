"""A share of `python -m scripts.gateway_abuse`: hostile crowds and dying servers do no harm to honest callers."""

from __future__ import annotations

import pytest

from scripts.gateway_abuse import attack, kills

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]


@pytest.mark.parametrize(("name", "count"), [("slow-head", 1500), ("slow-body", 1500)])
def test_no_honest_request_fails_while_a_crowd_attacks(name: str, count: int) -> None:
    result = attack(name, count, 1.0)
    if result.hostile["408"] <= count - 1001:  # not all of them had come before it was over
        result = attack(name, count, 6.0)
    assert result.problems == []
    assert result.answered > 100
    assert result.hostile["408"] > count - 1001  # there is room for a thousand, and the others were shown out


def test_no_request_fails_when_servers_are_killed_under_load() -> None:
    result = kills(2, seed=1)
    assert result.problems == []
    assert result.answered > 200
