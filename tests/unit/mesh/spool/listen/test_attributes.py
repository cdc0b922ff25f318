"""RADIUS attributes by name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from mesh import ConfigError
from mesh.spool.listen import attributes as module
from mesh.spool.listen.accounting import read_request
from mesh.spool.listen.attributes import Attributes
from tests.unit.mesh.spool.listen.packets import request


@pytest.fixture(scope="module")
def attributes() -> Attributes:
    return Attributes()


def test_values_are_what_a_client_of_another_kind_has_sent(attributes: Attributes) -> None:
    sent = {
        "User-Name": "bob",
        "Acct-Status-Type": "Accounting-On",
        "NAS-IP-Address": "192.0.2.7",
        "NAS-Port": 5,
        "Event-Timestamp": 1_700_000_000,
        "Framed-IPv6-Prefix": "2001:db8::/64",
        "Framed-IPv6-Address": "2001:db8::1",
        "Acct-Session-Id": "0a1b",
        "NAS-Port-Type": "Ethernet",
    }
    packet = request()
    for name, value in sent.items():
        packet.AddAttribute(name, value)
    assert attributes.decode(read_request(packet.RequestPacket()).attributes) == sent


CASES: list[tuple[list[tuple[int, bytes]], dict[str, Any]]] = [
    ([(25, b"\x00\xff"), (25, b"x")], {"Class": ["0x00ff", "0x78"]}),
    ([(1, b"\xff")], {"User-Name": "0xff"}),
    ([(241, b"x")], {"Attr-241": "0x78"}),
    ([(5, b"\x01")], {"NAS-Port": "0x01"}),
    ([(4, b"")], {"NAS-IP-Address": "0x"}),
    ([(40, b"\0\0\0\x63")], {"Acct-Status-Type": 99}),
    ([(64, b"\x01\0\0\x0d"), (81, b"\x0142"), (81, b"42")], {
        "Tunnel-Type:1": "VLAN", "Tunnel-Private-Group-Id:1": "42", "Tunnel-Private-Group-Id": "42",
    }),
    ([(26, b"\0\0\0\x09\x01\x05abc\x02\x02")], {"Vendor-9-Attr-1": "0x616263", "Vendor-9-Attr-2": "0x"}),
    ([(26, b"\0\0\0\x09\x01\x09abc")], {"Vendor-Specific": "0x000000090109616263"}),
    ([(26, b"\0\0")], {"Vendor-Specific": "0x0000"}),
    ([(26, b"\0\0\0\x09")], {"Vendor-Specific": "0x00000009"}),
]  # fmt: skip


@pytest.mark.parametrize(("sent", "expected"), CASES)
def test_what_is_unknown_or_malformed_is_kept_as_octets(
    attributes: Attributes, sent: list[tuple[int, bytes]], expected: dict[str, Any]
) -> None:
    assert attributes.decode(sent) == expected


def test_further_dictionaries_name_what_vendors_add(tmp_path: Path) -> None:
    path = tmp_path / "dictionary"
    path.write_text(
        "VENDOR Acme 32473\nBEGIN-VENDOR Acme\nATTRIBUTE Acme-Level 1 integer\nVALUE Acme-Level High 3\n"
        "ATTRIBUTE Acme-Secret 2 string encrypt=2\nATTRIBUTE Acme-Odd 3 combo-ip\nEND-VENDOR Acme\n"
    )
    told = Attributes([str(path)]).decode([(26, b"\0\0\x7e\xd9\x01\x06\0\0\0\x03\x02\x03x\x03\x03y")])
    assert told == {"Acme-Level": "High", "Acme-Secret": "0x78", "Vendor-32473-Attr-3": "0x79"}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [(None, "dictionary .*gone cannot be read: No such file"), ("ATTRIBUTE x y z\n", r"does not parse: gone\(1\)")],
)
def test_a_dictionary_that_cannot_be_used_is_named(tmp_path: Path, text: str | None, complaint: str) -> None:
    path = tmp_path / "gone"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        Attributes([str(path)])


def test_without_pyrad_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "dictionary", None)
    assert "pyrad" in sys.modules
    with pytest.raises(ConfigError, match=r"pip install 'freelance-mesh\[radius\]'"):
        Attributes()
