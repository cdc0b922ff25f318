"""What `import mesh` costs: nothing that is not used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import mesh

_HEAVY = ("zmq", "zeroconf", "asyncio", "msgspec")


def imported_by(program: str) -> list[str]:
    """Return which of the heavy packages a program has imported at its end."""
    shown = f"import sys; {program}; print([name for name in {_HEAVY} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)
    return [name for name in _HEAVY if f"'{name}'" in run.stdout]


def test_a_program_pays_for_what_it_uses() -> None:
    assert imported_by("from mesh import NoServer") == []
    named = imported_by("from mesh import Client; Client(['127.0.0.1:1'], discover=False).close()")
    assert named == ["zmq", "asyncio", "msgspec"]  # pyzmq imports asyncio by itself
    assert imported_by("from mesh import Client; Client().close()") == list(_HEAVY)


def test_an_unknown_name_is_refused() -> None:
    name = "Clint"  # type checkers refuse it if it is written out
    with pytest.raises(AttributeError, match="module 'mesh' has no attribute 'Clint'"):
        getattr(mesh, name)
