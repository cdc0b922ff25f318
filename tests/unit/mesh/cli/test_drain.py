"""`mesh drain`: servers that finish what they have, serve again, refuse, or are not there."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import pytest

from mesh import Client, Server, ServerConfig, Service
from tests.helpers import PATIENCE_S, free_port, wait_until
from tests.unit.mesh.cli.conftest import Run


class Slow:
    """A server with a method that waits for the test."""

    def __init__(self, name: str, **settings: object) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()
        service = Service("slow", threads=2)

        @service.method
        def wait() -> str:
            self.entered.set()
            self.opened.wait(PATIENCE_S)
            return name

        config = ServerConfig(**settings)  # type: ignore[arg-type]
        self.server = Server(service, bind="tcp://127.0.0.1:0", name=name, advertise=False, config=config)

    @property
    def state(self) -> str:
        """What it says of itself."""
        with Client(self.server.endpoints, discover=False) as client:
            return str(client.call("mesh.health")["status"])


@pytest.fixture
def slow() -> Iterator[Slow]:
    slow = Slow("slow-1")
    with slow.server:
        yield slow
        slow.opened.set()


def test_a_server_drains_until_that_is_undone(run: Run, slow: Slow) -> None:
    [endpoint] = slow.server.endpoints
    code, out, err = run("drain", "slow-1", "--server", endpoint)
    assert (code, out) == (0, "slow-1 drains: no calls left\n")
    assert err == "mesh: note: nobody else offers 'slow' now; its callers wait, and fail at their deadlines\n"
    assert slow.state == "DRAINING"
    assert run("call", "slow.wait", "--server", endpoint, "--timeout", "0.3")[0] == 3
    assert run("ls", "--server", endpoint)[1].splitlines()[1].split()[:2] == ["slow-1", "draining"]
    assert run("ping", "slow-1", "--server", endpoint)[0] == 0
    assert run("drain", "slow-1", "--undo", "--server", endpoint)[:2] == (0, "slow-1 takes calls again\n")
    slow.opened.set()
    assert run("call", "slow.wait", "--server", endpoint) == (0, '"slow-1"\n', "")


def test_one_of_two_is_drained_without_a_note(run: Run, slow: Slow) -> None:
    other = Slow("slow-2")
    with other.server:
        servers = ["--server", *slow.server.endpoints, "--server", *other.server.endpoints]
        code, out, err = run("drain", "slow-2", *servers)
        assert (code, out, err) == (0, "slow-2 drains: no calls left\n", "")
        assert (slow.state, other.state) == ("SERVING", "DRAINING")


def test_a_drain_is_waited_for(run: Run, slow: Slow) -> None:
    [endpoint] = slow.server.endpoints
    with Client([endpoint], discover=False) as client:
        caller = threading.Thread(target=client.call, args=("slow.wait",))
        caller.start()
        slow.entered.wait(PATIENCE_S)
        code, out, err = run("drain", "slow-1", "--wait", "--timeout", "1", "--server", endpoint)
        assert (code, out) == (4, "slow-1 drains: 1 call left\n")
        assert err.splitlines()[-1] == "mesh: slow-1 still drains: 1 call left; wait on with a longer --timeout"
        threading.Timer(0.2, slow.opened.set).start()
        code, out, err = run("drain", "slow-1", "--wait", "--json", "--server", endpoint)
        told = json.loads(out)
        assert (code, told["ok"], told["name"], told["state"], told["in_flight"]) == (0, True, "slow-1", "DRAINING", 0)
        caller.join()


def test_a_drain_that_somebody_undoes_is_not_waited_for(run: Run, slow: Slow) -> None:
    [endpoint] = slow.server.endpoints
    with Client([endpoint], discover=False) as client:
        caller = threading.Thread(target=client.call, args=("slow.wait",))
        caller.start()
        slow.entered.wait(PATIENCE_S)

        def undo() -> None:
            wait_until(lambda: client.servers()[0].state == "draining")
            client.call("mesh.resume")

        undoing = threading.Thread(target=undo)
        undoing.start()
        code, _, err = run("drain", "slow-1", "--wait", "--server", endpoint)
        assert code == 1
        assert err.splitlines()[-1] == "mesh: slow-1 takes calls again: somebody else has undone the drain"
        slow.opened.set()
        undoing.join()
        caller.join()


def test_a_server_that_is_not_to_be_drained_refuses(run: Run) -> None:
    kept = Slow("kept", drainable=False)
    with kept.server:
        [endpoint] = kept.server.endpoints
        code, out, err = run("drain", "kept", "--server", endpoint)
        assert (code, out) == (71, "")
        sentence = "kept lets nobody drain it (ServerConfig.drainable); stop it where it runs"
        assert err.startswith(f"mesh: kept ({endpoint}): {sentence}\n")
        code, out, err = run("drain", "kept", "--json", "--server", endpoint)
        told = json.loads(out)
        assert (code, err, told["ok"], told["error"]["message"]) == (71, "", False, sentence)


def test_only_servers_that_are_there_and_can_be_told_are_drained(run: Run, slow: Slow) -> None:
    [endpoint] = slow.server.endpoints
    code, out, err = run("drain", "slow-1", "slow-9", "--server", endpoint, "--timeout", "1")
    assert (code, out) == (3, "")
    assert err == "mesh: No server is called 'slow-9'; seen: slow-1 (alive).\n"
    foreign = f"tcp://127.0.0.1:{free_port()}?proto=rep&service=x&name=old"
    code, out, err = run("drain", "old", "--server", foreign)
    assert (code, out) == (1, "")
    assert err == "mesh: note: old speaks rep and cannot be drained; call one of its methods with --raw\n"
    code, out, err = run("drain", "--server", endpoint)
    assert (code, out) == (2, "")
    assert slow.state == "SERVING"
