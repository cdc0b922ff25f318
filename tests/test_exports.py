"""The public names of both packages, and that their front doors hold no logic."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
from pathlib import Path
from types import ModuleType

import pytest

PROJECT = Path(__file__).parent.parent


@pytest.fixture(params=["mesh", "discovery"])
def package(request: pytest.FixtureRequest) -> ModuleType:
    """Each of the two packages."""
    return importlib.import_module(request.param)


def init_body(package: ModuleType) -> list[ast.stmt]:
    return ast.parse((PROJECT / package.__name__ / "__init__.py").read_text(encoding="utf-8")).body


def public_names(package: ModuleType) -> list[str]:
    assert hasattr(package, "__all__") or not init_body(package), f"{package.__name__} has no __all__"
    return list(getattr(package, "__all__", []))


def has_own_docstring(value: object) -> bool:
    """Tell whether a class or function is documented; the text that @dataclass generates does not count."""
    generated = f"{value.__name__}(" if isinstance(value, type) and dataclasses.is_dataclass(value) else None
    text = value.__doc__ or ""
    return bool(text) and not (generated and text.startswith(generated))


def is_harmless(statement: ast.stmt) -> bool:
    """Tell whether a statement may stand in a package's front door."""
    match statement:
        case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant(value=str())):
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING"), body=body, orelse=[]):
            return all(map(is_harmless, body))
        case ast.Assign(targets=[ast.Name(id="__all__" | "__version__")]):
            return True
        case ast.If(
            test=ast.UnaryOp(op=ast.Not(), operand=ast.Name(id="TYPE_CHECKING")),
            body=[ast.FunctionDef(name="__getattr__")],
            orelse=[],
        ):
            return True
    return False


def test_public_names_resolve(package: ModuleType) -> None:
    assert [name for name in public_names(package) if not hasattr(package, name)] == []


def test_public_names_are_sorted_and_named_once(package: ModuleType) -> None:
    names = public_names(package)
    # The order that the linter makes: constants, classes, functions.
    assert names == sorted(set(names), key=lambda name: (not name.isupper(), not name[0].isupper(), name))


def test_public_names_are_documented(package: ModuleType) -> None:
    values = {name: getattr(package, name) for name in public_names(package)}
    undocumented = [
        name
        for name, value in values.items()
        if (inspect.isclass(value) or inspect.isroutine(value)) and not has_own_docstring(value)
    ]
    assert undocumented == []


def test_the_front_door_has_no_logic(package: ModuleType) -> None:
    found = [
        f"{package.__name__}/__init__.py:{statement.lineno}"
        for statement in init_body(package)
        if not is_harmless(statement)
    ]
    assert found == []


def test_type_checkers_know_every_public_name(package: ModuleType) -> None:
    imports = [node for top in init_body(package) for node in ast.walk(top) if isinstance(node, ast.ImportFrom)]
    known = {alias.asname or alias.name for node in imports for alias in node.names}
    assert set(public_names(package)) - known == set()


@pytest.mark.parametrize(
    "text",
    [
        "x = 1",
        "def f(): pass",
        "if y:\n    import x",
        "print()",
        "class C: pass",
        # Type checkers, who would see it, could report no mistyped name.
        "def __getattr__(name): pass",
    ],
)
def test_logic_is_found(text: str) -> None:
    assert not is_harmless(ast.parse(text).body[0])


def test_a_docstring_made_by_dataclass_does_not_count() -> None:
    @dataclasses.dataclass
    class Bare:
        number: int

    class Documented:
        """It says what it is."""

    assert not has_own_docstring(Bare)
    assert has_own_docstring(Documented)
