"""The sync API and the one for asyncio are one API: same methods, same order, same signatures, same words."""

from __future__ import annotations

import inspect
import re

import pytest

from mesh import AsyncClient, AsyncServer, AsyncServiceProxy, AsyncSpool, Client, Server, ServiceProxy, Spool

PAIRS = [(Client, AsyncClient), (Server, AsyncServer), (ServiceProxy, AsyncServiceProxy), (Spool, AsyncSpool)]
AT_ONCE = {
    "service",
    "servers",
    "counters",
    "observe",
    "figures",
    "name",
    "peer_id",
    "endpoints",
    "__init__",
    "__getattr__",
}
"""What returns at once in both; everything else waits, and is a coroutine in the asyncio API."""


def public(kind: type) -> dict[str, object]:
    """Return what a class defines for its users, in order; `__enter__` stands for `__aenter__` too."""
    names = {name.replace("__a", "__", 1) if name in ("__aenter__", "__aexit__") else name: name for name in vars(kind)}
    shown = {"__init__", "__enter__", "__exit__", "__getattr__"}
    return {name: vars(kind)[own] for name, own in names.items() if name in shown or not name.startswith("_")}


def same_words(text: str | None) -> str:
    """Return a docstring with the names of the asyncio classes put into those of the sync ones."""
    return re.sub(r"\s+", " ", re.sub(r"Async(?=[A-Z])", "", text or ""))


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=lambda kind: kind.__name__)
def test_both_have_the_same_methods_in_the_same_order(one: type, other: type) -> None:
    assert list(public(one)) == list(public(other))


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=lambda kind: kind.__name__)
def test_both_take_and_return_the_same(one: type, other: type) -> None:
    for name, method in public(one).items():
        if not inspect.isfunction(method):
            continue
        twin = public(other)[name]
        assert inspect.isfunction(twin), name
        assert re.sub("Async(?=[A-Z])", "", str(inspect.signature(twin))) == str(inspect.signature(method)), name


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=lambda kind: kind.__name__)
def test_both_say_the_same_about_themselves(one: type, other: type) -> None:
    for name, member in public(one).items():
        if name != "__init__":
            assert same_words(inspect.getdoc(public(other)[name])) == same_words(inspect.getdoc(member)), name


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=lambda kind: kind.__name__)
def test_the_docstrings_of_both_classes_have_the_same_arguments(one: type, other: type) -> None:
    def arguments(kind: type) -> str:
        return same_words((inspect.getdoc(kind) or "").partition("Args:")[2])

    assert arguments(other) == arguments(one)


@pytest.mark.parametrize(("one", "other"), PAIRS, ids=lambda kind: kind.__name__)
def test_what_waits_is_a_coroutine_and_nothing_else(one: type, other: type) -> None:
    for name, member in public(other).items():
        assert inspect.iscoroutinefunction(member) == (name not in AT_ONCE), name
        assert not inspect.iscoroutinefunction(public(one)[name]), name
