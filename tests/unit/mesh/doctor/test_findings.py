"""From observations to findings: what is wrong, how bad it is, and what to do about it."""

from __future__ import annotations

import errno
from dataclasses import replace

import pytest

from discovery.hearing import Hearing, Told
from discovery.model import Address
from mesh.doctor.finding import Level, listed, plain_hosts
from mesh.doctor.findings import diagnose
from mesh.doctor.observations import Answer, End, Firewall, Link, Observations, Rule, Try
from tests.unit.mesh.doctor.cases import ETH, HEALTHY, LAN, LO, MACHINE, A, again, answered, named, observed, seen

STILL = again(Told(A, "a 1"))
"""The server is advertised still, although it did not answer."""
DEAF = Hearing("eth0", "10.0.0.3")
ALONE = Hearing("eth0", "10.0.0.3", hears_itself=True, by_multicast=("10.0.0.3",))


def found(observations: Observations) -> list[tuple[str, str]]:
    return [(finding.level.name.lower(), finding.code) for finding in diagnose(observations).findings]


def the(code: str, observations: Observations) -> str:
    """Return what is said about this finding, with the remedy."""
    [text] = [f"{each.text} -> {each.remedy}" for each in diagnose(observations).findings if each.code == code]
    return text


def failed(step: str, error: int) -> Hearing:
    return Hearing("eth0", "10.0.0.3", step, error)


def with_rules(*rules: Rule, tool: str = "") -> Observations:
    firewall = Firewall(True, rules, tool)
    return observed(machine=replace(MACHINE, firewall=firewall), hearings=(DEAF,))


def test_a_healthy_mesh_gives_no_finding() -> None:
    diagnosis = diagnose(HEALTHY)
    assert diagnosis.findings == ()
    assert diagnosis.usable
    assert diagnosis.healthy
    assert (diagnosis.wanted, diagnosis.serving) == (1, 1)


NOBODY = ("problem", "no-servers")

NETWORK = [
    (observed(hearings=(DEAF,)), [("problem", "multicast-in-blocked"), NOBODY]),
    (observed(hearings=(failed("send", errno.EPERM),)), [("problem", "multicast-out-blocked"), NOBODY]),
    (observed(hearings=(failed("send", errno.ENETUNREACH),)), [("problem", "multicast-no-route"), NOBODY]),
    (observed(hearings=(failed("join", errno.ENODEV),)), [("problem", "multicast-failed"), NOBODY]),
    (
        observed(hearings=(failed("open", errno.EADDRINUSE),), discovery_problem="it is held; stop it."),
        [("problem", "port-held"), NOBODY],
    ),
    (observed(hearings=(LAN,), discovery_problem="'x' is odd; do it."), [("problem", "no-discovery"), NOBODY]),
    (observed(hearings=(ALONE,)), [NOBODY, ("warning", "nobody-else")]),
    # IPv6 works where IPv4 does not, and what others say over it arrives.
    (observed(seen(), hearings=(DEAF, replace(LAN, address="fe80::3"))), []),
    # Who hears others hears, whether his own packets come back or not.
    (observed(seen(), hearings=(replace(LAN, hears_itself=False),)), []),
    (observed(seen(), hearings=(replace(LAN, by_multicast=("10.0.0.3",)),)), [("warning", "multicast-one-way")]),
    (observed(seen(), hearings=(replace(LAN, by_multicast=()),), listened_s=1.0), []),
    # Who ended in the midst of it could not say it by multicast, too.
    (
        observed(seen(End.REFUSED), hearings=(replace(LAN, by_multicast=()),), again=again()),
        [("problem", "stale")],
    ),
    # A fault is no problem where it is not needed.
    (observed(named(End.ANSWERED), hearings=(DEAF,)), [("warning", "multicast-in-blocked")]),
    (observed(named(End.ANSWERED), discovers=False, hearings=()), []),
    (observed(seen(), machine=replace(MACHINE, descriptors=24)), [("warning", "few-descriptors")]),
    (observed(seen(), machine=replace(MACHINE, links=(ETH,))), [("warning", "no-loopback")]),
    # Loopback alone is asked to work where nothing else is looked at.
    (
        observed(
            machine=replace(MACHINE, links=(LO, replace(ETH, used=False))), hearings=(Hearing("lo", "127.0.0.1"),)
        ),
        [("problem", "multicast-in-blocked"), NOBODY],
    ),
    (observed(seen(), hearings=(Hearing("lo", "127.0.0.1"), LAN)), []),
]


