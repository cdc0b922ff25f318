"""Why a server that is advertised or named does not answer: as its most telling address shows. Pure."""

from __future__ import annotations

import re

from mesh.doctor.finding import Finding, Level, listed, plain_hosts
from mesh.doctor.observations import End, Observations, Seen, Try, bare, is_loopback

__all__ = ["may_lead", "unreached"]

_FAR = (
    End.NO_HOST,
    End.NO_ROUTE,
    End.UNREACHABLE,
    End.NO_ANSWER,
    End.REFUSED,
    End.CLOSED,
    End.SILENT,
    End.FOREIGN,
    End.KEYS,
    End.STUCK,
    End.UNREADABLE,
)
"""From the dial that came to nothing to the one that tells most."""
_ABOVE_TCP = {
    End.CLOSED: (
        "closed",
        "closes connections before it has said anything",
        "look at its log, at its limit of open files (LimitNOFILE), and for a proxy between",
    ),
    End.SILENT: (
        "frozen",
        "accepts connections and says nothing: its process is stopped, has no file descriptors left, or is no server "
        "of a mesh",
        "look at it on its host: if 'ps -eo pid,stat,args' says T, kill -CONT PID; else restart it, LimitNOFILE=65536",
    ),
    End.FOREIGN: (
        "not-zeromq",
        "is another program that does not speak ZeroMQ",
        "correct the port, or stop who took it: ss -tlnp on its host says who listens",
    ),
    End.KEYS: ("wants-keys", "takes only callers with keys", "ask whoever runs it for a server without"),
    End.STUCK: (
        "stuck",
        "shakes hands and does not answer a PING: the loop that runs its methods does not turn",
        "restart it, and give the service of slow methods threads: Service(name, threads=8)",
    ),
    End.UNREADABLE: (
        "unreadable",
        "answers with what cannot be read",
        "have both sides run the same version, and advertise it with the --proto that it speaks",
    ),
}
_NO_WAY = (End.NO_ROUTE, End.UNREACHABLE, End.NO_ANSWER)
"""What becomes of a connection to a network that is not reached."""
_GONE = {
    End.NO_ANSWER: "nothing answers there",
    End.UNREACHABLE: "nothing answers there",
    End.REFUSED: "the connection is refused",
    End.CLOSED: "the connection is closed",
}
"""What becomes of a connection to a process that has ended."""


def unreached(observations: Observations, seen: Seen) -> Finding:
    """Return why a server does not answer, and what to do."""
    return _Case(observations, seen).finding()


def may_lead(observations: Observations, seen: Seen, each: Try) -> bool:
    """Tell whether an address leads to its server: one that is ours as well does only if the server is here."""
    host, own = bare(each.address.host), observations.machine.hosts
    if not seen.is_discovered or not (is_loopback(host) or host in own):
        return True
    return any(bare(teller) in own for teller in seen.tellers(observations.hearings))


