"""What `mesh serve` loads, and what it says when it cannot."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.cli.exits import UsageError
from mesh.cli.targets import services_of

TWO = """\
from mesh import Service
first = Service("first")
second = Service("second")
again = first
class Group:
    inner = Service("inner")
number = 5
"""


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Start in a folder of one's own, and forget what was imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path[:])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def names(target: str) -> list[str]:
    return [service.name for service in services_of(target)]


def refusal(target: str) -> str:
    with pytest.raises(UsageError) as caught:
        services_of(target)
    return str(caught.value)


def test_the_built_in_service_is_echo() -> None:
    [echo] = services_of("echo")
    assert list(echo.methods) == ["echo.echo"]
    assert echo.methods["echo.echo"].raw


def test_a_file_gives_each_of_its_services_once(tmp_path: Path) -> None:
    (tmp_path / "two.py").write_text(TWO)
    assert names("two.py") == ["first", "second"]
    assert names(f"{tmp_path}/two.py:second") == ["second"]
    assert names("two.py:Group.inner") == ["inner"]


def test_a_module_gives_the_named_service(tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "two.py").write_text(TWO)
    assert names("pack.two:first") == ["first"]


def test_a_file_imports_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "helper_of_two.py").write_text(TWO)
    (tmp_path / "sub" / "main.py").write_text("from helper_of_two import second")
    assert names("sub/main.py") == ["second"]


def test_a_file_does_not_take_the_place_of_a_module(tmp_path: Path) -> None:
    import json

    (tmp_path / "json.py").write_text(TWO)
    assert names("json.py") == ["first", "second"]
    assert sys.modules["json"] is json


def test_a_file_is_not_run_as_a_program(tmp_path: Path) -> None:
    (tmp_path / "two.py").write_text(TWO + "if __name__ == '__main__': raise SystemExit(1)\n")
    assert names("two.py") == ["first", "second"]


def test_what_is_not_there_is_said() -> None:
    assert refusal("no.py") == "there is no file 'no.py'; name a Python file that holds a Service"
    assert refusal("nomodule.x:y").startswith("there is no module 'nomodule' here; ")
    assert refusal("calc").endswith(
        "is neither a Python file, nor an object of a module, nor the built-in 'echo'; write calc:OBJECT"
    )
    assert refusal("calc.txt").endswith("; write FILE.py, MODULE:OBJECT, or echo")
    assert refusal(":x").endswith("; write FILE.py, MODULE:OBJECT, or echo")


def test_a_file_without_a_service_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("number = 5")
    assert (
        refusal("empty.py") == "empty.py holds no Service; write one at its top level, such as: calc = Service('calc')"
    )
    assert refusal("empty.py:number") == "empty.py:number is of type int, not a Service; it holds no Service"


def test_an_object_that_is_not_there_is_said_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "two.py").write_text(TWO)
    assert refusal("two.py:third") == "two.py has no object 'third'; it holds two.py:first, two.py:second"
    assert refusal("two:number") == "two:number is of type int, not a Service; it holds two:first, two:second"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x = 1\n1 / 0  # so\n", ":2: ZeroDivisionError: division by zero; correct that line: 1 / 0  # so"),
        ("import nothing_of_that_name\n", ":1: ModuleNotFoundError: No module named 'nothing_of_that_name'; "),
        ("\n\ndef f(:\n", ":3: SyntaxError: invalid syntax; correct that line"),
        ("import json\njson.loads('{')\n", ":2: JSONDecodeError: "),
        ("raise SystemExit(3)\n", ":1: SystemExit: 3; "),
        ("from mesh import Service\nService('bad name')\n", ":2: ConfigError: service name 'bad name': "),
    ],
)
@pytest.mark.parametrize("target", ["broken.py", "broken:x"])
def test_an_error_in_the_users_code_is_shown_with_its_line(
    tmp_path: Path, target: str, text: str, sentence: str
) -> None:
    (tmp_path / "broken.py").write_text(text)
    assert refusal(target).startswith(f"{tmp_path / 'broken.py'}{sentence}")
    assert "broken" not in sys.modules


def test_an_error_in_what_the_users_code_imports_is_shown_there(tmp_path: Path) -> None:
    (tmp_path / "outer.py").write_text("import inner_of_outer")
    (tmp_path / "inner_of_outer.py").write_text("\n\noops")
    assert refusal("outer.py").startswith(
        f"{tmp_path / 'inner_of_outer.py'}:3: NameError: name 'oops' is not defined; "
    )
