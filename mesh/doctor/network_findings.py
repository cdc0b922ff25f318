"""What is wrong with this host and its interfaces, before any server is looked at. Pure."""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from discovery.hearing import Hearing
from mesh.doctor.finding import Finding, Level, listed, plain_hosts
from mesh.doctor.observations import Link, Machine, Observations, Rule

__all__ = ["hearings_of", "network_findings", "works"]

_DESCRIPTORS_MIN = 24
"""What a client opens before its first connection; see mesh.io.descriptors."""
_DEVICE = re.compile(r'(?:\b[io]if(?:name)? (!= )?|(! )?(?<!\S)-[io] )"?([\w.@*+-]+)"?')
"""What turns the condition round, with nftables and with iptables, and the interface that a rule is for."""
_ONE_WAY_S_MIN = 1.5
"""Who has said something by multicast says it again after a second at the earliest (RFC 6762 section 6)."""


def works(observations: Observations, hearing: Hearing) -> bool:
    """Tell whether multicast goes out and comes in."""
    own = observations.machine.hosts
    return not hearing.step and (hearing.hears_itself or any(host not in own for host in hearing.by_multicast))


def hearings_of(observations: Observations, link: Link) -> list[Hearing]:
    """Return what was heard on an interface, IPv4 first."""
    return [hearing for hearing in observations.hearings if hearing.interface == link.name]


def network_findings(observations: Observations) -> list[Finding]:
    """Return what is wrong with this host, the worst of each interface."""
    findings = list(_host_findings(observations))
    if not observations.discovers:
        return findings
    if observations.discovery_problem:
        return [*findings, _no_discovery(observations)]
    used = [link for link in observations.machine.links if link.used]
    outward = [link for link in used if not link.is_loopback]
    for link in used:
        hearings = hearings_of(observations, link)
        if any(works(observations, hearing) for hearing in hearings):
            findings += _working(observations, link, hearings)
            continue
        rest = [other for other in (outward or used) if other is not link]
        spared = _is_served(observations) or any(
            works(observations, hearing) for other in rest for hearing in hearings_of(observations, other)
        )
        if link.is_loopback and outward:
            continue  # servers of this host are heard over the other interfaces as well
        level = Level.WARNING if spared else Level.PROBLEM
        findings += [_fault(observations.machine, link, hearing, level) for hearing in hearings[:1]]
    return findings


def _no_discovery(observations: Observations) -> Finding:
    """Return why discovery could not begin on any interface."""
    machine = observations.machine
    if any(hearing.step == "open" and hearing.error == errno.EADDRINUSE for hearing in observations.hearings):
        who = listed(machine.holders) or "another program"
        text = f"UDP port 5353 is held by {who}, which does not share it"
        remedy = (
            "stop it, or have it share the port: disallow-other-stacks=no in avahi-daemon.conf, MulticastDNS=no in "
            "resolved.conf of systemd; then restart it"
        )
        return Finding(Level.PROBLEM, "port-held", "UDP port 5353", text, remedy)
    problem, _, remedy = observations.discovery_problem.rstrip(".").rpartition("; ")
    return Finding(Level.PROBLEM, "no-discovery", "this host", problem, remedy)


def _is_served(observations: Observations) -> bool:
    """Tell whether there are named servers, and all answer: multicast is not needed for those."""
    named = [seen for seen in observations.seen if "static" in seen.peer.sources]
    return bool(named) and all(seen.answer is not None for seen in named)


def _host_findings(observations: Observations) -> list[Finding]:
    machine, findings = observations.machine, []
    needed = _DESCRIPTORS_MIN + sum(len(seen.tries) for seen in observations.seen)
    if machine.descriptors < needed:
        text = f"a process here may have {machine.descriptors} files and sockets open, and a client of these servers "
        remedy = "raise the limit: ulimit -Hn 65536, in systemd LimitNOFILE=65536"
        findings.append(Finding(Level.WARNING, "few-descriptors", "this host", f"{text}needs {needed}", remedy))
    if machine.links and not any(link.is_loopback for link in machine.links):
        text = "the loopback interface is down, so that programs of this host do not reach each other"
        findings.append(Finding(Level.WARNING, "no-loopback", "lo", text, "bring it up: ip link set lo up"))
    return findings


def _fault(machine: Machine, link: Link, hearing: Hearing, level: Level) -> Finding:
    where = f"{link.name} ({hearing.address})"
    if hearing.step == "send" and hearing.error in (errno.EPERM, errno.EACCES):
        text = f"this host may not send multicast on {where}: its firewall drops UDP port 5353 on the way out"
        return Finding(level, "multicast-out-blocked", link.name, *_with_rule(machine, link, text, outgoing=True))
    if hearing.step == "send" and hearing.error in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        text = f"there is no way for multicast on {where}: {_reason(hearing.error)}"
        remedy = f"give it one: ip route add 224.0.0.0/4 dev {link.name}"
        return Finding(level, "multicast-no-route", link.name, text, remedy)
    if hearing.step:
        doing = {"open": "opening UDP port 5353", "join": "joining the group of mDNS", "send": "sending"}[hearing.step]
        text = f"{where} cannot do multicast: {doing} failed ({_reason(hearing.error)})"
        remedy = f"look at it with ip address show {link.name}, or use another interface with --interface"
        return Finding(level, "multicast-failed", link.name, text, remedy)
    text = f"this host does not hear multicast on {where}, not even its own: its firewall drops UDP port 5353"
    text, remedy = _with_rule(machine, link, text, outgoing=False)
    if hearing.by_unicast:
        text += f"; what it sends does arrive, for {listed(plain_hosts(hearing.by_unicast))} answered it directly"
    return Finding(level, "multicast-in-blocked", link.name, text, remedy)


