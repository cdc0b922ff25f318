"""The layers of the tree, and what every file of it keeps to."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.layers import OWN_PACKAGES, Layer, Source, breaches

PROJECT = Path(__file__).parent.parent

_CORE = ("msgspec", "mesh.errors", "mesh.config", "mesh.core.*", "discovery.model")
_PUBLIC = ("mesh", "discovery", "mesh.signals", "mesh.cli.*", "mesh.top.*", "rich", "argcomplete")
_WORKERS = (*_CORE, "mesh.workers.*")
_MONITOR = tuple(f"mesh.top.{name}" for name in ("board", "columns", "probe", "rows"))
"""What mesh-top knows of a mesh, without its screen."""

# The first layer that holds a module is its own. What is not named here may not be imported, so that each
# foreign library has one place: zmq in mesh/io, tenacity in mesh/io/retry.py, zeroconf in discovery/mdns.
LAYERS = (
    Layer("discovery.mdns.*", ("discovery.*", "zeroconf")),
    Layer("discovery.interfaces", ("discovery.*", "ifaddr")),
    # Browsers that threads call: they have a lock, and the time, which the pure table is given; and a file.
    Layer("discovery.memory", ("discovery.*",)),
    Layer("discovery.merged", ("discovery.*",)),
    Layer("discovery.warm", ("discovery.*",)),
    Layer("discovery.cache", ("discovery.*",)),
    Layer("discovery.*", ("discovery.*",), pure=True),
    Layer("mesh.errors", (), pure=True),
    Layer("mesh.config", ("mesh.errors",), pure=True),
    Layer("mesh.core.*", _CORE, pure=True),
    Layer("mesh.sim.*", (*_CORE, "mesh.sim.*"), pure=True),
    Layer("mesh.io.retry", ("mesh.errors", "mesh.config", "tenacity")),
    Layer("mesh.io.*", (*_CORE, "mesh.io.*", "zmq")),
    Layer("mesh.top.figures", (), pure=True),
    Layer("mesh.top.rows", ("mesh", "mesh.top.figures"), pure=True),
    Layer("mesh.top.board", ("mesh", "mesh.top.rows"), pure=True),
    Layer("mesh.top.columns", ("mesh.top.figures", "mesh.top.rows"), pure=True),
    Layer("mesh.top.keys", (), pure=True),
    Layer("mesh.top.controls", ("mesh.top.columns", "mesh.top.rows"), pure=True),
    *(
        Layer(f"mesh.top.{name}", ("mesh", "discovery", "mesh.top.*", "rich"), pure=True)
        for name in ["table", "sheets", "view"]
    ),
    *(
        Layer(f"mesh.workers.{name}", _WORKERS, pure=True)
        for name in ["actions", "events", "gate", "messages", "policy", "process", "supervisor", "suspects", "wording"]
    ),
    Layer("mesh.workers.*", (*_WORKERS, "discovery", "mesh.*")),
    *(
        Layer(f"mesh.doctor.{name}", ("discovery.model", "discovery.hearing", "mesh.doctor.*"), pure=True)
        for name in [
            "finding",
            "findings",
            "firewall",
            "network_findings",
            "observations",
            "reach_findings",
            "report",
            "server_findings",
        ]
    ),
    *(
        Layer(f"mesh.spool.{name}", ("msgspec", "mesh.errors", "mesh.spool.*"), pure=True)
        for name in ["record", "bundle", "counters", "quota", "wal", "ranges", "batch", "recent"]
    ),
    Layer("mesh.spool.letters", ("msgspec", "mesh.spool.bundle"), pure=True),
    Layer("mesh.spool.courier", ("mesh.core.backoff", "mesh.spool.letters", "mesh.spool.ranges"), pure=True),
    *(
        Layer(f"mesh.spool.listen.{name}", ("msgspec", "mesh.errors", "mesh.spool.listen.*"), pure=True)
        for name in ["accounting", "entry", "framing", "syslog", "window"]
    ),
    Layer("mesh.spool.listen.attributes", ("mesh.errors", "mesh.spool.listen.*", "pyrad")),
    Layer(
        "mesh.spool.listen.*", (*_CORE, "mesh.environment", "mesh.io.link", "mesh.spool.record", "mesh.spool.listen.*")
    ),
    *(
        Layer(f"mesh.spool.{name}", (*_CORE, "mesh.failure", "mesh.request", "mesh.service", "mesh.spool.*"))
        for name in ["inbox", "warehouse"]
    ),
    Layer("mesh.spool.*", (*_CORE, "mesh.aio", "mesh.notify", "mesh.typed", "mesh.workers.actions", "mesh.spool.*")),
    Layer("mesh.cli.warehouse", ("mesh", "mesh.cli.*", "mesh.spool.ledger", "mesh.spool.warehouse", "rich")),
    Layer(
        "mesh.cli.*",
        (
            *_PUBLIC,
            *("mesh.doctor.*", "mesh.gateway.*", "mesh.logs", "mesh.metrics", "mesh.notify", "mesh.spool.*"),
            "mesh.workers.*",
        ),
    ),
    Layer("mesh.top.*", _PUBLIC),
    *(
        Layer(f"mesh.gateway.{name}", ("mesh", "msgspec", "mesh.gateway.*"), pure=True)
        for name in ["answers", "guard", "headers", "openapi", "problem", "settings", "statuses"]
    ),
    Layer(
        "mesh.gateway.*",
        (
            *("mesh", "msgspec", "mesh.environment", "mesh.gateway.*", "mesh.metrics", "mesh.spool.deferred"),
            *("mesh.spool.outcomes", *_MONITOR, "starlette", "uvicorn"),
        ),
    ),
    Layer("mesh.metrics.labels", (), pure=True),
    Layer("mesh.tracing.*", (*_CORE, "mesh.instruments", "mesh.io.serving", "mesh.tracing.*", "opentelemetry")),
    Layer(
        "mesh.metrics.*", (*_CORE, "mesh.aio", "mesh.sync", "mesh.metrics.*", "mesh.spool.record", "prometheus_client")
    ),
    Layer("mesh.*", (*_CORE, "mesh.*", "discovery.*")),
)


def sources() -> list[Source]:
    return [Source(PROJECT, path) for package in OWN_PACKAGES for path in (PROJECT / package).rglob("*.py")]


def test_each_module_imports_what_its_layer_may() -> None:
    found = [breach for source in sources() for breach in breaches(source, LAYERS)]
    assert not found, "\n" + "\n".join(found)


BROKEN = [
    ("mesh/core/x.py", "import zmq", "mesh.core.* may not import zmq"),
    ("mesh/core/x.py", "import time", "mesh.core.* is pure and may not import time"),
    ("mesh/core/x.py", "def f():\n    import os.path", "2: mesh.core.* is pure and may not import os"),
    ("mesh/core/x.py", "from mesh import io", "may not import mesh.io"),
    ("mesh/core/x.py", "from mesh import Client", "may not import mesh;"),
    ("mesh/core/x.py", "from ..io import link", "may not import mesh.io.link"),
    ("mesh/core/x.py", "from discovery import Peer", "may not import discovery;"),
    ("mesh/core/x.py", "from random import choice", "may not use random.choice"),
    (
        "mesh/core/x.py",
        "import random\nrandom.random()",
        "2: mesh.core.* is pure and may not use random.random",
    ),
    ("mesh/core/x.py", "__import__('zmq')", "may not import by __import__"),
    ("mesh/core/x.py", "for x in {1, 2}: pass", "a set has no order"),
    ("mesh/core/x.py", "[x for x in set(y)]", "a set has no order"),
    ("mesh/core/x.py", "z = [*frozenset(y)]", "a set has no order"),
    ("mesh/core/x.py", "list({x for x in y})", "a set has no order"),
    ("mesh/core/x.py", "', '.join(set(y))", "a set has no order"),
    ("mesh/core/__init__.py", "from .. import io", "may not import mesh.io"),
    ("mesh/sim/x.py", "from mesh.io import link", "mesh.sim.* may not import mesh.io.link"),
    ("mesh/errors.py", "import mesh.config", "mesh.errors may not import mesh.config"),
    ("mesh/io/link.py", "import tenacity", "mesh.io.* may not import tenacity"),
    ("mesh/io/retry.py", "import zmq", "mesh.io.retry may not import zmq"),
    ("mesh/sync.py", "import zmq", "mesh.* may not import zmq"),
    ("mesh/sync.py", "from rich import print", "mesh.* may not import rich"),
    ("mesh/cli/x.py", "import mesh.sync", "mesh.cli.* may not import mesh.sync"),
    ("mesh/cli/x.py", "from mesh.errors import MeshError", "mesh.cli.* may not import mesh.errors"),
    ("mesh/top/rows.py", "import rich", "mesh.top.rows may not import rich"),
    ("discovery/table.py", "import zeroconf", "discovery.* may not import zeroconf"),
    ("discovery/mdns.py", "import mesh", "discovery.mdns.* may not import mesh"),
]

ALLOWED = [
    ("mesh/core/x.py", "import random\nrng: random.Random"),
    ("mesh/core/x.py", "from random import Random\nfor x in sorted(set(y)): pass\n1 in {1, 2}"),
    ("mesh/core/x.py", "import msgspec.json\nfrom mesh.core import events\nfrom discovery.model import Peer"),
    ("mesh/io/link.py", "import zmq.backend, time, threading"),
    ("mesh/cli/x.py", "from mesh import Client, io_name\nimport rich.table"),
    ("mesh/__init__.py", "from mesh.sync import Client"),
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A project with the folders that the samples name."""
    for folder in ("mesh/core", "mesh/io", "mesh/sim", "mesh/cli", "mesh/top", "discovery"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "__init__.py").touch()
    (tmp_path / "mesh/io/link.py").touch()
    (tmp_path / "mesh/io_name.py").touch()
    (tmp_path / "mesh/__init__.py").write_text("from mesh.io_name import io_name")
    return tmp_path


