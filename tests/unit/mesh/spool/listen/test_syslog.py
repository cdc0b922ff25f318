"""What a syslog message says."""

from __future__ import annotations

from typing import Any

import pytest

from mesh.spool.listen.syslog import parse


def test_rfc_5424_with_everything() -> None:
    message = (
        b"<165>1 2003-10-11T22:14:15.003Z host.example.com app 8710 ID47 "
        b'[ex@32473 iut="3" text="a \\"b\\" \\] \\\\"][other@1] \xef\xbb\xbfAn event \xc3\xa9'
    )
    assert parse(message) == {
        "format": "rfc5424",
        "priority": 165,
        "facility": "local4",
        "severity": "notice",
        "timestamp": "2003-10-11T22:14:15.003Z",
        "time": 1065910455.003,
        "hostname": "host.example.com",
        "app_name": "app",
        "proc_id": "8710",
        "msg_id": "ID47",
        "structured_data": {"ex@32473": {"iut": "3", "text": 'a "b" ] \\'}, "other@1": {}},
        "message": "An event é",
    }


def test_what_is_nil_is_absent() -> None:
    assert parse(b"<0>1 - - - - - -") == {
        "format": "rfc5424",
        "priority": 0,
        "facility": "kern",
        "severity": "emerg",
        "message": "",
    }


def test_a_parameter_that_comes_again_has_a_list() -> None:
    fields = parse(b'<13>1 - - - - - [o@1 ip="a" ip="b" x="c"] m')
    assert fields["structured_data"] == {"o@1": {"ip": ["a", "b"], "x": "c"}}


OLD: list[tuple[bytes, dict[str, Any]]] = [
    (
        b"<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
        {
            "timestamp": "Oct 11 22:14:15",
            "hostname": "mymachine",
            "app_name": "su",
            "message": "'su root' failed for lonvick on /dev/pts/8",
        },
    ),
    (
        b"<13>Nov  2 05:00:00 cron[12]: no host",
        {"timestamp": "Nov  2 05:00:00", "app_name": "cron", "proc_id": "12", "message": "no host"},
    ),
    (
        b"<13>2026-11-22T05:00:00.5+01:00 fe80::1 app: x",
        {
            "timestamp": "2026-11-22T05:00:00.5+01:00",
            "time": 1795320000.5,
            "hostname": "fe80::1",
            "app_name": "app",
            "message": "x",
        },
    ),
    (b"<13>tag: only", {"app_name": "tag", "message": "only"}),
    (b"<13>Nov 22 05:00:00 host no tag", {"timestamp": "Nov 22 05:00:00", "hostname": "host", "message": "no tag"}),
]


@pytest.mark.parametrize(("message", "expected"), OLD)
def test_rfc_3164_as_it_is_met(message: bytes, expected: dict[str, Any]) -> None:
    fields = parse(message)
    for name in ("priority", "facility", "severity"):
        fields.pop(name)
    assert fields == {"format": "rfc3164", **expected}


UNKNOWN = [
    (b"", ""),
    (b"plain", "plain"),
    (b"<192>beyond", "<192>beyond"),
    (b"<\xd9\xa3>other digits", "<٣>other digits"),
    (b"\xff\x01", "\ufffd\x01"),
    (b"a line\r\n\0", "a line"),
]


@pytest.mark.parametrize(("message", "text"), UNKNOWN)
def test_what_has_no_priority_is_kept_as_it_is(message: bytes, text: str) -> None:
    assert parse(message) == {"format": "unknown", "message": text}


@pytest.mark.parametrize("rest", [b"[a", b'[a b="c"', b"[]", b'[a b="]"] x', b"-x", b'[a b="c"]x'])
def test_malformed_structured_data_leave_the_priority(rest: bytes) -> None:
    fields = parse(b"<13>1 - - - - - " + rest)
    assert fields["format"] == "unknown"
    assert fields["severity"] == "notice"
    assert fields["message"] == "1 - - - - - " + rest.decode()
