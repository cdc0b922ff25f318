"""Pauses between dials."""

from __future__ import annotations

import random

import pytest

from mesh.core.backoff import delay


@pytest.mark.parametrize(
    ("attempt", "bound"), [(1, 0.05), (2, 0.09), (3, 0.162), (4, 0.2916), (8, 2.0), (1000, 2.0), (10**9, 2.0)]
)
def test_a_pause_lies_between_half_its_bound_and_the_bound(attempt: int, bound: float) -> None:
    rng = random.Random(1)
    pauses = [delay(attempt, rng, 0.05, 2.0) for _ in range(500)]
    assert bound / 2 <= min(pauses) < bound * 0.55
    assert bound * 0.95 < max(pauses) <= bound
