"""What operators see: scrapes that Prometheus takes, a dashboard that finds its metrics, logs as JSON, and units."""

from __future__ import annotations

import configparser
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mesh.cli.parser import COMMANDS, GROUPS, command_parser
from tests.helpers import needs_program, spawn

pytestmark = pytest.mark.e2e

PROJECT = Path(__file__).parent.parent.parent
MESH = [sys.executable, "-m", "mesh.cli.main"]
DASHBOARD = PROJECT / "scripts" / "grafana" / "mesh.json"
UNITS = sorted((PROJECT / "scripts" / "systemd").glob("*.service"))
APPLICATION = """\
import logging
from mesh import Service

calc = Service("calc", version="1.0.0", threads=1)

@calc.method
def divide(a: int, b: int) -> float:
    logging.getLogger("calc").warning("dividing %d", a)
    return a / b
"""


class Scrape:
    """What two workers, a gateway and a spool have told, and what the workers have logged."""

    def __init__(self, workers: str, gateway: str, spool: str, log: list[str]) -> None:
        self.texts = {"workers": workers, "gateway": gateway, "spool": spool}
        self.log = [json.loads(line) for line in log]
        self.samples: dict[str, list[dict[str, str]]] = {}
        """Labels of each sample, by its name."""
        for text in self.texts.values():
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    self.samples.setdefault(sample.name, []).append(sample.labels)


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def post(url: str, arguments: list[int]) -> int:
    request = urllib.request.Request(url, json.dumps(arguments).encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            status: int = answer.status
    except urllib.error.HTTPError as error:
        status = error.code
        error.close()
    return status


@pytest.fixture(scope="module")
def scrape(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scrape]:
    folder = tmp_path_factory.mktemp("observed")
    file = folder / "calc.py"
    file.write_text(APPLICATION)
    realm = {"MESH_REALM": f"observe-{os.getpid()}"}
    serve = ["serve", str(file), "--workers", "2", "--name", "calc", "--metrics", "0", "--log-format", "json"]
    with (
        spawn([*MESH, *serve], env=realm) as workers,
        spawn([*MESH, "gateway", "--listen", "127.0.0.1:0", "--log-format", "json"], env=realm) as gateway,
        spawn([*MESH, "spool", "run", "--dir", str(folder / "spool"), "--metrics", "0"], env=realm) as spool,
    ):
        shown = r"^metrics at (http://127\.0\.0\.1:\d+/metrics)$"
        metrics, kept = (process.wait_line(shown, 40).group(1) for process in (workers, spool))
        for name in ("calc-1", "calc-2"):
            workers.wait_line(rf"^serving calc as {name} on ", 40)
        front = gateway.wait_line(r"^answering on (http://127\.0\.0\.1:\d+)/$", 40).group(1)
        assert [post(f"{front}/v1/call/calc/divide", [4, divisor]) for divisor in (2, 0)] == [200, 500]
        workers.wait_line('"dividing 4"', 10)
        yield Scrape(read(metrics), read(f"{front}/metrics"), read(kept), list(workers.stderr))


def test_one_answer_tells_of_all_workers(scrape: Scrape) -> None:
    assert {labels["server"] for labels in scrape.samples["mesh_server_responding"]} == {"calc-1", "calc-2"}
    assert scrape.samples["mesh_supervisor_workers"] == [{}]
    statuses = {
        labels["rpc_response_status_code"] for labels in scrape.samples["rpc_server_call_duration_seconds_count"]
    }
    assert statuses == {"OK", "UNKNOWN"}


def test_the_gateway_tells_of_its_calls_and_of_the_servers_that_it_sees(scrape: Scrape) -> None:
    [well, failed] = [
        labels
        for labels in scrape.samples["rpc_client_call_duration_seconds_count"]
        if labels["rpc_method"] == "calc.divide"
    ]
    assert (well["rpc_response_status_code"], well["error_type"]) == ("OK", "")
    assert failed["rpc_response_status_code"] == failed["error_type"] == "UNKNOWN"
    assert {"server": "calc-1", "state": "alive"} in scrape.samples["mesh_client_server_state"]


@needs_program("promtool")
@pytest.mark.parametrize("who", ["workers", "gateway", "spool"])
def test_prometheus_finds_nothing_to_better(scrape: Scrape, who: str) -> None:
    run = subprocess.run(
        ["promtool", "check", "metrics"], input=scrape.texts[who], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_every_line_of_the_log_is_a_record_and_those_of_handlers_name_their_call(scrape: Scrape) -> None:
    handled = [line for line in scrape.log if line["logger"] == "calc"]
    assert handled
    for line in handled:
        assert line["message"] == "dividing 4"
        assert line["method"] == "calc.divide"
        assert {"call", "peer", "attempt"} <= line.keys()
        assert line["server"] in ("calc-1", "calc-2")


@pytest.mark.parametrize("command", [["serve"], ["serve", "--workers", "1"]])
def test_what_ends_a_command_is_a_record_too(command: list[str]) -> None:
    words = [*MESH, *command, "no-such-file.py", "--log-format", "json"]
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    assert run.returncode == 2
    [line] = map(json.loads, run.stderr.splitlines())
    assert (line["level"], line["logger"]) == ("WARNING", "mesh")
    assert "there is no file 'no-such-file.py'" in line["message"]


# ---- the dashboard -----------------------------------------------------------------------------------


def panels() -> list[dict[str, Any]]:
    dashboard: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions() -> dict[str, str]:
    return {f"{panel['title']} {target['refId']}": target["expr"] for panel in panels() for target in panel["targets"]}


def test_every_metric_of_the_dashboard_is_in_a_real_scrape(scrape: Scrape) -> None:
    named = set(re.findall(r"\b(?:mesh|rpc)_[a-z0-9_]+(?=[{\"|])", DASHBOARD.read_text()))
    assert len(named) > 30
    assert named - scrape.samples.keys() == set()


def test_every_label_of_the_dashboard_is_in_a_real_scrape(scrape: Scrape) -> None:
    known = {name for samples in scrape.samples.values() for labels in samples for name in labels}
    known |= {"job", "instance"}  # Prometheus' own
    legends = {name for panel in panels() for target in panel["targets"] for name in _words(target["legendFormat"])}
    grouped = {
        name.strip()
        for expression in expressions().values()
        for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression)
        for name in group.split(",")
    }
    selected = {name for text in expressions().values() for name in re.findall(r"[{,](\w+)(?:=~|!~|!=|=)", text)}
    assert (legends | grouped | selected) - known == set()


def _words(legend: str) -> list[str]:
    return re.findall(r"\{\{(\w+)\}\}", legend)


@needs_program("promtool")
def test_prometheus_reads_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    rules = [
        {
            "record": f"panel_{number}",
            "expr": re.sub(r"\$(job|instance|server)", ".*", text).replace("$__rate_interval", "5m"),
        }
        for number, text in enumerate(expressions().values())
    ]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))  # JSON is YAML
    run = subprocess.run(["promtool", "check", "rules", file], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells), panel["title"]
        taken |= cells


