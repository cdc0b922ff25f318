"""One Zeroconf for everybody, and what it does when the network changes or refuses."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import zeroconf

from discovery import Address, DiscoveryError, Interface, MdnsAdvertiser, MdnsBrowser, Peer
from discovery.mdns import link as module
from discovery.mdns.sieve import Source
from discovery.txt import digest
from tests.helpers.wait import wait_until

pytestmark = pytest.mark.network
LOOPBACK = ["127.0.0.1"]


@pytest.fixture
def link() -> Iterator[module.Link]:
    """A link that only the test uses."""
    link = module.acquire(LOOPBACK)
    yield link
    module.release(link)


def test_two_hundred_advertisers_share_one_thread() -> None:
    before = threading.active_count()
    advertisers = [MdnsAdvertiser(LOOPBACK, "_share._tcp.local.") for _ in range(200)]
    for number, advertiser in enumerate(advertisers):
        advertiser.start(Peer(f"p{number}", "one", addresses=(Address("127.0.0.1", 1),)))
    during = threading.active_count()
    for advertiser in advertisers:
        advertiser.stop()
    assert during == before + 1
    assert threading.active_count() == before


def test_the_same_interfaces_are_the_same_link(link: module.Link) -> None:
    again = module.acquire(LOOPBACK)
    assert again is link
    module.release(again)
    assert link.loop.is_running()


def test_who_only_advertises_reads_questions_and_of_answers_those_about_its_own_peers(link: module.Link) -> None:
    question, answer = Source("10.0.0.1", False), Source("10.0.0.1", True)
    assert not link._is_wanted(question, b"")
    with MdnsAdvertiser(LOOPBACK) as advertiser:
        advertiser.start(Peer("p", "one", addresses=(Address("127.0.0.1", 1),)))
        wait_until(lambda: link.marks)
        assert link._is_wanted(question, b"")
        assert link._is_wanted(answer, b"\x12peer-" + digest("p").encode() + b"\x05local\0")
        assert not link._is_wanted(answer, b"\x12peer-" + digest("q").encode() + b"\x05local\0")
    assert not link.marks


def test_who_only_browses_reads_answers_and_no_questions(link: module.Link) -> None:
    answer = Source("10.0.0.1", True)
    with MdnsBrowser(LOOPBACK) as browser:
        browser.start(lambda change: None)
        wait_until(lambda: link._is_wanted(answer, b""))
        assert not link._is_wanted(Source("10.0.0.1", False), b"")
    assert not link._is_wanted(answer, b"")


def test_an_unknown_interface_is_an_error_and_leaves_nothing_behind() -> None:
    with pytest.raises(DiscoveryError, match="'eth-none'"):
        MdnsBrowser(["eth-none"]).start(lambda change: None)


def test_a_port_that_cannot_be_had_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(module, "Zeroconf", refuse)
    with pytest.raises(DiscoveryError, match=r"'UDP port 5353' cannot be shared on lo .*already in use"):
        MdnsAdvertiser(LOOPBACK).start(Peer("p", "one", addresses=(Address("127.0.0.1", 1),)))


def test_stop_from_on_change_is_an_error_and_no_deadlock() -> None:
    caught: list[Exception] = []

    def on_change(change: object) -> None:
        try:
            browser.stop()
        except DiscoveryError as error:
            caught.append(error)

    with MdnsBrowser(LOOPBACK, "_stop._tcp.local.") as browser:
        browser.start(on_change)
        with MdnsAdvertiser(LOOPBACK, "_stop._tcp.local.") as advertiser:
            advertiser.start(Peer("p", "one", addresses=(Address("127.0.0.1", 1),)))
            wait_until(lambda: caught)
    assert "call it from another thread" in str(caught[0])


def test_the_user_is_not_told_what_strangers_send() -> None:
    assert logging.getLogger("zeroconf").level == logging.CRITICAL


def test_an_error_in_the_loop_is_counted_and_goes_nowhere_else(
    link: module.Link, capfd: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    link.loop.call_soon_threadsafe(fail)
    wait_until(lambda: link.errors == 1)
    assert capfd.readouterr().err == ""


def test_a_change_of_interfaces_that_lasts_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    present = [Interface("lo", 1, ("127.0.0.1/8",))]
    flap = [Interface("lo", 1, ("127.0.0.3/8",))]
    after = [Interface("lo", 1, ("127.0.0.2/8",))]
    # The first look sees a flap, which is not followed; from the second on, the change lasts.
    looks = [flap, after, after]
    opened = False

    def choose(names: object) -> list[Interface]:
        return (looks.pop(0) if len(looks) > 1 else looks[0]) if opened else present

    monkeypatch.setattr(module, "choose_interfaces", choose)
    monkeypatch.setattr(module, "open_notices", lambda: None)  # as on a system that does not tell
    monkeypatch.setattr(module, "_LOOK_S", 0.01)
    monkeypatch.setattr(module, "_LOOK_AGAIN_S", 0.01)
    link = module.acquire(["lo"])
    followed: list[list[Interface]] = []
    link.on_interfaces["test"] = lambda: followed.append(link.interfaces)
    opened = True
    try:
        wait_until(lambda: followed)
        senders = {sender.sock_name[0] for sender in link.zeroconf.engine.senders}
    finally:
        module.release(link)
    assert followed == [after]
    assert senders == {"127.0.0.2"}


@pytest.fixture
def notice(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], object]]:
    """Let the links of the test hear that something has changed."""
    system, notices = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    notices.setblocking(False)
    monkeypatch.setattr(module, "open_notices", lambda: notices)
    with system:
        yield lambda: system.send(b"changed")


def test_a_change_is_looked_at_as_soon_as_the_system_tells_and_not_before(
    monkeypatch: pytest.MonkeyPatch, notice: Callable[[], object]
) -> None:
    looks: list[float] = []

    def choose(names: object) -> list[Interface]:
        looks.append(time.monotonic())
        return [Interface("lo", 1, ("127.0.0.1/8",))]

    monkeypatch.setattr(module, "choose_interfaces", choose)
    monkeypatch.setattr(module, "_LOOK_S", 0.01)
    monkeypatch.setattr(module, "_LOOK_SOON_S", 0.3)  # within which a busy machine sends five notices, too
    link = module.acquire(["lo"])
    opened = len(looks)
    for _ in range(5):
        notice()
    wait_until(lambda: len(looks) > opened)
    module.release(link)
    assert len(looks) == opened + 1


def test_users_are_told_when_a_carrier_is_back(monkeypatch: pytest.MonkeyPatch, notice: Callable[[], object]) -> None:
    carriers = [True]
    looked = 0

    def is_linked(interface: Interface) -> bool:
        nonlocal looked
        looked += 1
        return carriers[-1]

    monkeypatch.setattr(module, "is_linked", is_linked)
    link = module.acquire(LOOPBACK)
    told: list[bool] = []
    link.on_interfaces["test"] = lambda: told.append(carriers[-1])
    for carrier in (True, False, False, True):
        carriers.append(carrier)
        before = looked
        notice()
        wait_until(lambda before=before: looked > before)  # type: ignore[misc]
    wait_until(lambda: told)
    module.release(link)
    assert told == [True]


def test_an_interface_that_is_another_one_with_the_same_address_is_opened_anew(
    monkeypatch: pytest.MonkeyPatch, notice: Callable[[], object]
) -> None:
    present = [Interface("lo", 1, ("127.0.0.1/8",))]
    monkeypatch.setattr(module, "choose_interfaces", lambda names: present)
    monkeypatch.setattr(module, "_LOOK_AGAIN_S", 0.01)
    link = module.acquire(["lo"])
    [before] = link.zeroconf.engine.senders
    followed: list[list[Interface]] = []
    link.on_interfaces["test"] = lambda: followed.append(link.interfaces)
    present = [Interface("lo", 7, ("127.0.0.1/8",))]
    notice()
    try:
        wait_until(lambda: followed)
        [after] = link.zeroconf.engine.senders
    finally:
        module.release(link)
    assert after is not before


def test_one_address_of_each_kind_is_enough_for_an_interface_and_loopback_needs_none() -> None:
    lo = Interface("lo", 1, ("127.0.0.1/8", "::1/128"))
    eth = Interface("eth0", 2, ("10.0.0.1/24", "10.0.0.2/24", "fd00::1/64", "fe80::1/64"))
    assert module.transports([lo, eth]) == ["127.0.0.1", "10.0.0.1", "fe80::1"]
    assert module.transports([Interface("lo", 1, ("::1/128",))]) == ["::1"]


def test_our_python_zeroconf_is_the_one_that_was_studied() -> None:
    # What is used of its private parts; a release that moves them is to fail here first.
    version = tuple(map(int, zeroconf.__version__.split(".")[:2]))
    assert version >= (0, 150)
