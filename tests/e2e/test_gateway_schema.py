"""The gateway keeps to its own description: schemathesis makes requests up from it, and looks at the answers."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest

from tests.e2e.test_gateway import PROGRAM, gateway
from tests.helpers import spawn

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.network]

_HERE = Path(__file__).parent
_PHASES = "coverage,fuzzing"
_EXAMPLES = 3


@pytest.mark.timeout(180)  # 10 s on a machine that has nothing else to do
def test_no_answer_is_a_fault_or_differs_from_the_description(tmp_path: Path) -> None:
    realm = f"schema-{os.getpid()}"
    serve = [PROGRAM, "serve", str(_HERE / "gateway_typed.py"), "--bind", "tcp://127.0.0.1:0"]
    spool = ["--spool", str(tmp_path / "calls")]
    with spawn(serve, env={"MESH_REALM": realm}), gateway(realm, *spool) as (_, port):
        run = ["--config-file", str(_HERE / "schemathesis.toml"), "run", f"http://127.0.0.1:{port}/openapi.json"]
        bounds = ["--checks", "all", "--phases", _PHASES, "--max-examples", str(_EXAMPLES), "--no-color"]
        environment = {"SCHEMATHESIS_HOOKS": "tests.e2e.schemathesis_hooks", "PYTHONPATH": str(_HERE.parent.parent)}
        program = str(Path(sys.executable).parent / "schemathesis")
        with spawn(["env", f"--chdir={tmp_path}", program, *run, *bounds], env=environment) as process:
            code = process.wait(150.0)
    said = "\n".join(process.lines)
    assert code == 0, said
    assert "Tested: 13" in said
    assert re.search(r"\b(\d+) generated, \1 passed", said), said
