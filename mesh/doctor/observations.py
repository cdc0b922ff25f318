"""What the doctor saw: values, which `mesh.doctor.findings` turns into findings. Pure."""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from discovery.hearing import Hearing
from discovery.model import Address, Peer

__all__ = ["Answer", "End", "Firewall", "Link", "Machine", "Observations", "Rule", "Seen", "Try", "bare", "is_loopback"]


class End(enum.Enum):
    """How far a PING to one address came."""

    NO_HOST = "unknown host"
    """Its name could not be resolved."""
    NO_ROUTE = "no route"
    """This host knows no way to its network."""
    UNREACHABLE = "unreachable"
    """The host itself, or one on the way, said that there is no way."""
    NO_ANSWER = "no answer"
    """The question for a TCP connection (SYN) was not answered."""
    REFUSED = "refused"
    """It was answered with a refusal."""
    CLOSED = "closed"
    """A connection came about and was closed before the handshake ended."""
    SILENT = "silent"
    """A connection came about, and nothing came over it: the system accepted it, the program did not."""
    FOREIGN = "not ZeroMQ"
    """Another protocol is spoken there."""
    KEYS = "wants keys"
    """It takes only callers that have keys."""
    STUCK = "stuck"
    """The handshake succeeded, and the PING was not answered: the program's loop does not turn."""
    UNREADABLE = "unreadable"
    """What was answered is not what its advertisement says it speaks."""
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said of itself."""

    rtt_s: float
    """The shortest of some round trips of PING and PONG; for a REP server, of the handshake."""
    peer_id: str = ""
    """Its id; empty if it cannot say (10/FLP, REP)."""
    name: str = ""
    realm: str = ""
    services: tuple[str, ...] = ()
    state: str = "SERVING"
    """`SERVING`, `DRAINING` or `NOT_SERVING`."""
    host: str = ""
    """The name of its host; empty if it did not say."""
    clock_offset_s: float | None = None
    """How far its monotonic clock is ahead of ours; calls reckon with that, so any number is right."""
    wall_offset_s: float | None = None
    """How far the time of day that follows from its start and its uptime is ahead of ours."""
    large_lost: bool = False
    """Small PINGs were answered and one that fills several packets was not."""


@dataclass(frozen=True, slots=True)
class Try:
    """A PING to one address of a server."""

    address: Address
    end: End
    why: str = ""
    """The words of the system or of the other side, where there are any."""
    connect_s: float | None = None
    """Until the TCP connection came about."""
    answer: Answer | None = None
    """Present if it was answered."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One server that was discovered or named, and what each of its addresses did."""

    peer: Peer
    tries: tuple[Try, ...]
    labels: tuple[str, ...] = ()
    """What its instance may be called, by which others speak of it; empty if it was only named."""

    @property
    def answer(self) -> Answer | None:
        """The fastest answer of the server itself, or else of another one at its address."""
        answers = [each.answer for each in self.tries if each.answer is not None]
        return min(answers, key=lambda answer: (not self.is_own(answer), answer.rtt_s), default=None)

    @property
    def is_discovered(self) -> bool:
        """Whether it is advertised, not only named."""
        return "mdns" in self.peer.sources

    @property
    def realm(self) -> str:
        """The name of its mesh: what it says counts before what is advertised; empty if nobody knows."""
        said = self.answer.realm if self.answer is not None else ""
        return said or self.peer.properties.get("realm") or ("default" if self.is_discovered else "")

    def tellers(self, hearings: Iterable[Hearing]) -> list[str]:
        """Return the hosts that advertised it."""
        told = (told for hearing in hearings for told in hearing.told)
        return [each.host for each in told if each.label in self.labels and not each.remembered]

    def is_own(self, answer: Answer) -> bool:
        """Tell whether this server gave the answer; of one that was only named nobody knows the id."""
        return answer.peer_id in ("", self.peer.peer_id) or not self.is_discovered


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface of this host that is up."""

    name: str
    networks: tuple[str, ...]
    """Address and prefix of each: `10.0.0.7/24`."""
    used: bool
    left_out: str = ""
    """Why discovery does not use it; may be empty although it does not."""
    has_carrier: bool = True
    is_wireless: bool = False

    @property
    def is_loopback(self) -> bool:
        """Whether it leads nowhere but to this host."""
        return all(is_loopback(network.partition("/")[0]) for network in self.networks)

    @property
    def is_point_to_point(self) -> bool:
        """Whether it has an address without a network around it, as tunnels do."""
        fours = [network for network in self.networks if ":" not in network]
        return bool(fours) and all(network.endswith("/32") for network in fours)

    def holds(self, host: str) -> bool:
        """Tell whether an address is in one of its networks, or in its scope."""
        address, _, scope = host.partition("%")
        if scope:
            return scope == self.name
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(ip in ipaddress.ip_network(network, strict=False) for network in self.networks)


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of this host's firewall that may be what is in the way."""

    chain: str
    """Where it stands: `inet filter input`, or with iptables `INPUT`."""
    text: str
    """The rule as it is listed: `udp dport 5353 drop`; `policy drop` for what no rule takes."""
    outgoing: bool = False


