"""The syslog clients that people have, logger and rsyslogd, send to `mesh spool run`."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mesh import Spool
from mesh.spool.listen.entry import raw_of
from tests.helpers import Process, free_port, needs_program, spawn, wait_until

pytestmark = [pytest.mark.network, pytest.mark.e2e, needs_program("logger")]

METHOD = "warehouse.ingest"


@dataclass(frozen=True)
class Daemon:
    """`mesh spool run`, which delivers to nobody, on one port of both protocols."""

    process: Process
    path: Path
    port: int

    def entries(self, count: int) -> list[dict[str, Any]]:
        """Return so many records, when they are there."""
        with Spool(self.path, deliver=False) as spool:
            wait_until(lambda: spool.stats().ready >= count, what=f"{count} records")
            return [json.loads(entry.record.body) for entry in spool.peek(10_000) if entry.record]

    def counts(self) -> dict[str, dict[str, int]]:
        """Stop it; return what it has counted by protocol."""
        assert self.process.terminate() == 0
        counts = json.loads(self.process.stdout[-1])["counts"]
        return {endpoint.split()[1][:3]: counted for endpoint, counted in counts.items()}


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Daemon]:
    port = free_port()
    listening = [word for kind in ("udp", "tcp") for word in ("--syslog", f"{kind}://127.0.0.1:{port}")]
    server = f"tcp://127.0.0.1:{free_port()}"
    command = [sys.executable, "-m", "mesh.cli.main", "spool", "run", "--dir", str(folder / "spool")]
    with spawn([*command, *listening, "--to", METHOD, "--server", server, "--json"]) as process:
        process.wait_line('"ready"')
        yield Daemon(process, folder / "spool", port)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    with running(tmp_path) as daemon:
        yield daemon


def log(daemon: Daemon, *words: str) -> None:
    subprocess.run(
        ["logger", "--server", "127.0.0.1", "--port", str(daemon.port), "--tag", "test", *words], check=True, timeout=20
    )


def test_logger_is_understood_over_each_transport_in_each_form(daemon: Daemon) -> None:
    for protocol in (["--udp"], ["--tcp"], ["--tcp", "--octet-count"]):
        for form, data in (("rfc5424", ["--sd-id", "x@1", "--sd-param", 'a="1"']), ("rfc3164", [])):
            text = f"größe of [{form}] over {protocol[-1]}"
            log(daemon, *protocol, f"--{form}", *data, "--priority", "local3.warning", "--id=77", text)
    entries = sorted(daemon.entries(6), key=lambda entry: str(entry["fields"]["message"]))
    assert [entry["transport"] for entry in entries] == ["tcp", "tcp", "udp"] * 2
    for entry, form in zip(entries, ["rfc3164"] * 3 + ["rfc5424"] * 3, strict=True):
        fields = entry["fields"]
        assert fields["format"] == form
        assert (fields["facility"], fields["severity"]) == ("local3", "warning")
        assert (fields["app_name"], fields["proc_id"]) == ("test", "77")
        assert fields["message"].startswith(f"größe of [{form}] over --")
        assert fields["hostname"]
        if form == "rfc5424":
            assert fields["structured_data"]["x@1"] == {"a": "1"}
            assert abs(entry["at"] - fields["time"]) < 60


def test_lines_of_logger_over_tcp_arrive_each_once_and_in_order(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("".join(f"line {number}\n" for number in range(2000)))
    log(daemon, "--tcp", "--octet-count", "--file", str(tmp_path / "lines"))
    assert [entry["fields"]["message"] for entry in daemon.entries(2000)] == [f"line {n}" for n in range(2000)]


def test_datagrams_of_logger_are_stored_or_counted(daemon: Daemon, tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("".join(f"line {number}\n" for number in range(5000)))
    log(daemon, "--udp", "--file", str(tmp_path / "lines"))
    counts = daemon.counts()["udp"]
    assert counts["received"] + counts["dropped"] == 5000
    assert len(daemon.entries(counts["received"])) == counts["received"]


RSYSLOG = """
global(workDirectory="{folder}")
main_queue(queue.timeoutShutdown="20000")
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="{folder}/log" RateLimit.Interval="0")
action(type="omfwd" target="127.0.0.1" port="{port}" protocol="{protocol}" TCP_Framing="{framing}"
       template="RSYSLOG_SyslogProtocol23Format"
       queue.type="LinkedList" queue.size="100000" queue.timeoutShutdown="20000"
       action.resumeRetryCount="-1" action.resumeInterval="1")
