"""File descriptors that run out: who needs some is told before anything is opened."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from mesh.errors import ConfigError
from mesh.io import descriptors as module
from mesh.io.descriptors import check_descriptors, count_descriptors, raise_descriptors

_USE = """
import os, resource, sys
from mesh import Client, ConfigError, Server, Service
resource.setrlimit(resource.RLIMIT_NOFILE, (48, 48))
work = Service("work")

@work.method
def rest() -> None:
    pass

held = [os.open(os.devnull, os.O_RDONLY) for _ in range(int(sys.argv[1]))]
try:
    with eval(sys.argv[2]):
        pass
except ConfigError as error:
    print(error)
"""


@pytest.mark.parametrize("use", ["Client(servers=[])", "Server(work, bind='tcp://127.0.0.1:0')"])
@pytest.mark.parametrize("held", [0, 25])
@pytest.mark.slow
def test_a_client_or_server_that_cannot_have_enough_says_so(use: str, held: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _USE, str(held), use], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    if held:
        assert done.stdout.startswith("this process may have 48 files and sockets open")
        assert "ulimit -n" in done.stdout
    else:
        assert done.stdout == ""


def test_the_limit_is_raised_as_far_as_the_system_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
        most = raise_descriptors()
        assert most == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        assert most > 512 or most == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_descriptors_are_counted() -> None:
    before = count_descriptors()
    with open("/dev/null", encoding="ascii"):
        assert count_descriptors() == before + 1


def test_where_nobody_counts_all_is_well(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> int:
        raise FileNotFoundError

    monkeypatch.setattr(module, "raise_descriptors", lambda: 1)
    with pytest.raises(ConfigError, match="only 0 are left"):
        check_descriptors()
    monkeypatch.setattr(module, "count_descriptors", refuse)
    check_descriptors()
