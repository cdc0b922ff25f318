"""What a test needs of the machine: where that is missing it is skipped, or fails if nothing may be skipped.

``MESH_REQUIRE_ALL=1``, which .ci/run sets, says that nothing may be skipped. The marks are carried out
by ``check_needs``, which tests/conftest.py calls before each test.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess

import pytest

__all__ = ["check_needs", "needs_netns", "needs_program", "needs_root", "needs_timens"]


@functools.cache
def _may_unshare(*options: str) -> bool:
    """Say whether such a namespace can be made: containers often forbid it even to root."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", *options, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0


needs_root = pytest.mark.needs(why="needs root", met=lambda: os.geteuid() == 0)
"""The test runs only as root."""

needs_netns = pytest.mark.needs(
    why="needs network namespaces: be root, in a container with CAP_SYS_ADMIN", met=lambda: _may_unshare("--net")
)
"""The test runs only where ``unshare --net`` works."""

needs_timens = pytest.mark.needs(
    why="needs time namespaces: be root, with Linux 5.6 or newer",
    met=lambda: _may_unshare("--time", "--fork", "--monotonic", "1"),
)
"""The test runs only where ``unshare --time`` works."""


def needs_program(name: str) -> pytest.MarkDecorator:
    """Mark a test that runs only where the program ``name`` is on PATH."""
    return pytest.mark.needs(
        why=f"needs the program {name}: .ci/run installs it", met=lambda: shutil.which(name) is not None
    )


def check_needs(item: pytest.Item) -> None:
    """Skip ``item`` if a need of it is not met, or fail it where nothing may be skipped."""
    for mark in item.iter_markers("needs"):
        if not mark.kwargs["met"]():
            if os.environ.get("MESH_REQUIRE_ALL") == "1":
                pytest.fail(mark.kwargs["why"], pytrace=False)
            pytest.skip(mark.kwargs["why"])
