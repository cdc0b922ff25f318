"""Tests of mesh.spool.quota."""

from __future__ import annotations

from typing import Any

import pytest

from mesh import ConfigError, SpoolFull
from mesh.spool.counters import Counters
from mesh.spool.quota import Quota


def test_what_waits_and_what_is_in_quarantine_count_together() -> None:
    counters = Counters(bytes(16), ready=6, quarantined=3, octets=900)
    quota = Quota(10, 1000)
    assert quota.excess(counters, 1, 100) == (0, 0)
    assert quota.excess(counters, 3, 100) == (2, 0)
    assert quota.excess(counters, 1, 150) == (0, 50)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"records_max": 0}, "records_max is 0"),
        ({"records_max": True}, "records_max is True"),
        ({"octets_max": 1.5}, "octets_max is 1.5"),
        ({"octets_max": 1 << 60}, "octets_max"),
        ({"when_full": "wait"}, "when_full is 'wait'; give one of block, reject, drop-oldest"),
    ],
)
def test_what_cannot_be_used_is_named(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Quota(**settings)


@pytest.mark.parametrize(("records", "octets"), [(11, 0), (1, 1001)])
def test_what_never_fits_is_refused(records: int, octets: int) -> None:
    with pytest.raises(SpoolFull, match="never fit") as raised:
        Quota(10, 1000).check("/a/spool", records, octets)
    assert raised.value.path == "/a/spool"


def test_what_just_fits_is_not() -> None:
    Quota(10, 1000).check("/a/spool", 10, 1000)
