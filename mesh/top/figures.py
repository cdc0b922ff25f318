"""How figures are written: short, of a width that does not change from one refresh to the next."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["ABSENT", "age_text", "count_text", "latency_text", "octets_text", "plain", "rate_text", "sparkline"]

ABSENT = "-"
_BARS = "▁▂▃▄▅▆▇█"
_ASCII = str.maketrans(
    {**dict(zip(_BARS, "_.-=+*%#", strict=True)), "▲": "^", "▼": "v", "●": "*", "─": "-", "→": ">", "↑": "^", "↓": "v"}
)


def plain(text: str) -> str:
    """Return what stands for our own signs where there is nothing but ASCII."""
    return text.translate(_ASCII)


def sparkline(values: Sequence[float]) -> str:
    """Return one bar for each value, from zero up to the greatest."""
    most = max(values, default=0.0)
    top = len(_BARS) - 1
    return "".join(_BARS[round(top * value / most)] if most else _BARS[0] for value in values)


def rate_text(rate: float | None) -> str:
    """Return a number per second, or a share in percent, in at most five characters."""
    if rate is None:
        return ABSENT
    if rate == 0 or rate >= 999.5:
        return count_text(round(rate))
    return f"{rate:.1f}" if rate < 99.95 else f"{rate:.0f}"


def count_text(count: int | None) -> str:
    """Return a number in at most five characters."""
    if count is None:
        return ABSENT
    amount = float(count)
    for unit in ("", "k", "M", "G", "T"):
        if amount < 9_999.5 and not unit:
            return f"{amount:.0f}"
        if amount < 999.5 and unit:
            return f"{amount:.1f}{unit}" if amount < 99.95 else f"{amount:.0f}{unit}"
        amount /= 1000
    return f"{amount:.0f}P"


def octets_text(octets: int | None) -> str:
    """Return an amount of memory in at most five characters: 1K is 1024 octets."""
    if octets is None:
        return ABSENT
    amount = float(octets)
    for unit in ("B", "K", "M", "G"):
        if amount < 999.5:
            return f"{amount:.1f}{unit}" if unit != "B" and amount < 99.95 else f"{amount:.0f}{unit}"
        amount /= 1024
    return f"{amount:.1f}T"


def latency_text(seconds: float | None) -> str:
    """Return a short duration in at most six characters, with three digits."""
    if seconds is None:
        return ABSENT
    if seconds < 0.9995:
        digits = 2 if seconds < 0.009_995 else 1 if seconds < 0.099_95 else 0
        return f"{seconds * 1000:.{digits}f}ms"
    return f"{seconds:.1f}s" if seconds < 99.95 else age_text(seconds)


def age_text(seconds: float | None) -> str:
    """Return a long duration in its two greatest units."""
    if seconds is None:
        return ABSENT
    whole = int(seconds)
    for unit_s, unit, part_s, part in ((86_400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= unit_s:
            return f"{whole // unit_s}{unit}{whole % unit_s // part_s:02}{part}"
    return f"{whole}s"