class _Case:
    """One server that does not answer."""

    def __init__(self, observations: Observations, seen: Seen) -> None:
        self._observations = observations
        self._machine = observations.machine
        self._seen = seen
        self._name = seen.peer.name
        self._leading = [each for each in seen.tries if may_lead(observations, seen, each)]
        self._tellers = plain_hosts(seen.tellers(observations.hearings))
        """Hosts that advertised it when it was looked for."""
        self._speakers = plain_hosts(seen.tellers(observations.again))
        """Hosts that advertise it still, after it did not answer."""

    def finding(self) -> Finding:
        seen, name = self._seen, self._name
        if not self._leading:
            return self._nowhere()
        best = max(self._leading, key=lambda each: _FAR.index(each.end))
        rest = [f"{each.address} ({each.end.value})" for each in seen.tries if each is not best]
        beside = f"; its other addresses: {listed(rest)}" if rest else ""
        where = name if name == str(best.address) else f"{name} at {best.address}"
        if best.end in _NO_WAY and self._tellers and self._is_elsewhere():
            return self._wrong_interface()
        if seen.is_discovered and not self._speakers and best.end in _GONE:
            text = (
                f"the advertisement of {where} is stale: nobody speaks for it any more, and {_GONE[best.end]}: it was "
                f"killed, crashed, or its host has gone{beside}"
            )
            return self._problem("stale", text, f"start {name} again; clients forget its record within 75 minutes")
        if best.end in _ABOVE_TCP:
            code, text, remedy = _ABOVE_TCP[best.end]
            why = f" ({best.why})" if best.why else ""
            return self._problem(code, f"{where} {text}{why}{beside}", remedy)
        return self._without_connection(best, where, beside)

    def _without_connection(self, best: Try, where: str, beside: str) -> Finding:
        """Return what keeps a TCP connection from coming about although the server should be there."""
        address = best.address
        rule = self._own_rule(address.port)
        allow = (
            f"let TCP port {address.port} in on its host: ufw allow {address.port}/tcp, or firewall-cmd "
            f"--add-port={address.port}/tcp (--bind 'tcp://*:{address.port}' keeps the port the same)"
        )
        if rule:
            allow = f"take that rule away, if it is not meant; else {allow}"
        beside = rule + beside
        if best.end is End.NO_HOST:
            text = f"the name of {where} cannot be resolved ({best.why.lower()})"
            return self._problem("unknown-host", text + beside, "correct it, or give the numeric address of the server")
        if best.end is End.NO_ROUTE:
            text = f"this host knows no way to {where} ({best.why.lower()})"
            remedy = "correct the address, or give this host an address in its network or a route to it: ip route add"
            return self._problem("no-route", text + beside, remedy)
        if best.end is End.REFUSED:
            return self._refused(best, where, beside, allow)
        if self._is_present(address.host):
            if best.end is End.UNREACHABLE:
                text = (
                    f"TCP to {where} is rejected by a firewall: its host is there, and the word is {best.why.lower()!r}"
                )
                return self._problem("port-rejected", text + beside, allow)
            text = f"TCP to {where} is dropped by a firewall: its host is there, and the connection gets no answer"
            return self._problem("port-dropped", text + beside, allow)
        if self._machine.neighbours.get(address.host) is False:
            if not self._seen.is_discovered:
                text = f"{where} does not answer: no host with this address is in this network (ARP)"
                return self._problem("no-host", text + beside, "switch its host on, plug it in, or correct the address")
            text = f"{where} is heard by multicast, and its host does not answer when it is looked for directly (ARP)"
            remedy = "turn client isolation off at the access point, or private VLANs at the switch"
            return self._problem("isolated", text + beside, remedy)
        words = f" ({best.why.lower()})" if best.why else ""
        text = f"{where} does not answer{words}; whether it is off, or a firewall is between, cannot be told from here"
        remedy = f"see whether its host is there (ping {address.host}), and which way leads to it (ip route get "
        return self._problem("no-answer", text + beside, f"{remedy}{address.host}); then {allow}")

    def _refused(self, best: Try, where: str, beside: str, allow: str) -> Finding:
        if not self._seen.is_discovered:
            text = f"{where} is refused: its host is there, and nobody listens on that port, or a firewall rejects it"
            remedy = f"start the server, correct the port (ss -tlnp on its host), or {allow}"
            return self._problem("port-refused", text + beside, remedy)
        speakers, host = self._by(self._speakers), bare(best.address.host)
        again = f"start {self._name} again, or stop what speaks for it ('mesh advertise', avahi-publish)"
        if is_loopback(host) or host in self._machine.hosts:
            text = f"the advertisement of {where} is stale: nobody listens there, on this host"
            return self._problem("stale", text + beside, again)
        if any((":" in speaker) == (":" in host) for speaker in self._speakers) and host not in self._speakers:
            text = f"the advertisement of {where} seems to be stale: it is refused, and advertised {speakers}just now"
            return self._problem("stale", text + beside, f"{again}; if it runs, {allow}")
        text = (
            f"{where} is refused, and advertised {speakers}just now: a firewall rejects the port, or the server has "
            f"ended or listens elsewhere"
        )
        return self._problem("port-refused", text + beside, allow)

    def _nowhere(self) -> Finding:
        """Return what is wrong with a server all of whose addresses lead this host to itself."""
        addresses = self._seen.peer.addresses
        what = listed([str(address) for address in addresses])
        text = f"{self._name} is advertised {self._by(self._tellers)}at {what} only"
        remedy = f"serve it with --bind 'tcp://*:{addresses[0].port}', or with --bind and the address of its host"
        if all(is_loopback(address.host) for address in addresses):
            text = f"{text}, where every other host finds itself: it is bound to loopback"
            return self._problem("bound-to-loopback", text, remedy)
        text = f"{text}, an address that this host has as well: bridges of containers are alike on all hosts"
        return self._problem("address-of-this-host", text, remedy)

    def _wrong_interface(self) -> Finding:
        what = listed([str(each.address) for each in self._leading])
        own = listed(
            [f"{link.networks[0]} on {link.name}" for link in self._machine.links if link.used and not link.is_loopback]
        )
        text = (
            f"{self._name} is advertised {self._by(self._tellers)}at {what} only, in a network that this host is not "
            f"in ({own}) and does not reach: the server is bound to the wrong interface"
        )
        port = self._leading[0].address.port
        remedy = f"serve it with --bind 'tcp://*:{port}', or with the interface that both hosts share as --interface"
        return self._problem("wrong-interface", text, remedy)

    @staticmethod
    def _by(hosts: list[str]) -> str:
        return f"by {listed(hosts)} " if hosts else ""

    def _is_elsewhere(self) -> bool:
        return all(self._machine.link_to(each.address.host) is None for each in self._leading)

    def _is_present(self, host: str) -> bool:
        """Tell whether a host of this network was heard just now."""
        heard = {heard for each in self._observations.again for heard in (*each.by_multicast, *each.by_unicast)}
        return bare(host) in (*heard, *self._machine.hosts) or self._machine.neighbours.get(host, False)

    def _own_rule(self, port: int) -> str:
        """Return the words about a rule of this host that names a port of TCP."""
        for rule in self._machine.firewall.suspects:
            if "tcp" in rule.text and re.search(rf"\b{port}\b", rule.text):
                return f"; this host has the rule {rule.text!r} in {rule.chain}"
        return ""

    def _problem(self, code: str, text: str, remedy: str) -> Finding:
        return Finding(Level.PROBLEM, code, self._name, text, remedy)
