"""Rules that hold for every test: loopback only, nothing left behind, reproducible."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import hypothesis
import pytest

from tests.helpers import leaks, needs

# The user's own settings would change what the tests do; these say how they are run.
_KEPT = {"MESH_VENV", "MESH_REQUIRE_ALL"}
for _name in [name for name in os.environ if name.startswith("MESH_") and name not in _KEPT]:
    del os.environ[_name]
# Before any test module is imported: no multicast packet may leave this machine.
os.environ["MESH_INTERFACE"] = "127.0.0.1"
# Loopback is shared by the whole machine: servers that run beside the tests are none of theirs.
os.environ["MESH_REALM"] = f"tests-{os.getpid()}"

# What one test has seen is no business of the next, nor of the user.
os.environ["MESH_NO_CACHE"] = "1"

# A busy machine is no failure, hence no deadline. CI tries the same examples each time and keeps none.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip or fail a test whose needs are not met, before its fixtures are made."""
    needs.check_needs(item)


@pytest.fixture(autouse=True)
def nothing_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that leaves a thread, an event loop, a task, a socket or a ZeroMQ context behind.

    It is set up before every other fixture of a test and so looks after they have cleaned up. What a fixture
    of a wider scope holds is not held against the test that happens to be the first to use it.
    """
    threads = set(threading.enumerate())
    sockets = leaks.open_sockets()
    loops = leaks.LoopWatch(monkeypatch)
    yield
    found = [
        leaks.wait_until_gone(lambda: leaks.new_threads(threads), "threads"),
        loops.leaked(),
        leaks.wait_until_gone(lambda: leaks.new_sockets(sockets), "sockets or ZeroMQ contexts"),
    ]
    if complaint := "; ".join(filter(None, found)):
        pytest.fail(complaint, pytrace=False)
