"""What `import mesh` costs: nothing that is not used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import mesh

_HEAVY = ("zmq", "zeroconf", "asyncio", "msgspec")
_NOT_FOR_CLIENTS = ("zeroconf", "mesh.hosting", "mesh.io.hosts", "mesh.io.serving", "tenacity")


def imported_by(program: str, names: tuple[str, ...] = _HEAVY) -> list[str]:
    """Return which of these packages a program has imported at its end."""
    shown = f"import sys; {program}; print([name for name in {names} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", shown], capture_output=True, text=True, check=True)
    return [name for name in names if f"'{name}'" in run.stdout]


def test_a_program_pays_for_what_it_uses() -> None:
    assert imported_by("from mesh import NoServer") == []
    named = imported_by("from mesh import Client; Client(['127.0.0.1:1'], discover=False).close()")
    assert named == ["zmq", "msgspec"]
    assert imported_by("from mesh import Client; Client().close()") == list(_HEAVY)


@pytest.mark.parametrize("client", ["mesh.Client", "mesh.AsyncClient"])
def test_a_client_does_not_pay_for_what_servers_use(client: str) -> None:
    assert imported_by(f"import mesh; {client}", _NOT_FOR_CLIENTS) == []
    assert imported_by("import mesh.hosting, mesh.io.hosts", _NOT_FOR_CLIENTS[1:]) == list(_NOT_FOR_CLIENTS[1:])


def test_an_unknown_name_is_refused() -> None:
    name = "Clint"  # type checkers refuse it if it is written out
    with pytest.raises(AttributeError, match="module 'mesh' has no attribute 'Clint'"):
        getattr(mesh, name)
