"""Where `mesh call` looks first, and how it is kept from it."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from discovery import Address, DiscoveryError, MemoryHub, Peer, PeerCache
from mesh import Server
from mesh.cli.cache import add_cache_option, warm_browser
from mesh.cli.exits import Exit
from tests.unit.mesh.cli.conftest import calc_service

Run = Callable[..., tuple[int, str, str]]
REALM = "cached"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the cache is; nothing is there yet."""
    monkeypatch.delenv("MESH_NO_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("MESH_REALM", REALM)
    return tmp_path / "freelance-mesh"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> MemoryHub:
    """What mDNS finds."""
    hub = MemoryHub()
    monkeypatch.setattr("discovery.MdnsBrowser", lambda interfaces: hub.browser(), raising=False)
    return hub


def peer_of(server: Server, **changed: str) -> Peer:
    address = Address.parse(server.endpoints[0].removeprefix("tcp://"))
    return Peer(server.peer_id, server.name, ("calc",), (address,), {"realm": REALM} | changed, ("memory",))


def remembered(folder: Path) -> list[str]:
    """Return the names of the peers in the only file."""
    [path] = folder.iterdir()
    return [peer["name"] for peer in json.loads(path.read_text())["peers"]]


@pytest.fixture
def calc() -> Server:
    """A server, not started."""
    return Server(calc_service(), bind="tcp://127.0.0.1:0", advertise=False, realm=REALM)


def test_a_server_that_was_found_is_called_without_mdns_the_next_time(
    run: Run, folder: Path, hub: MemoryHub, calc: Server
) -> None:
    with calc:
        hub.put(peer_of(calc))
        hub.put(Peer("other", "other-realm", ("calc",), (), {"realm": "other"}))
        assert run("call", "calc.add", "2", "3") == (0, "5\n", "")
        assert remembered(folder) == [calc.name]
        hub.drop(calc.peer_id)
        assert run("call", "calc.add", "2", "3") == (0, "5\n", "")
        assert run("call", "calc.add", "2", "--no-cache", "--timeout", "0.1")[0] == Exit.NO_SERVER


def test_what_the_cache_says_is_proven_by_the_server_itself(
    run: Run, folder: Path, hub: MemoryHub, calc: Server
) -> None:
    with calc:
        PeerCache(str(folder), f"{REALM}2 127.0.0.1").write([peer_of(calc, realm=f"{REALM}2")])
        code, _, err = run("call", "calc.add", "2", "--realm", f"{REALM}2", "--timeout", "1")
    assert code == Exit.NO_SERVER
    assert "realm" in err


def test_servers_that_are_gone_are_in_nobodys_way(run: Run, folder: Path, hub: MemoryHub, calc: Server) -> None:
    with calc:
        gone = Peer("gone", "gone", ("calc",), (Address("127.0.0.1", 1),), {"realm": REALM})
        PeerCache(str(folder), f"{REALM} 127.0.0.1").write([gone])
        hub.put(peer_of(calc))
        assert run("call", "calc.add", "2", "3") == (0, "5\n", "")
    assert remembered(folder) == [calc.name, "gone"]


def test_only_servers_that_may_be_meant_are_proposed(run: Run, folder: Path, hub: MemoryHub, calc: Server) -> None:
    with calc:
        PeerCache(str(folder), f"{REALM} 127.0.0.1").write([peer_of(calc)])
        assert run("call", "mesh.ping", "--raw")[0] == 0
        assert run("call", "calc.add", "1", "--peer", calc.name) == (0, "11\n", "")
        assert "No server was seen" in run("call", "calc.add", "1", "--peer", "b", "--timeout", "0.1")[2]
        assert "No server was seen" in run("call", "calk.add", "1", "--timeout", "0.1")[2]


def test_a_network_that_cannot_be_used_is_said_after_all(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(interfaces: list[str]) -> None:
        raise DiscoveryError(interfaces[0], "is no interface", "choose another")

    monkeypatch.setattr("discovery.MdnsBrowser", refuse, raising=False)
    gone = Peer("gone", "gone", ("calc",), (Address("127.0.0.1", 1),))
    PeerCache(str(folder), f"{REALM} 127.0.0.1").write([gone])
    code, _, err = run("call", "calc.add", "1", "--timeout", "0.2")
    assert (code, err) == (Exit.NETWORK, "mesh: '127.0.0.1' is no interface; choose another.\n")


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_cache_option(parser)
    parser.set_defaults(server=None, realm=None, interface=None, method="a.b", peer=None)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("variable", "value"), [("MESH_NO_CACHE", "1"), ("MESH_NO_CACHE", "yes"), ("HOME", "relative")]
)
def test_the_environment_switches_it_off(
    folder: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv("MESH_NO_CACHE", "0")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/is/ignored")
    assert warm_browser(arguments()) is not None
    assert warm_browser(arguments("--no-cache")) is None
    monkeypatch.setenv(variable, value)
    assert warm_browser(arguments()) is None


def test_a_cached_server_is_called_without_zeroconf(folder: Path, calc: Server) -> None:
    program = (
        "import sys; from discovery import warm; warm._PATIENCE_S = 60; "
        "from mesh.cli.main import main; code = main(['call', 'calc.add', '2', '3']); "
        "print(code, 'zeroconf' in sys.modules)"
    )
    with calc:
        PeerCache(str(folder), f"{REALM} 127.0.0.1").write([peer_of(calc)])
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (ended.stdout, ended.stderr) == ("5\n0 False\n", "")
