"""What retries may cost."""

from __future__ import annotations

import pytest

from mesh.core.budget import RetryBudget


def spend(budget: RetryBudget, now: float) -> int:
    """Withdraw until nothing is left."""
    count = 0
    while budget.withdraw(now):
        count += 1
    return count


def test_it_begins_with_ten_seconds_of_the_floor() -> None:
    assert spend(RetryBudget(0.2, 10.0), 5.0) == 100


def test_the_floor_fills_it_with_time_up_to_ten_seconds_worth() -> None:
    budget = RetryBudget(0.2, 10.0)
    spend(budget, 5.0)
    assert spend(budget, 5.05) == 0
    assert spend(budget, 6.05) == 10
    assert spend(budget, 1000.0) == 100


def test_calls_fill_it_by_the_ratio() -> None:
    budget = RetryBudget(0.25, 10.0)
    spend(budget, 5.0)
    for _ in range(100):
        budget.calls += 1
    assert spend(budget, 5.0) == 25
    assert budget.spent == 125


def test_without_a_floor_only_calls_pay() -> None:
    budget = RetryBudget(0.2, 0.0)
    assert spend(budget, 100.0) == 0
    assert budget.wait_s(100.0) is None
    for _ in range(5):
        budget.calls += 1
    assert spend(budget, 200.0) == 1


def test_it_says_when_the_floor_can_pay() -> None:
    budget = RetryBudget(0.2, 10.0)
    assert budget.wait_s(5.0) == 0.0
    spend(budget, 5.0)
    assert budget.wait_s(5.0) == pytest.approx(0.1)
    assert not budget.withdraw(5.099)
    assert budget.withdraw(5.101)


def test_a_hedge_needs_a_share_of_its_own_and_one_of_the_retries() -> None:
    budget = RetryBudget(0.2, 10.0, 0.1)
    assert [budget.withdraw_hedge(5.0) for _ in range(2)] == [True, False], "the first one needs no calls"
    budget.calls += 30
    assert [budget.withdraw_hedge(5.0) for _ in range(4)] == [True, True, True, False]
    assert budget.spent == 4
    budget.calls += 30
    spend(budget, 5.0)
    assert not budget.withdraw_hedge(5.0)


def test_without_a_ratio_there_are_no_hedges() -> None:
    budget = RetryBudget(0.2, 10.0)
    budget.calls += 1000
    assert not budget.withdraw_hedge(5.0)


def test_the_floor_comes_not_on_top_of_what_calls_pay() -> None:
    budget = RetryBudget(0.2, 10.0)
    spend(budget, 5.0)
    paid = 0
    for step in range(1, 101):  # 100 calls a second
        budget.calls += 1
        paid += spend(budget, 5.0 + step / 100)
    assert 19 <= paid <= 21
