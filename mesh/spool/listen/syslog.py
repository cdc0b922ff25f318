"""What a syslog message says: RFC 5424, and RFC 3164 as it is met in the wild."""

from __future__ import annotations

import re
from calendar import timegm
from functools import lru_cache
from typing import Any

from mesh.spool.listen.entry import add_value

__all__ = ["parse"]

_FACILITIES = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news"),
    *("uucp", "cron", "authpriv", "ftp", "ntp", "audit", "alert", "clock"),
    *(f"local{number}" for number in range(8)),
)
"""By number (RFC 5424 section 6.2.1), with the short names of syslog.conf(5)."""
_SEVERITIES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")

_PRIORITY_MAX = 191
_PRIORITY = re.compile(r"<(\d{1,3})>", re.ASCII)
_HEADER = re.compile(r"1 (\S{1,64}) (\S{1,255}) (\S{1,48}) (\S{1,128}) (\S{1,32}) (?=[\[-])")
"""VERSION TIMESTAMP HOSTNAME APP-NAME PROCID MSGID (RFC 5424 section 6); the structured data follow."""
_FIELDS = ("timestamp", "hostname", "app_name", "proc_id", "msg_id")
_NIL = "-"
_NAME = r"[!#-<>-\\^-~]{1,32}"
_ELEMENT = re.compile(rf'\[({_NAME})((?: {_NAME}="(?:[^"\\\]]|\\.)*")*)\]', re.DOTALL)
_PARAMETER = re.compile(rf' ({_NAME})="((?:[^"\\\]]|\\.)*)"', re.DOTALL)
_ESCAPED = re.compile(r'\\(["\\\]])')
_OLD_TIME = re.compile(r"([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d(?:\.\d{1,9})?|\d{4}-\d\d-\d\dT\S{8,32}) ")
_STAMP = re.compile(
    r"(\d{4}-\d\d-[0-3]\d)T([0-2]\d):([0-5]\d):([0-6]\d(?:\.\d{1,9})?)(?:Z|([+-])(\d\d):([0-5]\d))", re.ASCII
)
_HOST = re.compile(r"([^\s\[\]]{1,255}) (?<!: )")
"""One that ends in a colon is a tag: logger(1) leaves the host out when it writes to /dev/log."""
_TAG = re.compile(r"([^\s:\[\]]{1,64})(?:\[([^\]\s]{0,64})\])?:(?: |\Z)")
_BOM = "\ufeff"
_END = b"\r\n\0"
"""What senders put behind a message as if it were a line; rsyslogd does so even where its octets are counted."""


def parse(octets: bytes) -> dict[str, Any]:
    """Return what can be read of a message; never raises.

    Args:
        octets: One message without framing.

    The map holds `format` (`rfc5424`, `rfc3164` or `unknown`) and `message`, and what else is there: `priority`,
    `facility`, `severity`, `timestamp` as it was sent, `time` (Unix seconds, where the timestamp tells year and zone),
    `hostname`, `app_name`, `proc_id`, `msg_id`, and `structured_data` by SD-ID and PARAM-NAME. Octets that are no UTF-8
    become U+FFFD; the end of a line at its end is no part of the message.
    """
    text = octets.rstrip(_END).decode("utf-8", "replace")
    found = _PRIORITY.match(text)
    if found is None or (priority := int(found[1])) > _PRIORITY_MAX:
        return {"format": "unknown", "message": text}
    fields: dict[str, Any] = {
        "format": "unknown",
        "priority": priority,
        "facility": _FACILITIES[priority >> 3],
        "severity": _SEVERITIES[priority & 7],
    }
    at = found.end()
    if (header := _HEADER.match(text, at)) and (ended := _structured_data(text, header.end())):
        fields["format"] = "rfc5424"
        for name, value in zip(_FIELDS, header.groups(), strict=True):
            if value != _NIL:
                fields[name] = value
        _add_time(fields)
        data, at = ended
        if data:
            fields["structured_data"] = data
        fields["message"] = text[at + 1 :].removeprefix(_BOM)
    else:
        _read_old(text, at, fields)
    return fields


def _structured_data(text: str, at: int) -> tuple[dict[str, dict[str, Any]], int] | None:
    """Return the structured data that begin at `at` and where they end; None if they are malformed."""
    data: dict[str, dict[str, Any]] = {}
    if text[at] == _NIL:
        at += 1
    else:
        while element := _ELEMENT.match(text, at):
            values = data.setdefault(element[1], {})
            for name, value in _PARAMETER.findall(element[2]):
                add_value(values, name, _ESCAPED.sub(r"\1", value))
            at = element.end()
        if not data:
            return None
    return (data, at) if at == len(text) or text[at] == " " else None


def _add_time(fields: dict[str, Any]) -> None:
    """Add the Unix seconds of the timestamp, if it is one of RFC 5424 section 6.2.3."""
    found = _STAMP.fullmatch(fields.get("timestamp", ""))
    if found is None:
        return
    date, hour, minute, second, ahead, hours, minutes = found.groups()
    try:
        at = _midnight(date) + 3600 * int(hour) + 60 * int(minute) + float(second)
    except ValueError:  # there is no such month, or no such year
        return
    offset = 60 * (60 * int(hours or 0) + int(minutes or 0))
    fields["time"] = at + offset if ahead == "-" else at - offset


@lru_cache(maxsize=64)
def _midnight(date: str) -> int:
    """Return the Unix seconds at which a day begins; most messages are of the same one."""
    year, month, day = map(int, date.split("-"))
    return timegm((year, month, day, 0, 0, 0))


def _read_old(text: str, at: int, fields: dict[str, Any]) -> None:
    """Add TIMESTAMP HOSTNAME TAG[PID]: CONTENT (RFC 3164 section 4.1), each of which may be missing."""
    if stamp := _OLD_TIME.match(text, at):
        fields["format"] = "rfc3164"
        fields["timestamp"] = stamp[1]
        _add_time(fields)
        at = stamp.end()
        if host := _HOST.match(text, at):
            fields["hostname"] = host[1]
            at = host.end()
    if tag := _TAG.match(text, at):
        fields["format"] = "rfc3164"
        fields["app_name"] = tag[1]
        if tag[2]:
            fields["proc_id"] = tag[2]
        at = tag.end()
    fields["message"] = text[at:]
