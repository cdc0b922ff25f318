"""What calls feel when one of three servers is killed: the experiment of `scripts.faults`, once a round."""

from __future__ import annotations

from functools import partial

from scripts.bench_figures import Contender, Effort, Sample, Section
from scripts.faults_outage import KILL, Setting, outage

__all__ = ["failover_section"]

_SETTINGS = {
    "kill -9, AsyncClient, 1000 calls/s": Setting(),
    "kill -9, 16 threads, 1000 calls/s": Setting(workers=16),
    "kill -9, sequential": Setting(rate=200.0, workers=1, hold_s=0.003),
}


def _measure(setting: Setting) -> Sample:
    felt = outage(KILL, setting, trials=1)
    return {"gap_ms": felt.gap_ms[0], "quiet_ms": felt.quiet_ms[0], "failed": felt.failed}


def failover_section(effort: Effort) -> Section:
    """Return the section; `scripts.faults` holds its figures against what is promised."""
    return Section(
        "failover", tuple(Contender(name, partial(_measure, setting)) for name, setting in _SETTINGS.items())
    )