@pytest.mark.parametrize(("observations", "codes"), NETWORK)
def test_what_is_wrong_with_the_network(observations: Observations, codes: list[tuple[str, str]]) -> None:
    assert found(observations) == codes


def test_one_interface_that_fails_is_a_warning_while_another_works() -> None:
    other = Link("eth1", ("10.1.0.3/24",), used=True)
    machine = replace(MACHINE, links=(LO, ETH, other))
    both = observed(seen(), machine=machine, hearings=(LAN, Hearing("eth1", "10.1.0.3")))
    assert found(both) == [("warning", "multicast-in-blocked")]


@pytest.mark.parametrize(
    ("link", "in_container", "code", "words"),
    [
        (ETH, False, "nobody-else", "cannot be told whether nobody is there"),
        (ETH, False, "nobody-else", "snoop IGMP without a querier"),
        (ETH, True, "nobody-else", "docker run --network host"),
        (replace(ETH, is_wireless=True), False, "nobody-else", "client isolation"),
        (replace(ETH, networks=("10.0.0.3/32",)), False, "nobody-else", "as tunnels do"),
        (replace(ETH, has_carrier=False), False, "no-carrier", "put the cable in"),
    ],
)
def test_who_hears_nobody_is_told_what_may_be_the_reason(link: Link, in_container: bool, code: str, words: str) -> None:
    machine = replace(MACHINE, links=(LO, link), in_container=in_container)
    assert words in the(code, observed(machine=machine, hearings=(ALONE,)))


@pytest.mark.parametrize(
    ("observations", "words"),
    [
        (
            with_rules(Rule("inet f input", "tcp dport 1 drop"), Rule("inet f input", "udp dport 5353 drop")),
            ["the rule 'udp dport 5353 drop' in inet f input", "nft insert rule inet f input udp dport 5353 accept"],
        ),
        (with_rules(Rule("INPUT", "policy drop")), ["policy drop", "iptables -I INPUT -p udp --dport 5353 -j ACCEPT"]),
        (with_rules(Rule("INPUT", "policy drop"), tool="ufw"), ["ufw allow 5353/udp"]),
        (with_rules(tool="firewalld"), ["firewall-cmd --permanent --add-service=mdns"]),
        # The rule is for the other direction, for another interface, or for something else.
        (with_rules(Rule("inet f input", 'iifname "docker0" drop')), ["drops UDP port 5353 -> let it in"]),
        (with_rules(Rule("inet f input", 'iifname != "eth*" drop')), ["drops UDP port 5353 -> let it in"]),
        (with_rules(Rule("inet f input", 'iifname != "lo" drop')), ["the rule 'iifname != \"lo\" drop'"]),
        (with_rules(Rule("INPUT", "-i wg0 -j DROP")), ["drops UDP port 5353 -> let it in"]),
        (with_rules(Rule("INPUT", "! -i eth+ -j DROP")), ["drops UDP port 5353 -> let it in"]),
        (with_rules(Rule("INPUT", "-i eth+ -j DROP")), ["the rule '-i eth+ -j DROP' in INPUT"]),
        (with_rules(Rule("OUTPUT", "policy drop", outgoing=True)), ["drops UDP port 5353 -> let it in"]),
        (with_rules(Rule("INPUT", "ct state invalid drop")), ["drops UDP port 5353 -> let it in"]),
        (observed(hearings=(DEAF,)), ["its rules can be looked at as root"]),
        (observed(hearings=(replace(DEAF, by_unicast=(A,)),)), [f"what it sends does arrive, for {A} answered it"]),
    ],
)
def test_a_firewall_that_drops_mdns_is_named_with_its_rule_and_the_command(
    observations: Observations, words: list[str]
) -> None:
    for each in words:
        assert each in the("multicast-in-blocked", observations)


def test_what_goes_out_is_let_out() -> None:
    machine = replace(MACHINE, firewall=Firewall(True, (Rule("inet f out", "udp dport 5353 drop", outgoing=True),)))
    blocked = observed(machine=machine, hearings=(failed("send", errno.EPERM),))
    assert "nft insert rule inet f out udp dport 5353 accept" in the("multicast-out-blocked", blocked)


def test_a_port_that_is_held_is_told_with_who_holds_it() -> None:
    held = observed(
        machine=replace(MACHINE, holders=("chatty (pid 7)",)),
        hearings=(failed("open", errno.EADDRINUSE),),
        discovery_problem="'UDP port 5353' cannot be shared; stop the program.",
    )
    assert "UDP port 5353 is held by chatty (pid 7), which does not share it" in the("port-held", held)


