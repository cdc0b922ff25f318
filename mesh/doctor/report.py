"""What the doctor says, to people and to programs. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from mesh.doctor.finding import Finding, Level, listed, plain_hosts
from mesh.doctor.findings import Diagnosis
from mesh.doctor.network_findings import hearings_of, works
from mesh.doctor.observations import Link, Observations, Seen

__all__ = ["Line", "as_json", "report"]

_ALIKE_MAX = 5
"""Findings of one kind that are written out; programs get all."""
_SERVERS_MAX = 10
"""Servers that answer and are written out; of more only the number."""
_STYLES = {Level.PROBLEM: "bold red", Level.WARNING: "yellow", Level.NOTE: "cyan"}


@dataclasses.dataclass(frozen=True, slots=True)
class Line:
    """One line of the report."""

    text: str
    head: str = ""
    """What it begins with, shown in a colour."""
    style: str = ""
    """The colour."""


def report(observations: Observations, diagnosis: Diagnosis) -> Iterator[Line]:
    """Yield the report: what works, what was found, the verdict."""
    if observations.discovers and not observations.discovery_problem:
        yield from _links(observations)
    yield from _servers(observations)
    shown: dict[str, int] = {}
    for finding in diagnosis.findings:
        shown[finding.code] = shown.get(finding.code, 0) + 1
        if shown[finding.code] <= _ALIKE_MAX:
            yield Line(f": {finding.text}.", finding.level.name.lower(), _STYLES[finding.level])
            if finding.remedy:
                yield Line(f" {finding.remedy}.", "  ->")
    for code, count in shown.items():
        if count > _ALIKE_MAX:
            yield Line(f"{count - _ALIKE_MAX} more findings are {code}; --json has them all.")
    yield _verdict(observations, diagnosis)


def _links(observations: Observations) -> Iterator[Line]:
    """Yield a line for each interface on which multicast works; the others are findings."""
    used = [link for link in observations.machine.links if link.used]
    for link in used:
        hearings = [hearing for hearing in hearings_of(observations, link) if works(observations, hearing)]
        if not hearings or not link.has_carrier or (link.is_loopback and len(used) > 1):
            continue
        others = plain_hosts(host for hearing in hearings for host in observations.others(hearing))
        heard = f", and on UDP port 5353 also {listed(others)}" if others else ", and nobody else"
        if link.is_loopback:
            heard = ""
        yield Line(f" ({link.networks[0]}): this host hears its own multicast{heard}", link.name, "bold")
    if observations.machine.holders and used:
        yield Line(f"UDP port 5353 is shared with {listed(observations.machine.holders)}")


def _servers(observations: Observations) -> Iterator[Line]:
    alive = [seen for seen in observations.here() if seen.answer is not None]
    if len(alive) > _SERVERS_MAX:
        times = [seen.answer.rtt_s for seen in alive if seen.answer is not None]
        yield Line(f"{len(alive)} servers answer, in {_ms(min(times))} to {_ms(max(times))}")
        return
    for seen in alive:
        told = [
            f"{each.address} answers in {_ms(each.answer.rtt_s)}"
            for each in seen.tries
            if each.answer is not None and seen.answer is not None and each.answer.peer_id == seen.answer.peer_id
        ]
        name = seen.answer.name if seen.answer is not None else ""
        services = f" ({', '.join(seen.peer.services)})" if seen.peer.services else ""
        yield Line(f"{services}: {listed(told)}", name or seen.peer.name, "bold")


def _verdict(observations: Observations, diagnosis: Diagnosis) -> Line:
    wanted = diagnosis.wanted
    subject = f" for {observations.target}" if observations.target else ""
    count = f"servers that take calls: {diagnosis.serving} of {wanted}"
    if diagnosis.healthy:
        return Line(f": the mesh is usable{subject}; {count}.", "ok", "green")
    if diagnosis.usable:
        return Line(f": the mesh is usable{subject}, but not all is well; {count}.", "ok in part", "yellow")
    return Line(f": the mesh is not usable{subject}; {count if wanted else 'no server is there'}.", "fails", "bold red")


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms"


def as_json(observations: Observations, diagnosis: Diagnosis) -> dict[str, Any]:
    """Return everything as one object.

    `usable`: calls find a server; `healthy`: and there is no problem. `wanted` and `serving` count the servers that are
    asked about. `findings` have `level` (problem, warning, note), `code` (stays the same), `subject`, `text`, `remedy`.
    `interfaces` tell per address what `multicast` did; `servers` (all that were seen) what each of their `addresses`
    answered, in seconds, and `result` is a name of `End` in lower case.
    """
    machine = observations.machine
    return {
        "usable": diagnosis.usable,
        "healthy": diagnosis.healthy,
        "realm": observations.realm,
        "target": observations.target,
        "wanted": diagnosis.wanted,
        "serving": diagnosis.serving,
        "findings": [_finding(finding) for finding in diagnosis.findings],
        "interfaces": [_link(observations, link) for link in machine.links],
        "servers": [_server(observations, seen) for seen in observations.seen],
        "descriptors": machine.descriptors,
        "port_5353_holders": machine.holders,
        "firewall": dataclasses.asdict(machine.firewall),
    }


def _finding(finding: Finding) -> dict[str, str]:
    return {**dataclasses.asdict(finding), "level": finding.level.name.lower()}


def _link(observations: Observations, link: Link) -> dict[str, Any]:
    multicast = [
        {
            "address": hearing.address,
            "works": works(observations, hearing),
            "failed_step": hearing.step,
            "errno": hearing.error,
            "hears_itself": hearing.hears_itself,
            "others": observations.others(hearing),
            "by_multicast": hearing.by_multicast,
            "by_unicast": hearing.by_unicast,
        }
        for hearing in hearings_of(observations, link)
    ]
    return {**dataclasses.asdict(link), "multicast": multicast}


def _server(observations: Observations, seen: Seen) -> dict[str, Any]:
    answer, peer = seen.answer, seen.peer
    return {
        "name": peer.name,
        "peer_id": peer.peer_id,
        "realm": seen.realm,
        "services": peer.services,
        "proto": peer.properties.get("proto", "mesh/1"),
        "sources": peer.sources,
        "advertised_by": plain_hosts(seen.tellers(observations.hearings)),
        "alive": answer is not None,
        "state": answer.state if answer is not None else "",
        "host": answer.host if answer is not None else "",
        "clock_offset_s": answer.clock_offset_s if answer is not None else None,
        "wall_offset_s": answer.wall_offset_s if answer is not None else None,
        "addresses": [
            {
                "address": str(each.address),
                "result": each.end.name.lower(),
                "why": each.why,
                "connect_s": each.connect_s,
                "rtt_s": each.answer.rtt_s if each.answer is not None else None,
                "answered_by": each.answer.peer_id if each.answer is not None else "",
            }
            for each in seen.tries
        ],
    }
