"""The body of a record."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mesh.spool.listen.entry import add_value, encode_entry, place, raw_of


def test_text_stays_text() -> None:
    body = encode_entry("syslog", "udp", ("192.0.2.7", 514), 12.5, b"<13>\xc3\xa9\x00", {"message": "é"})
    assert json.loads(body) == {
        "kind": "syslog",
        "transport": "udp",
        "peer": "192.0.2.7:514",
        "at": 12.5,
        "raw": "<13>é\0",
        "fields": {"message": "é"},
    }
    assert raw_of(body) == b"<13>\xc3\xa9\x00"


def test_other_octets_become_base64() -> None:
    body = encode_entry("radius", "udp", ("::1", 5), 0.0, b"\xff\x00", {}, whole=False)
    entry = json.loads(body)
    assert entry["raw_base64"] == "/wA="
    assert entry["peer"] == "[::1]:5"
    assert entry["whole"] is False
    assert raw_of(body) == b"\xff\x00"


def test_values_of_one_name_become_a_list() -> None:
    values: dict[str, Any] = {}
    for value in (1, 2, 3):
        add_value(values, "a", value)
    add_value(values, "b", 4)
    assert values == {"a": [1, 2, 3], "b": 4}


@pytest.mark.parametrize(("peer", "text"), [(("h", 1), "h:1"), (("fe80::1%lo", 1), "[fe80::1%lo]:1")])
def test_a_place_reads_as_it_is_written(peer: tuple[str, int], text: str) -> None:
    assert place(peer) == text