SERVERS = [
    (observed(seen(End.REFUSED), again=STILL), "port-refused", [f"advertised by {A} just now", "TCP port 5001"]),
    (observed(seen(End.REFUSED), again=again(heard=[A])), "stale", ["the connection is refused", "start a again"]),
    (observed(seen(End.REFUSED), again=again(Told("10.0.0.2", "a 1"))), "stale", ["by 10.0.0.2 just now"]),
    (observed(seen(End.REFUSED), again=again(Told(A, "a 1", remembered=True))), "stale", ["nobody speaks for it"]),
    (observed(seen(End.CLOSED), again=again()), "stale", ["the connection is closed"]),
    (observed(seen(End.NO_ANSWER), again=again()), "stale", ["nothing answers there"]),
    (observed(seen(End.NO_ANSWER), again=STILL), "port-dropped", ["dropped by a firewall", "ufw allow 5001/tcp"]),
    (
        observed(seen(End.UNREACHABLE, why="No route to host"), again=STILL),
        "port-rejected",
        ["rejected by a firewall", "'no route to host'"],
    ),
    (
        observed(seen(End.NO_ANSWER, "fe80::1%eth0"), again=again(Told("fe80::1", "a 1"))),
        "port-dropped",
        ["its host is there"],
    ),
    (
        observed(seen(End.REFUSED, "fe80::1%eth0"), again=again(Told("fe80::1", "a 1"))),
        "port-refused",
        ["by fe80::1 just now"],
    ),
    (observed(seen(End.CLOSED), again=STILL), "closed", ["LimitNOFILE"]),
    (observed(seen(End.SILENT), again=again()), "frozen", ["its process is stopped", "kill -CONT"]),
    (observed(seen(End.FOREIGN, why="it says 'SSH'"), again=STILL), "not-zeromq", ["(it says 'SSH')", "ss -tlnp"]),
    (observed(seen(End.KEYS), again=STILL), "wants-keys", ["only callers with keys"]),
    (observed(seen(End.STUCK), again=STILL), "stuck", ["the loop that runs its methods does not turn", "threads=8"]),
    (observed(seen(End.UNREADABLE), again=STILL), "unreadable", ["the same version"]),
    (observed(seen(End.REFUSED, "127.0.0.1"), again=STILL), "bound-to-loopback", [f"by {A} at 127.0.0.1:5001 only"]),
    (observed(seen(End.REFUSED, "10.0.0.3"), again=STILL), "address-of-this-host", ["bridges of containers"]),
    (
        observed(seen(End.NO_ROUTE, "10.99.0.1"), again=STILL),
        "wrong-interface",
        [f"by {A} at 10.99.0.1:5001 only", "10.0.0.3/24 on eth0", "--bind 'tcp://*:5001'"],
    ),
    (observed(seen(End.NO_ANSWER, "10.99.0.1"), again=STILL), "wrong-interface", ["bound to the wrong interface"]),
    (observed(seen(End.SILENT, "10.99.0.1"), again=STILL), "frozen", ["says nothing"]),
    (observed(seen(End.REFUSED, "10.99.0.1"), again=STILL), "stale", [f"by {A} just now", "if it runs, let TCP port"]),
    (observed(named(End.REFUSED)), "port-refused", [f"{A}:5001 is refused: its host is there"]),
    (observed(named(End.NO_ANSWER, "10.99.0.1")), "no-answer", ["cannot be told from here"]),
    (observed(named(End.NO_ROUTE, "10.99.0.1", "Network is unreachable")), "no-route", ["(network is unreachable)"]),
    (observed(named(End.NO_HOST, "nix.lan", "Not known")), "unknown-host", ["cannot be resolved (not known)"]),
    (
        observed(named(End.NO_ANSWER), machine=replace(MACHINE, neighbours={A: False})),
        "no-host",
        ["no host with this address is in this network"],
    ),
    (
        observed(named(End.NO_ANSWER), machine=replace(MACHINE, neighbours={A: True})),
        "port-dropped",
        ["its host is there"],
    ),
    (
        observed(
            seen(End.NO_ANSWER),
            machine=replace(MACHINE, neighbours={A: False}),
            again=(replace(LAN, by_multicast=("fe80::1",), by_unicast=(), told=(Told("fe80::1", "a 1"),)),),
        ),
        "isolated",
        ["heard by multicast", "client isolation"],
    ),
]


