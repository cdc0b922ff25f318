"""Avahi and we see each other: the second opinion on what we send and on what we understand.

Avahi runs with a message bus of its own in a network namespace, so that no packet leaves this machine and no
daemon of it is touched.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from discovery.txt import digest
from tests.helpers.needs import needs_netns, needs_program, needs_root
from tests.helpers.process import Process, spawn

pytestmark = [
    pytest.mark.slow,
    pytest.mark.network,
    pytest.mark.timeout(60),
    needs_root,
    needs_netns,
    *map(needs_program, ("avahi-daemon", "avahi-browse", "avahi-publish", "dbus-daemon")),
]

_BUS = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/><allow user="*"/>
  </policy>
</busconfig>
"""
_DAEMON = """\
[server]
host-name=avahi-test
use-ipv6=no
allow-interfaces=lo
[publish]
publish-workstation=no
"""
# Loopback can do multicast only if it is told so; avahi leaves it out otherwise.
_PREPARE = """\
set -e
mount -t tmpfs none /run
mkdir -p /run/dbus /run/avahi-daemon
ip link set lo up multicast on
ip route add 224.0.0.0/4 dev lo
dbus-daemon --config-file="$1/bus.conf" --nofork &
until [ -S /run/dbus/system_bus_socket ]; do sleep 0.05; done
avahi-daemon --no-drop-root --no-chroot --no-rlimits -f "$1/avahi.conf" &
until [ -S /run/avahi-daemon/socket ]; do sleep 0.05; done
"""
_ADVERTISE = """\
import sys, time
from pathlib import Path
from discovery import Address, MdnsAdvertiser, Peer
peer = Peer("p1", "Ann", ("echo",), (Address("127.0.0.1", 5555),), {"proto": "mesh/1"}, (), 1, 2)
with MdnsAdvertiser(["127.0.0.1"]) as advertiser:
    advertiser.start(peer)
    while not Path(sys.argv[1], "stop").exists():
        time.sleep(0.05)
print("stopped")
time.sleep(30)
"""
_BROWSE = """\
import time
from discovery import MdnsBrowser
with MdnsBrowser(["127.0.0.1"]) as browser:
    browser.start(print)
    time.sleep(30)
"""

Run = Callable[[str, str], Process]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """Run a shell script, and a Python program that it calls ``"$@"``, beside a running Avahi."""
    (tmp_path / "bus.conf").write_text(_BUS)
    (tmp_path / "avahi.conf").write_text(_DAEMON)
    with ExitStack() as stack:

        def start(script: str, program: str) -> Process:
            (tmp_path / "program.py").write_text(program)
            unshare = ["unshare", "--net", "--mount", "--propagation", "private"]
            shell = ["sh", "-c", f"{_PREPARE}\n{script}", "sh", str(tmp_path)]
            environment = {"PYTHONPATH": str(Path.cwd()), "PYTHON": sys.executable}
            return stack.enter_context(spawn([*unshare, *shell], env=environment))

        yield start


def test_avahi_sees_our_peer_by_type_and_by_service(run: Run, tmp_path: Path) -> None:
    process = run(
        """
        avahi-browse -pr _zmq-mesh._tcp | sed -u 's/^/type /' &
        avahi-browse -pr _echo._sub._zmq-mesh._tcp | sed -u 's/^/service /' &
        "$PYTHON" "$1/program.py" "$1"
        """,
        _ADVERTISE,
    )
    label = rf"Ann\\032{digest('p1')}"
    found = rf"=;lo;IPv4;{label};_zmq-mesh\._tcp;local;peer-{digest('p1')}\.local;127\.0\.0\.1;5555;(.*)"
    for how in ("type", "service"):
        strings = process.wait_line(f"^{how} {found}", 20)[1]
        assert {'"txtvers=1"', '"id=p1"', '"proto=mesh/1"', '"svc=echo"'} <= set(strings.split())
    (tmp_path / "stop").touch()
    process.wait_line("^stopped", 10)
    process.wait_line(rf"^type -;lo;IPv4;{label};", 10)
    process.wait_line(rf"^service -;lo;IPv4;{label};", 10)


def test_we_see_a_peer_of_avahi_and_its_goodbye(run: Run, tmp_path: Path) -> None:
    process = run(
        """
        "$PYTHON" "$1/program.py" &
        avahi-publish -s "Bob's server" _zmq-mesh._tcp 7777 id=bob svc=echo,time &
        until [ -e "$1/stop" ]; do sleep 0.05; done
        kill $!
        wait
        """,
        _BROWSE,
    )
    line = process.wait_line(r"PeerAdded\(.*", 20)[0]
    assert "peer_id='bob'" in line
    assert '''name="Bob's server"''' in line
    assert "services=('echo', 'time')" in line
    assert "Address(host='127.0.0.1', port=7777)" in line
    (tmp_path / "stop").touch()
    process.wait_line(r"PeerRemoved\(.*peer_id='bob'", 10)
