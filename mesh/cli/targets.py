"""What `mesh serve` is given: a Python file, an object of a module, or the name of the built-in service."""

from __future__ import annotations

import importlib
import importlib.util
import linecache
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType

import mesh
from mesh import Service
from mesh.cli.echo import echo_service
from mesh.cli.exits import UsageError

__all__ = ["services_of"]

_OTHERS = (os.path.dirname(os.__file__) + os.sep, os.path.dirname(mesh.__file__) + os.sep, "<")
"""Beginnings of the names of files that the user did not write: the standard library, this package, frozen modules."""


def services_of(target: str) -> list[Service]:
    """Return the services that a target names.

    Args:
        target: `FILE.py` (every Service at its top level), `FILE.py:NAME`, `MODULE:NAME`, or the built-in `echo`.

    Raises:
        UsageError: There is no such file, module or object, it holds no Service, or it cannot be imported.
    """
    if target == "echo":
        return [echo_service()]
    place, _, name = target.partition(":")
    if place.endswith(".py"):
        module = _import_file(Path(place))
    elif place and name:
        module = _import_module(place)
    else:
        remedy = f"write {target}:OBJECT" if target.isidentifier() else "write FILE.py, MODULE:OBJECT, or echo"
        raise UsageError(
            f"{target!r} is neither a Python file, nor an object of a module, nor the built-in 'echo'; {remedy}"
        )
    return [_named(module, place, name)] if name else _all(module, place)


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"there is no file {str(path)!r}; name a Python file that holds a Service")
    path = path.resolve()
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))  # what python does with the directory of its script
    # A file called json.py must not take the place of the module that others import by that name.
    name = path.stem if path.stem not in sys.modules else f"mesh_serve_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # the name ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _import_failed(str(path), error) from error
    return module


def _import_module(name: str) -> ModuleType:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # what python -m does
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        missing = error.name or "" if isinstance(error, ModuleNotFoundError) else ""
        if missing and f"{name}.".startswith(f"{missing}."):
            raise UsageError(
                f"there is no module {missing!r} here; start where it can be imported, or name a file"
            ) from None
        raise _import_failed(name, error) from error


def _import_failed(target: str, error: BaseException) -> UsageError:
    """Say where the user's own code failed: the innermost line of it, without the way there."""
    what = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        return UsageError(f"{error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}; correct that line")
    frames = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    own = [frame for frame in frames if not frame[0].startswith(_OTHERS) and "site-packages" not in frame[0]]
    if not own:
        return UsageError(f"{target} cannot be imported: {what}; correct it")
    file, line = own[-1]
    source = linecache.getline(file, line).strip()
    return UsageError(f"{file}:{line}: {what}; correct that line: {source}")


def _named(module: ModuleType, place: str, name: str) -> Service:
    found: object = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise UsageError(f"{place} has no object {name!r}; {_offer(module, place)}")
        found = getattr(found, part)
    if not isinstance(found, Service):
        raise UsageError(f"{place}:{name} is of type {type(found).__name__}, not a Service; {_offer(module, place)}")
    return found


def _all(module: ModuleType, place: str) -> list[Service]:
    found = list(_services(module).values())
    if not found:
        raise UsageError(f"{place} holds no Service; write one at its top level, such as: calc = Service('calc')")
    return found


def _offer(module: ModuleType, place: str) -> str:
    found = _services(module)
    return f"it holds {', '.join(f'{place}:{name}' for name in found)}" if found else "it holds no Service"


def _services(module: ModuleType) -> dict[str, Service]:
    """Return the services at the top level by their first name there, in the order of definition."""
    found: dict[int, tuple[str, Service]] = {}
    for name, value in vars(module).items():
        if isinstance(value, Service):
            found.setdefault(id(value), (name, value))
    return dict(found.values())
