"""Checks of imports and purity by reading the source; tests/test_architecture.py has the table of layers."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Layer", "Source", "breaches"]

OWN_PACKAGES = ("mesh", "discovery")

IMPURE_MODULES = {
    *(
        "zmq",
        "zeroconf",
        "asyncio",
        "threading",
        "socket",
        "time",
        "os",
        "sqlite3",
        "logging",
        "uuid",
        "secrets",
    ),
    # The same through another door.
    *("datetime", "select", "selectors", "concurrent", "multiprocessing", "subprocess", "importlib"),
}
"""What has a clock, a socket, a thread, a file, or randomness of its own."""

_ITERATING_CALLS = {"list", "tuple", "iter", "enumerate", "zip", "map", "filter"}


@dataclass(frozen=True)
class Layer:
    """Modules that share a rule about what they may import."""

    modules: str
    """Dotted name; with ``.*`` at the end the package itself and everything below it."""
    may_import: tuple[str, ...]
    """What is allowed beside the standard library, in the same form."""
    pure: bool = False
    """Whether clocks, sockets, threads, randomness and the order of sets are banned too."""

    def holds(self, module: str) -> bool:
        """Tell whether a module belongs to this layer."""
        return _matches(module, self.modules)


@dataclass(frozen=True)
class Source:
    """One file of the tree that is checked."""

    root: Path
    """The folder that holds the packages."""
    path: Path
    """The file, below the root."""

    @property
    def module(self) -> str:
        """The dotted name; a package's is that of its folder."""
        parts = self.path.relative_to(self.root).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def package(self) -> str:
        """The dotted name of the package that relative imports start from."""
        return self.module if self.path.name == "__init__.py" else self.module.rpartition(".")[0]


def breaches(source: Source, layers: tuple[Layer, ...]) -> list[str]:
    """Return ``file:line: what is wrong`` for each breach of the rules of the first layer that holds it."""
    layer = next(layer for layer in layers if layer.holds(source.module))
    tree = ast.parse(source.path.read_text(encoding="utf-8"))
    found = list(_import_breaches(source, tree, layer))
    if layer.pure:
        found += _purity_breaches(tree, layer)
    return [f"{source.path.relative_to(source.root)}:{line}: {what}" for line, what in sorted(found)]


def _import_breaches(source: Source, tree: ast.Module, layer: Layer) -> Iterator[tuple[int, str]]:
    allowed = ", ".join(layer.may_import) or "nothing else"
    for line, target in _imports(source, tree):
        root = target.partition(".")[0]
        name = target if root in OWN_PACKAGES else root
        if name in sys.stdlib_module_names:
            if layer.pure and name in IMPURE_MODULES:
                yield line, f"{layer.modules} is pure and may not import {name}"
        elif not any(_matches(name, entry) for entry in layer.may_import):
            yield line, f"{layer.modules} may not import {name}; beside the standard library only {allowed}"


def _imports(source: Source, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and full name of each imported module, also inside functions and under TYPE_CHECKING."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = source.package.split(".")
                base = ".".join([*above[: len(above) + 1 - node.level], *filter(None, [base])])
            for alias in node.names:
                submodule = f"{base}.{alias.name}"
                yield node.lineno, submodule if _is_submodule(source.root, base, alias.name) else base


def _is_submodule(root: Path, package: str, name: str) -> bool:
    """Tell whether ``from package import name`` gives a module, not a name that the package exports."""
    folder = root.joinpath(*package.split("."))
    if not (folder / name).is_dir() and not (folder / f"{name}.py").is_file():
        return False
    exported = ast.parse((folder / "__init__.py").read_text(encoding="utf-8")) if folder.is_dir() else None
    return exported is None or not any(
        isinstance(node, ast.ImportFrom) and any((alias.asname or alias.name) == name for alias in node.names)
        for node in exported.body
    )


def _purity_breaches(tree: ast.Module, layer: Layer) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "random":
            for alias in node.names:
                if alias.name != "Random":
                    yield node.lineno, _random_breach(layer, alias.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "random" and node.attr != "Random":
                yield node.lineno, _random_breach(layer, node.attr)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "__import__":
            yield node.lineno, f"{layer.modules} is pure and may not import by __import__"
        for iterated in _iterated(node):
            if _is_set(iterated):
                yield (
                    iterated.lineno,
                    f"{layer.modules} is pure and a set has no order; iterate over sorted(…)",
                )


def _random_breach(layer: Layer, name: str) -> str:
    return f"{layer.modules} is pure and may not use random.{name}; draw from the random.Random that is given"


def _iterated(node: ast.AST) -> list[ast.expr]:
    """Return the expressions whose order of elements ``node`` lets through."""
    match node:
        case ast.For(iter=iterated) | ast.AsyncFor(iter=iterated) | ast.comprehension(iter=iterated):
            return [iterated]
        case ast.Starred(value=value):
            return [value]
        case ast.Call(func=ast.Name(id=name), args=args) if name in _ITERATING_CALLS:
            return args
        case ast.Call(func=ast.Attribute(attr="join" | "extend"), args=args):
            return args
    return []


def _is_set(node: ast.expr) -> bool:
    match node:
        case ast.Set() | ast.SetComp() | ast.Call(func=ast.Name(id="set" | "frozenset")):
            return True
    return False


def _matches(name: str, entry: str) -> bool:
    package = entry.removesuffix(".*")
    return name == package or (package != entry and name.startswith(f"{package}."))