"""


@needs_program("rsyslogd")
@pytest.mark.parametrize(
    ("protocol", "framing"), [("tcp", "traditional"), ("tcp", "octet-counted"), ("udp", "traditional")]
)
def test_rsyslogd_forwards_everything(tmp_path: Path, protocol: str, framing: str) -> None:
    messages = [f"message {number} of rsyslogd" for number in range(2000)]
    (tmp_path / "lines").write_text("".join(f"{message}\n" for message in messages))
    with running(tmp_path) as daemon, tempfile.TemporaryDirectory(prefix="mesh-") as folder:
        config = Path(folder) / "conf"
        config.write_text(RSYSLOG.format(folder=folder, port=daemon.port, protocol=protocol, framing=framing))
        with spawn(["rsyslogd", "-n", "-f", config, "-i", f"{folder}/pid"]) as rsyslogd:
            wait_until(lambda: (Path(folder) / "log").exists(), what="the socket of rsyslogd")
            local = ["logger", "--socket", f"{folder}/log", "--tag", "test", "--file", str(tmp_path / "lines")]
            subprocess.run(local, check=True, timeout=20)
            if protocol == "tcp":
                entries = [entry for entry in daemon.entries(len(messages)) if entry["fields"]["app_name"] == "test"]
                # It keeps the blank that stands behind the tag.
                assert [entry["fields"]["message"] for entry in entries] == [f" {message}" for message in messages]
                assert {entry["fields"]["format"] for entry in entries} == {"rfc5424"}
            rsyslogd.terminate()
        counts = daemon.counts()[protocol]
        if protocol == "udp":
            # rsyslogd says something of itself as well.
            assert len(messages) <= counts["received"] + counts["dropped"] <= len(messages) + 10
            assert len(daemon.entries(counts["received"])) == counts["received"]


@needs_program("rsyslogd")
def test_rsyslogd_waits_while_there_is_nobody_and_its_queue_arrives_later(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="mesh-") as folder, running(tmp_path) as daemon:
        config = Path(folder) / "conf"
        text = RSYSLOG.format(folder=folder, port=daemon.port, protocol="tcp", framing="octet-counted")
        config.write_text(text)
        assert daemon.process.terminate() == 0
        with spawn(["rsyslogd", "-n", "-f", config, "-i", f"{folder}/pid"]) as rsyslogd:
            wait_until(lambda: (Path(folder) / "log").exists(), what="the socket of rsyslogd")
            for number in range(20):
                words = ["logger", "--socket", f"{folder}/log", "--tag", "test", f"message {number}"]
                subprocess.run(words, check=True, timeout=20)
            command = [sys.executable, "-m", "mesh.cli.main", "spool", "run", "--dir", str(daemon.path), "--to", METHOD]
            server = ["--server", f"tcp://127.0.0.1:{free_port()}"]
            with spawn([*command, *server, "--syslog", f"tcp://127.0.0.1:{daemon.port}", "--json"]) as again:
                again.wait_line('"ready"')
                expected = {f" message {number}" for number in range(20)}
                # The first one comes twice: rsyslogd 8.2302 sends it again by itself, with the same octets.
                wait_until(lambda: expected <= {entry["fields"]["message"] for entry in daemon.entries(0)})
            rsyslogd.terminate()


def test_the_raw_message_is_kept_as_it_was_sent(daemon: Daemon) -> None:
    log(daemon, "--udp", "--rfc3164", "raw")
    daemon.entries(1)
    with Spool(daemon.path, deliver=False) as spool:
        record = spool.peek(1)[0].record
    assert record is not None
    assert (record.method, record.stream) == (METHOD, "syslog/127.0.0.1")
    assert raw_of(record.body).startswith(b"<13>")
    assert raw_of(record.body).endswith(b" test: raw")
