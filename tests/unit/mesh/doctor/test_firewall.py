"""Which rules may drop what this host receives or sends."""

from __future__ import annotations

from mesh.doctor.firewall import iptables_suspects, nft_suspects
from mesh.doctor.observations import Rule

NFT = """\
table inet filter {
    chain input {
        type filter hook input priority filter; policy drop;
        ct state established,related accept
        tcp dport 22 accept
        ip saddr 10.0.0.0/8 jump guests
        udp dport 67 goto input
    }
    chain guests {
        udp dport 5353 counter packets 0 bytes 0 drop
    }
    chain output {
        type filter hook output priority 0; policy accept;
        reject with icmpx admin-prohibited
    }
    chain forward {
        type filter hook forward priority 0; policy drop;
        jump docker
    }
    chain docker {
        oifname "docker0" drop
    }
    chain nat {
        type nat hook postrouting priority srcnat; policy accept;
        oifname "eth0" masquerade
    }
}
table ip other {
    chain guests {
        udp dport 5353 drop
    }
}
"""

IPTABLES = """\
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:ufw-user-input - [0:0]
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A INPUT -j ufw-user-input
-A FORWARD -j DOCKER
-A DOCKER -o docker0 -j DROP
-A ufw-user-input -p udp -m udp --dport 5353 -j DROP
-A OUTPUT -d 224.0.0.0/4 -j REJECT --reject-with icmp-port-unreachable
COMMIT
"""


def test_rules_are_found_wherever_packets_of_this_host_pass_and_nowhere_else() -> None:
    assert nft_suspects(NFT) == [
        Rule("inet filter input", "policy drop"),
        Rule("inet filter guests", "udp dport 5353 counter packets 0 bytes 0 drop"),
        Rule("inet filter output", "reject with icmpx admin-prohibited", outgoing=True),
    ]
    assert iptables_suspects(IPTABLES) == [
        Rule("INPUT", "policy drop"),
        Rule("ufw-user-input", "-p udp -m udp --dport 5353 -j DROP"),
        Rule("OUTPUT", "-d 224.0.0.0/4 -j REJECT --reject-with icmp-port-unreachable", outgoing=True),
    ]


def test_what_cannot_be_read_gives_no_rule() -> None:
    assert nft_suspects("") == iptables_suspects("") == []
    assert nft_suspects("drop\n}\ntable\nchain x {\ndrop") == []
    assert iptables_suspects("-A\n:\n-A INPUT") == []