def _with_rule(machine: Machine, link: Link, text: str, outgoing: bool) -> tuple[str, str]:
    """Return the sentence with the rule that is the likely cause, and what to do against it."""
    rule = _suspect(machine.firewall.suspects, link, outgoing)
    if rule is not None:
        text += f" (the rule {rule.text!r} in {rule.chain})"
    elif not machine.firewall.readable:
        text += " (its rules can be looked at as root, where nft or iptables-save is installed)"
    if machine.firewall.tool == "ufw":
        command = f"ufw allow {'out ' if outgoing else ''}5353/udp"
    elif machine.firewall.tool == "firewalld":
        command = "firewall-cmd --permanent --add-service=mdns && firewall-cmd --reload"
    elif rule is not None and " " in rule.chain:
        command = f"nft insert rule {rule.chain} udp dport 5353 accept"
    else:
        command = f"iptables -I {'OUTPUT' if outgoing else 'INPUT'} -p udp --dport 5353 -j ACCEPT"
    return text, f"let it {'out' if outgoing else 'in'}: {command}"


def _suspect(rules: Sequence[Rule], link: Link, outgoing: bool) -> Rule | None:
    """Return the rule that most likely drops mDNS: one that names it, else one that drops what is not allowed."""

    def rank(rule: Rule) -> int:
        device = _DEVICE.search(rule.text)
        if device is not None and fnmatchcase(link.name, device[3].replace("+", "*")) is bool(device[1] or device[2]):
            return 9  # it is about other interfaces
        if re.search(r"\b5353\b|\bmdns\b", rule.text):
            return 0
        if re.search(r"\b224\.|\bff0|multicast", rule.text):
            return 1
        if re.search(r"tcp|icmp|invalid|dport|saddr| -s ", rule.text):
            return 9
        return 2 if rule.text == "policy drop" else 3

    return min((rule for rule in rules if rule.outgoing == outgoing and rank(rule) < 9), key=rank, default=None)


def _working(observations: Observations, link: Link, hearings: Sequence[Hearing]) -> list[Finding]:
    """Return what is to be said of an interface on which multicast works as far as this host can tell."""
    if link.is_loopback:
        return []
    others = plain_hosts(host for hearing in hearings for host in observations.others(hearing))
    wanted = observations.wanted()
    if not others:
        return [] if any(seen.answer is not None for seen in wanted) else [_alone(observations.machine, link)]
    by_multicast = {host for hearing in hearings for host in hearing.by_multicast}
    if any(host in by_multicast for host in others) or observations.listened_s < _ONE_WAY_S_MIN:
        return []
    if any(seen.answer is None for seen in wanted):
        return []  # who ended meanwhile did not come to say it by multicast
    text = (
        f"on {link.name} {listed(others)} answered directly, and nothing that others send by multicast arrives: the "
        f"network or their firewalls keep it back"
    )
    rule = _suspect(observations.machine.firewall.suspects, link, outgoing=False)
    if rule is not None:
        text += f"; this host has the rule {rule.text!r} in {rule.chain}"
    remedy = "turn IGMP snooping off at the switch or access point, or give it a querier"
    return [Finding(Level.WARNING, "multicast-one-way", link.name, text, remedy)]


def _alone(machine: Machine, link: Link) -> Finding:
    """Return what may be the reason that nobody else is heard; which one it is cannot be told from here."""
    remedy = "run 'mesh doctor' on the other host as well, and name the server here with --server tcp://HOST:PORT"
    if not link.has_carrier:
        text = f"{link.name} has no carrier: its cable is out, or its radio has joined no network"
        return Finding(Level.PROBLEM, "no-carrier", link.name, text, "put the cable in, or join the network")
    text = (
        f"on {link.name} this host hears itself and nobody else; from here it cannot be told whether nobody is there, "
        f"their firewalls drop UDP port 5353, or the network keeps multicast back"
    )
    if link.is_wireless:
        text += ", as access points do that keep their stations apart (client isolation)"
        remedy += "; or turn client isolation off at the access point"
    elif link.is_point_to_point:
        text += ", as tunnels do"
        remedy += "; or choose another interface with --interface"
    elif machine.in_container:
        text += ", as bridges of containers do, and this is a container"
        remedy += "; or run this in the network of its host (docker run --network host)"
    else:
        text += ", as switches do that snoop IGMP without a querier"
    return Finding(Level.WARNING, "nobody-else", link.name, text, remedy)


def _reason(error: int) -> str:
    return _REASONS.get(error) or errno.errorcode.get(error, f"error {error}")


_REASONS = {
    errno.ENETUNREACH: "network is unreachable",
    errno.EHOSTUNREACH: "no route to host",
    errno.EACCES: "permission denied",
    errno.EPERM: "operation not permitted",
    errno.ENODEV: "no such device",
    errno.EADDRNOTAVAIL: "the address has gone",
    errno.ENOBUFS: "no buffer space",
    errno.EMFILE: "too many open files",
}