@pytest.mark.parametrize(("observations", "code", "words"), SERVERS)
def test_why_a_server_does_not_answer(observations: Observations, code: str, words: list[str]) -> None:
    assert found(observations) == [("problem", code)]
    for each in words:
        assert each in the(code, observations)
    diagnosis = diagnose(observations)
    assert not diagnosis.usable
    assert not diagnosis.network_fails


def test_a_rule_of_this_host_that_names_the_port_is_told() -> None:
    machine = replace(MACHINE, firewall=Firewall(True, (Rule("inet f out", "tcp dport 5001 drop", outgoing=True),)))
    dropped = the("port-dropped", observed(seen(End.NO_ANSWER), machine=machine, again=STILL))
    assert "this host has the rule 'tcp dport 5001 drop' in inet f out" in dropped
    assert "take that rule away" in dropped


def test_the_most_telling_of_several_addresses_counts_and_the_others_are_named() -> None:
    one = seen(End.REFUSED)
    both = replace(one, tries=(Try(Address("10.99.0.1", 5001), End.NO_ROUTE), *one.tries))
    assert "its other addresses: 10.99.0.1:5001 (no route)" in the("port-refused", observed(both, again=STILL))


def test_a_server_that_answers_at_one_address_only_is_fine() -> None:
    one = seen()
    both = replace(one, tries=(Try(Address("10.99.0.1", 5001), End.NO_ROUTE), *one.tries))
    assert found(observed(both)) == [("note", "address-silent")]
    # Its loopback leads us to ourselves: that says nothing.
    both = replace(one, tries=(Try(Address("127.0.0.1", 5001), End.REFUSED), *one.tries))
    assert found(observed(both)) == []


@pytest.mark.parametrize(
    ("change", "level", "code", "words"),
    [
        ({"state": "DRAINING"}, "warning", "draining", "refuses new calls"),
        ({"state": "NOT_SERVING"}, "warning", "draining", "does not serve any more"),
        ({"large_lost": True}, "problem", "large-packets-lost", "MTU"),
        ({"wall_offset_s": -7300.0}, "note", "clock-differs", "a (host lab) is 2 hours behind ours"),
        ({"wall_offset_s": 3e7}, "note", "clock-differs", "347 days ahead of ours"),
    ],
)
def test_what_is_to_be_said_of_a_server_that_answers(
    change: dict[str, object], level: str, code: str, words: str
) -> None:
    observations = observed(seen(answer=replace(answered(), **change)))  # type: ignore[arg-type]
    assert found(observations) == [(level, code)]
    assert words in the(code, observations)


def test_a_server_that_drains_answers_and_takes_no_calls() -> None:
    drains = seen(name="b", answer=replace(answered("b"), state="DRAINING"))
    assert diagnose(observed(seen(), drains)).healthy
    assert not diagnose(observed(drains)).usable


def test_who_answers_at_the_address_of_another_is_told_and_serves_under_his_own_name() -> None:
    # Such as a server behind NAT, for which somebody advertises another address.
    other = observed(seen(answer=answered("b")))
    assert found(other) == [("note", "other-server")]
    assert "who answers for a is called b" in the("other-server", other)
    assert found(replace(other, target="work")) == [("note", "other-server")]
    assert diagnose(replace(other, target="b")).healthy
    missed = replace(other, target="a")
    assert found(missed) == [("problem", "other-server")]
    assert not diagnose(missed).usable


def test_the_answer_of_the_server_itself_counts_before_a_faster_one_of_another() -> None:
    one = seen()
    faster = Try(Address("10.0.0.9", 5001), End.ANSWERED, answer=replace(answered("b"), rtt_s=0.0001))
    both = replace(one, tries=(faster, *one.tries))
    assert found(observed(both, target="a")) == []


def test_on_the_host_of_the_server_its_loopback_is_its_own() -> None:
    here = replace(LAN, told=(Told("10.0.0.3", "a 1"),))
    for host in ("127.0.0.1", "127.0.0.2", "10.0.0.3"):
        gone = observed(seen(End.REFUSED, host), hearings=(here,), again=(here,))
        assert "nobody listens there, on this host" in the("stale", gone)
    assert found(observed(seen(End.ANSWERED, "127.0.0.1"), hearings=(here,))) == [("note", "loopback-only")]
    alone = replace(MACHINE, links=(LO, replace(ETH, used=False)))
    lo = Hearing("lo", "127.0.0.1", hears_itself=True, told=here.told)
    assert found(observed(seen(End.ANSWERED, "127.0.0.1"), hearings=(lo,), machine=alone)) == []


