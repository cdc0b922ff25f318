"""From observations to findings and a verdict. Pure: the same observations give the same findings."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.doctor.finding import Finding, Level
from mesh.doctor.network_findings import network_findings
from mesh.doctor.observations import Observations
from mesh.doctor.server_findings import server_findings

__all__ = ["Diagnosis", "diagnose"]


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found, and what follows."""

    findings: tuple[Finding, ...]
    """The worst first."""
    wanted: int
    """Servers of the realm that were asked about."""
    serving: int
    """How many of them answer and take calls."""
    network_fails: bool
    """Discovery cannot work on this host."""

    @property
    def usable(self) -> bool:
        """Whether calls to what was asked about find a server."""
        return self.serving > 0

    @property
    def healthy(self) -> bool:
        """Whether it is usable and there is no problem."""
        return self.usable and not any(finding.level is Level.PROBLEM for finding in self.findings)


def diagnose(observations: Observations) -> Diagnosis:
    """Return what the observations say."""
    network = network_findings(observations)
    network_fails = any(finding.level is Level.PROBLEM for finding in network)
    findings = sorted([*network, *server_findings(observations, network_fails)], key=lambda finding: finding.level)
    here = observations.here()
    return Diagnosis(
        tuple(findings),
        len(here),
        len(observations.serving()),
        network_fails,
    )