def check(tree: Path, path: str, text: str) -> list[str]:
    (tree / path).write_text(text)
    return breaches(Source(tree, tree / path), LAYERS)


@pytest.mark.parametrize(("path", "text", "complaint"), BROKEN)
def test_a_breach_is_reported_with_its_line(tree: Path, path: str, text: str, complaint: str) -> None:
    found = check(tree, path, text)
    assert len(found) == 1
    assert found[0].startswith(f"{path}:{text.count(chr(10)) + 1}: ")
    assert complaint in found[0]


@pytest.mark.parametrize(("path", "text"), ALLOWED)
def test_what_the_layer_may_do_is_not_reported(tree: Path, path: str, text: str) -> None:
    assert check(tree, path, text) == []


LINES_MAX = 1000

# Put together from halves, so that this file keeps its own rules.
TEXT_RULES = {
    "has a tab": re.compile("\t"),
    "has a note without a text": re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X)\b(?!.*\w)"),
    "names a path of one machine": re.compile(r"(?<!\w)(/wo" + "rk/|/ho" + "me/)"),
}


def text_files() -> Iterator[tuple[Path, str]]:
    """Yield every file that belongs to the project and is text, with its content."""
    for path in [*PROJECT.iterdir(), *(path for top in _FOLDERS for path in (PROJECT / top).rglob("*"))]:
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
            try:
                yield path, path.read_text(encoding="utf-8")
            except UnicodeDecodeError:  # a picture
                continue