def test_servers_of_another_realm_are_told_and_not_examined() -> None:
    other = seen(End.REFUSED, name="b", realm="lab2")
    assert found(observed(seen(), other)) == [("note", "other-realm")]
    assert found(observed(other)) == [("problem", "other-realm")]
    missed = observed(seen(), other, target="b")
    assert found(missed) == [("problem", "other-realm")]
    assert "b is in the realm 'lab2', and this is about the realm 'default'" in the("other-realm", missed)
    assert "--realm lab2" in the("other-realm", missed)
    assert not diagnose(missed).usable


def test_a_realm_that_strangers_made_up_is_quoted_in_what_is_to_be_copied() -> None:
    assert "--realm 'x; halt' or" in the("other-realm", observed(seen(realm="x; halt")))


def test_a_named_server_that_does_not_answer_may_be_of_any_realm() -> None:
    assert found(observed(named(End.REFUSED), realm="lab2")) == [("problem", "port-refused")]


def test_what_a_server_says_of_its_realm_counts_before_what_is_advertised() -> None:
    assert found(observed(seen(answer=answered(realm="lab2")))) == [("problem", "other-realm")]


def test_two_servers_of_one_name_are_told_apart_by_their_addresses() -> None:
    twin = seen(End.ANSWERED, "10.0.0.2")
    twin = replace(twin, peer=replace(twin.peer, peer_id="id-2"), tries=seen(answer=Answer(0.1, "id-2", "a")).tries)
    both = observed(seen(), twin)
    assert found(both) == [("warning", "same-name")]
    assert "2 servers are called a (10.0.0.1:5001 and 10.0.0.2:5001)" in the("same-name", both)
    assert diagnose(both).healthy


@pytest.mark.parametrize("target", ["a", "id-a", "work", "work.echo"])
def test_a_server_is_asked_about_by_name_id_service_or_method(target: str) -> None:
    other = seen(End.REFUSED, "10.0.0.2", name="b")
    other = replace(other, peer=replace(other.peer, services=("rest",)))
    diagnosis = diagnose(observed(seen(), other, target=target))
    assert diagnosis.findings == ()
    assert (diagnosis.wanted, diagnosis.serving) == (1, 1)


def test_who_is_not_seen_is_told_beside_those_who_are() -> None:
    missed = observed(seen(), target="b")
    assert found(missed) == [("problem", "not-seen")]
    assert "nobody is called b or offers it; seen are a and work" in the("not-seen", missed)


def test_who_is_remembered_by_others_has_ended_without_a_goodbye() -> None:
    remembered = replace(LAN, told=(Told("10.0.0.2", "b 0123456789", remembered=True),))
    missed = observed(hearings=(remembered,), target="b")
    assert "10.0.0.2 remembers it" in the("stale", missed)


def test_interfaces_that_are_left_out_are_named_when_somebody_is_missed() -> None:
    tunnel = Link("tun0", ("10.8.0.2/24",), used=False, left_out="leads through a tunnel")
    machine = replace(MACHINE, links=(LO, ETH, tunnel), default_link="tun0")
    text = the("no-servers", observed(machine=machine))
    assert "not looked at: tun0 (leads through a tunnel)" in text
    assert "all other networks are reached through tun0, where multicast does not go" in text
    assert "look elsewhere with --interface tun0" in text


def test_where_the_network_fails_that_comes_first() -> None:
    blocked = observed(hearings=(DEAF,), target="a")
    assert "mend the network as said above" in the("not-seen", blocked)
    assert diagnose(blocked).network_fails


def test_a_mesh_of_which_a_part_answers_is_usable_and_not_healthy() -> None:
    diagnosis = diagnose(observed(seen(), seen(End.REFUSED, name="b"), again=again()))
    assert diagnosis.usable
    assert not diagnosis.healthy
    assert [finding.level for finding in diagnosis.findings] == [Level.PROBLEM]


def test_lists_are_written_as_people_do() -> None:
    assert listed([]) == ""
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(["a", "b", "c"], most=2) == "a, b and 1 more"
    assert plain_hosts(["fe80::1", "10.0.0.10", "10.0.0.9", "10.0.0.9"]) == ["10.0.0.9", "10.0.0.10"]
    assert plain_hosts(["fe80::1"]) == ["fe80::1"]
