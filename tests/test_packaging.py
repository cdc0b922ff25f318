"""What a user gets: the wheel, and the scripts on a machine that lacks something."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """The wheel, built from a copy of the tree in which a document stands beside the code."""
    tree = tmp_path_factory.mktemp("tree")
    for name in ("mesh", "discovery"):
        shutil.copytree(PROJECT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(PROJECT / name, tree)
    (tree / "mesh" / "WIRE.md").write_text("The protocol.")
    (tree / "mesh" / "__pycache__").mkdir()
    (tree / "mesh" / "__pycache__" / "errors.cpython-311.pyc").touch()
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"], cwd=tree, check=True)
    [built] = (tree / "dist").iterdir()
    return zipfile.Path(built)


def test_the_wheel_holds_the_two_packages_with_the_page_and_nothing_else(wheel: zipfile.Path) -> None:
    names = {entry.filename for entry in wheel.root.infolist() if not entry.is_dir()}
    tree = Path(str(wheel.root.filename)).parent.parent
    modules = {path.relative_to(tree).as_posix() for path in tree.rglob("*.py")}
    page = {f"mesh/gateway/page/{name}" for name in ("index.html", "page.css", "page.js", "icon.svg")}
    assert {name for name in names if ".dist-info/" not in name} == modules | page | {
        "mesh/py.typed",
        "mesh/spool/listen/dictionary.radius",
        "discovery/py.typed",
    }


def test_the_wheel_names_its_programs_and_its_licence(wheel: zipfile.Path) -> None:
    [info] = [path for path in wheel.iterdir() if path.name.endswith(".dist-info")]
    programs = ConfigParser()
    programs.read_string((info / "entry_points.txt").read_text())
    assert dict(programs["console_scripts"]) == {
        "mesh": "mesh.cli.main:main",
        "mesh-top": "mesh.top.app:main",
    }
    assert "The freelance-mesh authors" in (info / "licenses" / "LICENSE").read_text()


@pytest.mark.parametrize(
    ("python", "sentence"),
    [
        # The first call asks for the version, which is too old; the second prints it.
        (
            'case $1 in -c) exit 1;; --version) echo "Python 3.9.2";; esac',
            "Python 3.11 or newer is needed and Python 3.9.2 was found; "
            "on Debian 12 or newer: apt-get install python3 python3-venv",
        ),
        (
            "case $2 in *ensurepip*) exit 1;; *print*) echo 3.12;; esac",
            "Python 3.12 cannot make a virtual environment, its venv or ensurepip module is missing; "
            "on Debian: apt-get install python3.12-venv",
        ),
    ],
)
def test_the_scripts_say_what_the_machine_lacks(tmp_path: Path, python: str, sentence: str) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("python3", "python3.11", "python3.12", "python3.13", "python3.14"):
        (programs / name).write_text(f"#!/bin/sh\n{python}\n")
        (programs / name).chmod(0o755)
    run = subprocess.run(
        [PROJECT / "scripts" / "test"],
        env={"PATH": f"{programs}:{os.defpath}", "MESH_VENV": str(tmp_path / "venv")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (1, "", f"test: {sentence}\n")


def test_check_refuses_an_unknown_argument() -> None:
    run = subprocess.run([PROJECT / "scripts" / "check", "--fx"], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr == "check: the argument --fx is unknown; use scripts/check or scripts/check --fix\n"
