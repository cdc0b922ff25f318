"""Every error of the packages has its exit code, and the help names them all."""

from __future__ import annotations

import inspect

import pytest

import discovery
import mesh
from mesh import (
    CallTimeout,
    ClosedError,
    ConfigError,
    LocalProtocolError,
    NoServer,
    OutcomeUnknown,
    Overloaded,
    RemoteError,
    RemoteProtocolError,
    Status,
)
from mesh.cli.exits import EPILOG, Exit, UsageError, exit_code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("x"), 2),
        (ConfigError("x"), 2),
        (LocalProtocolError("x"), 2),
        (discovery.DiscoveryValueError("x", "y", "z"), 2),
        (NoServer("x"), 3),
        (CallTimeout("x"), 4),
        (Overloaded("x"), 5),
        (OutcomeUnknown("x"), 6),
        (RemoteProtocolError("x"), 7),
        (discovery.DiscoveryError("x", "y", "z"), 8),
        (ClosedError("x"), 1),
        (RemoteError("x", code=Status.INVALID_ARGUMENT), 67),
        (RemoteError("x", code=Status.UNAUTHENTICATED), 80),
    ],
)
def test_each_error_has_its_code(error: Exception, code: int) -> None:
    assert exit_code(error) == code


def test_the_errors_of_a_call_can_be_told_apart() -> None:
    public = [getattr(mesh, name) for name in mesh.__all__]
    ends = [kind for kind in public if inspect.isclass(kind) and issubclass(kind, mesh.CallError)]
    codes = [exit_code(kind("x")) for kind in ends if kind is not mesh.CallError]
    assert len(set(codes)) == len(codes) == 5
    assert Exit.FAILED not in codes


def test_the_help_names_every_code() -> None:
    named = {line.split()[0] for line in EPILOG.splitlines() if line.startswith("  ")}
    assert named == {*(str(int(code)) for code in Exit), "65-80"}