_FOLDERS = (*OWN_PACKAGES, "tests", "scripts", ".ci")


def untidiness(path: Path, text: str) -> list[str]:
    """Return what is wrong with a file, one ``file:line: what`` each."""
    lines = text.splitlines()
    found = [
        f"{path}:{number}: {what}"
        for number, line in enumerate(lines, start=1)
        for what, pattern in TEXT_RULES.items()
        if pattern.search(line)
    ]
    if len(lines) > LINES_MAX:
        found.append(f"{path}:{LINES_MAX}: has {len(lines)} lines; which noun wants its own file?")
    if path.suffix == ".py":
        tree = ast.parse(text)
        if tree.body and not ast.get_docstring(tree):
            found.append(f"{path}:1: has no docstring")
    return found


def test_every_file_is_tidy() -> None:
    found = [line for path, text in text_files() for line in untidiness(path.relative_to(PROJECT), text)]
    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("x.txt", "a\n\tb", "x.txt:2: has a tab"),
        ("x.txt", "# TO" + "DO:", "x.txt:1: has a note without a text"),
        ("x.txt", "cd /wo" + "rk/main", "x.txt:1: names a path of one machine"),
        ("x.txt", "line\n" * 1001, "x.txt:1000: has 1001 lines; which noun wants its own file?"),
        ("x.py", "import os", "x.py:1: has no docstring"),
    ],
)
def test_untidiness_is_reported_with_its_line(name: str, text: str, complaint: str) -> None:
    assert untidiness(Path(name), text) == [complaint]


@pytest.mark.parametrize(("name", "text"), [("x.py", ""), ("x.txt", "# TO" + "DO: say it\n" * 3)])
def test_tidy_text_is_not_reported(name: str, text: str) -> None:
    assert untidiness(Path(name), text) == []