@needs_program("promtool")
def test_prometheus_takes_the_example_of_the_readme(tmp_path: Path) -> None:
    [example] = re.findall(r"^```yaml\n(.*?)^```$", (PROJECT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    file = tmp_path / "prometheus.yml"
    file.write_text(example)
    run = subprocess.run(["promtool", "check", "config", file], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


# ---- units of systemd --------------------------------------------------------------------------------


def service(unit: Path) -> dict[str, str]:
    """Return the options of its section [Service]."""
    parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters="=", comment_prefixes="#")
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(unit.read_text().replace("\\\n", " "))
    return dict(parser["Service"])


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: str(unit.stem))
def test_the_command_of_a_unit_is_one_of_ours(unit: Path) -> None:
    program, name, *words = service(unit)["ExecStart"].split()
    assert program.endswith("/bin/mesh")
    command = GROUPS[name][words.pop(0)] if name in GROUPS else COMMANDS[name]
    command_parser(command).parse_intermixed_args(words)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: str(unit.stem))
def test_a_unit_is_watched_and_shut_in(unit: Path) -> None:
    told = service(unit)
    assert told["Type"] == "notify"
    assert int(told["WatchdogSec"]) > 0
    for option, value in (("DynamicUser", "yes"), ("NoNewPrivileges", "yes"), ("ProtectSystem", "strict")):
        assert told[option] == value
    assert "MemoryMax" in told


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: str(unit.stem))
def test_systemd_takes_a_unit(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not here; the other tests have read the unit")
    program = shutil.which("true")
    copy = tmp_path / unit.name
    copy.write_text(re.sub(r"/opt/\w+/venv/bin/mesh", str(program), unit.read_text()))
    run = subprocess.run(["systemd-analyze", "verify", "--man=no", copy], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
