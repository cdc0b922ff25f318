"""FreeRADIUS's radclient sends accounting to `mesh spool run`."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mesh import Spool
from scripts import spool_radius
from tests.helpers import free_port, needs_program, spawn

pytestmark = [pytest.mark.network, pytest.mark.e2e, needs_program("radclient")]


def test_a_packet_with_everything_is_answered_and_stored(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("127.0.0.0/8 test ing 123\n")
    (tmp_path / "secrets").chmod(0o600)
    (tmp_path / "dictionary").write_text(
        "VENDOR Cisco 9\nBEGIN-VENDOR Cisco\nATTRIBUTE Cisco-AVPair 1 string\nEND-VENDOR Cisco\n"
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = ["--radius", f"127.0.0.1:{port}", "--secret-file", str(tmp_path / "secrets")]
    options += [
        "--dictionary",
        str(tmp_path / "dictionary"),
        "--to",
        "w.i",
        "--server",
        f"tcp://127.0.0.1:{free_port()}",
    ]
    command = [sys.executable, "-m", "mesh.cli.main", "spool", "run", "--dir", str(tmp_path / "spool")]
    packet = (
        'User-Name=bob,Acct-Status-Type=Stop,Acct-Session-Id=5,Event-Timestamp=1700000000,Cisco-AVPair="a=1",'
        'Cisco-AVPair+="b=2",Proxy-State=0x01,Proxy-State+=0x0203,Message-Authenticator=0x00,NAS-IPv6-Address=2001:db8::1'
    )
    with spawn([*command, *options]) as daemon:
        daemon.wait_line("listening")
        said = subprocess.run(
            ["radclient", "-x", "-r", "3", "-t", "2", f"127.0.0.1:{port}", "acct", "test ing 123"],
            input=packet, capture_output=True, text=True, check=True, timeout=20,
        ).stdout  # fmt: skip
        answer = said.partition("Received Accounting-Response")[2]
        assert re.findall(r"Proxy-State = (\S+)", answer) == ["0x01", "0x0203"]
        assert "Message-Authenticator" in answer
        wrong = subprocess.run(
            ["radclient", "-r", "1", "-t", "1", f"127.0.0.1:{port}", "acct", "wrong"],
            input=packet, capture_output=True, text=True, check=False, timeout=20,
        )  # fmt: skip
        assert wrong.returncode
        daemon.wait_line("its authenticator does not fit the secret; give both sides the same one")
        assert daemon.terminate() == 0
    with Spool(tmp_path / "spool", deliver=False) as spool:
        (entry,) = spool.peek(10)
    assert entry.record is not None
    fields = json.loads(entry.record.body)["fields"]
    assert fields["time"] == 1_700_000_000
    attributes = fields["attributes"]
    assert attributes.pop("Message-Authenticator").startswith("0x")
    assert attributes == {
        "User-Name": "bob",
        "Acct-Status-Type": "Stop",
        "Acct-Session-Id": "5",
        "Event-Timestamp": 1_700_000_000,
        "Cisco-AVPair": ["a=1", "b=2"],
        "Proxy-State": ["0x01", "0x0203"],
        "NAS-IPv6-Address": "2001:db8::1",
    }


def test_every_packet_arrives_once_while_the_warehouse_goes_up_and_down() -> None:
    verdict = spool_radius.run(2000, parallel=100, seed=1)
    assert verdict.good, str(verdict)
    assert verdict.stored == 2000
    assert verdict.outages
