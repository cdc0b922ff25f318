"""What a syslog message says: RFC 5424, and RFC 3164 as it is met in the wild."""

from __future__ import annotations

import re
from calendar import timegm
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
    r"(\d{4})-(\d\d)-([0-3]\d)T([0-2]\d):([0-5]\d):([0-6]\d)(\.\d{1,9})?(?:Z|([+-])(\d\d):([0-5]\d))", re.ASCII
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
    fields: dict[str, Any] = {"format": "unknown"}
    found = _PRIORITY.match(text)
    if found is None or int(found[1]) > _PRIORITY_MAX:
        return fields | {"message": text}
    priority = int(found[1])
    fields |= {"priority": priority, "facility": _FACILITIES[priority >> 3], "severity": _SEVERITIES[priority & 7]}
    rest = text[found.end() :]
    if (header := _HEADER.match(rest)) and (ended := _structured_data(rest, header.end())):
        named = {name: value for name, value in zip(_FIELDS, header.groups(), strict=True) if value != _NIL}
        data, at = ended
        fields |= {"format": "rfc5424", **named, **_time(named.get("timestamp", ""))}
        if data:
            fields["structured_data"] = data
        return fields | {"message": rest[at + 1 :].removeprefix(_BOM)}
    return fields | _old(rest)


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


def _time(stamp: str) -> dict[str, float]:
    """Return the Unix seconds of a timestamp of RFC 5424 section 6.2.3, nothing for any other one."""
    found = _STAMP.fullmatch(stamp)
    if found is None:
        return {}
    *numbers, fraction, ahead, hours, minutes = found.groups()
    try:
        at = timegm(tuple(map(int, numbers)))
    except ValueError:  # there is no such month, or no such year
        return {}
    offset = 60 * (60 * int(hours or 0) + int(minutes or 0))
    return {"time": at + float(f"0{fraction or ''}") - (-offset if ahead == "-" else offset)}


def _old(text: str) -> dict[str, Any]:
    """Read TIMESTAMP HOSTNAME TAG[PID]: CONTENT (RFC 3164 section 4.1), each of which may be missing."""
    fields: dict[str, Any] = {}
    at = 0
    if stamp := _OLD_TIME.match(text):
        fields |= {"format": "rfc3164", "timestamp": stamp[1], **_time(stamp[1])}
        at = stamp.end()
        if host := _HOST.match(text, at):
            fields["hostname"] = host[1]
            at = host.end()
    if tag := _TAG.match(text, at):
        fields |= {"format": "rfc3164", "app_name": tag[1]}
        if tag[2]:
            fields["proc_id"] = tag[2]
        at = tag.end()
    return fields | {"message": text[at:]}
