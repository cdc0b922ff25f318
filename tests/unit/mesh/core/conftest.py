"""Cores for tests; what they are made of is in `harness.py`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.unit.mesh.core.harness import Client, Pair


@pytest.fixture
def client() -> Client:
    """A client that knows nobody, with its default settings."""
    return Client()


@pytest.fixture
def pair() -> Callable[..., Pair]:
    """Make a client core and a server core with a list in between."""
    return Pair
