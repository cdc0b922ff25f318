"""What is wrong with the servers that are asked about. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence

from mesh.doctor.finding import Finding, Level, listed
from mesh.doctor.observations import Answer, End, Observations, Seen, is_loopback
from mesh.doctor.reach_findings import may_lead, unreached

__all__ = ["server_findings"]

_CLOCK_S = 60.0
"""Clocks that differ by less are as good as equal for people who compare logs."""


def server_findings(observations: Observations, network_fails: bool) -> list[Finding]:
    """Return what is wrong with those servers that are asked about; `network_fails` explains why none is seen."""
    wanted = observations.wanted()
    here = observations.here()
    findings: list[Finding] = []
    for seen in here:
        answer = seen.answer
        findings += _alive(observations, seen, answer) if answer is not None else [unreached(observations, seen)]
    findings += _other_realms(observations)
    findings += _names(here)
    if not wanted:
        findings.append(_missing(observations, network_fails))
    return findings


def _alive(observations: Observations, seen: Seen, answer: Answer) -> Iterable[Finding]:
    """Yield what is to be said of a server that answers."""
    name, quoted = seen.peer.name, shlex.quote(seen.peer.name)
    if not seen.is_own(answer):
        text = (
            f"who answers for {name} is called {answer.name}: either {name} is another name for it ('mesh advertise'), "
            f"or {name} has ended without a goodbye, and {answer.name} has its port"
        )
        level = Level.NOTE if observations.means(seen, answer) else Level.PROBLEM
        yield Finding(level, "other-server", name, text, f"call it {answer.name}, or start {name} again")
    if answer.state != "SERVING":
        doing = "is draining: it refuses new calls" if answer.state == "DRAINING" else "does not serve any more"
        yield Finding(
            Level.WARNING,
            "draining",
            name,
            f"{name} {doing}",
            f"take it back: mesh drain {quoted} --undo; or start it again",
        )
    if answer.large_lost:
        text = f"{name} answers small packets and not large ones: a network between carries less than it says (MTU)"
        remedy = "set the MTU of both hosts to what the path carries (ip link set DEV mtu 1400), or let ICMP pass"
        yield Finding(Level.PROBLEM, "large-packets-lost", name, text, remedy)
    silent = [each for each in seen.tries if each.end is not End.ANSWERED and may_lead(observations, seen, each)]
    if silent:
        what = listed([f"{each.address} ({each.end.value})" for each in silent])
        text = f"{name} answers, and not at every address that it advertises: {what}"
        yield Finding(Level.NOTE, "address-silent", name, text, "none is needed: the address that answers is used")
    offset_s = answer.wall_offset_s
    if offset_s is not None and abs(offset_s) > _CLOCK_S:
        side = "ahead of" if offset_s > 0 else "behind"
        where = f" (host {answer.host})" if answer.host else ""
        text = (
            f"the clock of {name}{where} is {_duration(abs(offset_s))} {side} ours, or its host has slept since it "
            f"began; calls do not mind, logs do not match"
        )
        yield Finding(Level.NOTE, "clock-differs", name, text, "compare 'date' on both hosts; timedatectl set-ntp true")
    outward = any(link.used and not link.is_loopback for link in observations.machine.links)
    if seen.is_discovered and outward and all(is_loopback(each.address.host) for each in seen.tries):
        text = f"{name} listens on loopback only, so that no other host can reach it"
        remedy = f"for others, serve it with --bind 'tcp://*:{seen.tries[0].address.port}' and without --interface"
        yield Finding(Level.NOTE, "loopback-only", name, text, remedy)


def _other_realms(observations: Observations) -> Iterable[Finding]:
    realms: dict[str, list[str]] = {}
    for seen in observations.wanted():
        if seen.realm not in ("", observations.realm):
            realms.setdefault(seen.realm, []).append(seen.peer.name)
    for realm, names in sorted(realms.items()):
        verb, them = ("is", "it") if len(names) == 1 else ("are", "them")
        text = f"{listed(names)} {verb} in the realm {realm!r}, and this is about the realm {observations.realm!r}"
        quoted = shlex.quote(realm)  # anybody can advertise any realm, and this will be copied
        remedy = f"use --realm {quoted} or MESH_REALM={quoted} here, or start {them} with --realm {observations.realm}"
        yield Finding(Level.NOTE if observations.here() else Level.PROBLEM, "other-realm", realm, text, remedy)


def _names(here: Sequence[Seen]) -> Iterable[Finding]:
    """Yield which names several servers have: a call for one of them by name may reach any."""
    owners: dict[str, list[Seen]] = {}
    for seen in here:
        if seen.is_discovered:
            owners.setdefault(seen.peer.name, []).append(seen)
    for name, several in owners.items():
        if len(several) > 1:
            where = listed([str(seen.peer.addresses[0]) for seen in several])
            text = f"{len(several)} servers are called {name} ({where}), so that --peer {name} may mean any of them"
            yield Finding(Level.WARNING, "same-name", name, text, "give each a --name of its own")


def _missing(observations: Observations, network_fails: bool) -> Finding:
    """Return what is to be said when nobody is there who is asked about."""
    machine, target = observations.machine, observations.target
    remembered = sorted(
        {
            told.host
            for hearing in observations.hearings
            for told in hearing.told
            if told.remembered and target and told.label.rpartition(" ")[0] == target
        }
    )
    if remembered:
        text = f"nobody advertises {target} any more, and {listed(remembered)} remembers it: it ended without a goodbye"
        return Finding(Level.PROBLEM, "stale", target, text, f"start {target} again")
    left_out = [link for link in machine.links if link.left_out and observations.discovers]
    beside = f"; not looked at: {listed([f'{link.name} ({link.left_out})' for link in left_out])}" if left_out else ""
    if any(link.name == machine.default_link for link in left_out):
        beside += f"; all other networks are reached through {machine.default_link}, where multicast does not go"
    remedy = "start it ('mesh serve'); if it runs, run 'mesh doctor' on its host, or name it: --server tcp://HOST:PORT"
    if left_out:
        remedy += f"; or look elsewhere with --interface {left_out[0].name}"
    if network_fails:
        remedy = "mend the network as said above, and look again; or name the server: --server tcp://HOST:PORT"
    if target:
        names = sorted({word for seen in observations.seen for word in (seen.peer.name, *seen.peer.services)})
        known = f"; seen are {listed(names)}" if names else ""
        text = f"nobody is called {target} or offers it{known}{beside}"
        return Finding(Level.PROBLEM, "not-seen", target, text, remedy)
    text = f"no server was seen in the realm {observations.realm!r}{beside}"
    return Finding(Level.PROBLEM, "no-servers", observations.realm, text, remedy)


def _duration(seconds: float) -> str:
    """Return a duration in its largest unit that fits, for people."""
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} seconds"