@dataclass(frozen=True, slots=True)
class Firewall:
    """The rules of this host, as far as they can be read."""

    readable: bool = False
    suspects: tuple[Rule, ...] = ()
    """Rules that drop or reject what may be ours."""
    tool: str = ""
    """What manages them: `ufw`, `firewalld`, or nothing known."""


@dataclass(frozen=True, slots=True)
class Machine:
    """This host."""

    links: tuple[Link, ...] = ()
    descriptors: int = 65536
    """Files and sockets that one process may have open."""
    holders: tuple[str, ...] = ()
    """Programs that have UDP port 5353 open: `avahi-daemon (pid 812)`."""
    firewall: Firewall = field(default_factory=Firewall)
    neighbours: Mapping[str, bool] = field(default_factory=dict)
    """IPv4 hosts of our networks that were looked for (ARP), and whether they answered that."""
    default_link: str = ""
    """The interface that leads to all other networks."""
    in_container: bool = False

    @property
    def hosts(self) -> tuple[str, ...]:
        """Our own addresses."""
        return tuple(network.partition("/")[0] for link in self.links for network in link.networks)

    def link_to(self, host: str) -> Link | None:
        """Return the interface in whose network an address is."""
        return next((link for link in self.links if link.holds(host)), None)


@dataclass(frozen=True, slots=True)
class Observations:
    """All of it."""

    realm: str
    """The realm that is looked into."""
    machine: Machine
    target: str = ""
    """The server or service that is missed; empty: none in particular."""
    discovers: bool = True
    """Whether mDNS is used; not if servers were named on the command line."""
    discovery_problem: str = ""
    """Why discovery could not begin."""
    hearings: tuple[Hearing, ...] = ()
    """What multicast did on each interface."""
    again: tuple[Hearing, ...] = ()
    """The same a moment later, when those were asked for who had not answered."""
    seen: tuple[Seen, ...] = ()
    listened_s: float = 2.0

    def wanted(self) -> tuple[Seen, ...]:
        """Return the servers that are asked about, of every realm."""
        service = self.target.partition(".")[0]
        return tuple(
            each
            for each in self.seen
            if not self.target
            or self.target in (each.peer.name, each.peer.peer_id)
            or service in each.peer.services
            or (each.answer is not None and (self.target == each.answer.name or service in each.answer.services))
        )

    def here(self) -> tuple[Seen, ...]:
        """Return those of them that are of this realm, as far as is known."""
        return tuple(seen for seen in self.wanted() if seen.realm in ("", self.realm))

    def serving(self) -> tuple[Seen, ...]:
        """Return those of these that take calls."""
        return tuple(
            seen
            for seen in self.here()
            if seen.answer is not None and seen.answer.state == "SERVING" and self.means(seen, seen.answer)
        )

    def means(self, seen: Seen, answer: Answer) -> bool:
        """Tell whether who answered is asked about, not only what is advertised for him: calls go by what he says."""
        if not self.target or seen.is_own(answer):
            return True
        return self.target in (answer.name, answer.peer_id) or self.target.partition(".")[0] in answer.services

    def others(self, hearing: Hearing) -> list[str]:
        """Return the other hosts that were heard over an interface."""
        own = set(self.machine.hosts)
        return [host for host in dict.fromkeys(hearing.by_multicast + hearing.by_unicast) if bare(host) not in own]


def bare(host: str) -> str:
    """Return an address without its scope."""
    return host.partition("%")[0]


def is_loopback(host: str) -> bool:
    """Tell whether an address leads a host to itself."""
    try:
        return ipaddress.ip_address(bare(host)).is_loopback
    except ValueError:
        return host == "localhost"
