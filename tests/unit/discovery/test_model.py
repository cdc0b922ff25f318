"""Addresses, peers and the error of discovery."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError, replace

import pytest

from discovery import Address, DiscoveryError, DiscoveryValueError, Peer
from discovery.model import clean_name, cut


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:5555", "127.0.0.1", 5555),
        ("[::1]:1", "::1", 1),
        ("[fe80::1%eth0]:65535", "fe80::1%eth0", 65535),
        ("server.lan:5555", "server.lan", 5555),
    ],
)
def test_an_address_is_read_and_written_alike(text: str, host: str, port: int) -> None:
    address = Address.parse(text)
    assert (address.host, address.port) == (host, port)
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        ":1",
        "a:",
        "a:0",
        "a:65536",
        "a:x",
        "a:٣",
        "a:-1",
        "::1:5",
        "[::1]",
        "[zz:1]:4",
        "a b:4",
        "a/b:4",
    ],
)
def test_a_bad_address_is_named_with_the_remedy(text: str) -> None:
    with pytest.raises(DiscoveryValueError) as caught:
        Address.parse(text)
    assert str(caught.value).startswith(repr(text))
    assert "; write HOST:PORT" in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(("host", "port"), [("", 1), ("a b", 1), ("a:b", 1), ("h" * 254, 1), ("h", 0), ("h", 65536)])
def test_an_address_checks_its_parts(host: str, port: int) -> None:
    with pytest.raises(DiscoveryValueError):
        Address(host, port)


def test_addresses_have_an_order() -> None:
    assert sorted([Address("b", 1), Address("a", 2), Address("a", 1)]) == [
        Address("a", 1),
        Address("a", 2),
        Address("b", 1),
    ]


PEER = Peer("id", "Ann's server", ("echo",), (Address("h", 1),), {"Realm": "r"}, ("mdns",), 1, 2)


@pytest.mark.parametrize(
    "change",
    [
        {"peer_id": ""},
        {"peer_id": "a\nb"},
        {"peer_id": "x" * 267},
        {"name": ""},
        {"name": "é" * 32},
        {"name": "a\x00b"},
        {"name": "\ud800"},
        {"services": ("a b",)},
        {"services": ("",)},
        {"services": ("s" * 63,)},
        {"properties": {"a=b": ""}},
        {"properties": {"": ""}},
        {"properties": {"é": ""}},
        {"properties": {"ID": "x"}},
        {"properties": {"a": "x" * 254}},
        {"properties": {"a": "\ud800"}},
        {"priority": -1},
        {"weight": 65536},
    ],
)
def test_a_peer_checks_its_parts(change: dict[str, object]) -> None:
    with pytest.raises(DiscoveryValueError) as caught:
        replace(PEER, **change)  # type: ignore[arg-type]
    assert str(caught.value).endswith(".")
    assert "; " in str(caught.value)


def test_a_peer_at_its_limits_exists() -> None:
    Peer("x" * 266, "n" * 63, ("s" * 62,), (), {"k": "v" * 253}, (), 65535, 65535)


def test_a_peer_cannot_be_changed_and_its_keys_are_in_lower_case() -> None:
    assert dict(PEER.properties) == {"realm": "r"}
    with pytest.raises(TypeError):
        PEER.properties["realm"] = "x"  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        PEER.name = "x"  # type: ignore[misc]


def test_a_peer_is_a_value() -> None:
    same = pickle.loads(pickle.dumps(PEER))
    assert same == PEER
    assert hash(same) == hash(PEER)
    assert replace(PEER, properties={"realm": "s"}) != PEER


def test_an_error_carries_its_data_and_shortens_what_is_long() -> None:
    error = DiscoveryError("x" * 200, "is long", "cut it")
    assert (error.subject, error.problem, error.remedy) == ("x" * 200, "is long", "cut it")
    assert str(error) == f"{'x' * 77 + '...'!r} is long; cut it."
    assert pickle.loads(pickle.dumps(error)).remedy == "cut it"


def test_any_text_can_be_made_a_name() -> None:
    assert clean_name("a\x07b") == "a?b"
    assert clean_name("") == "?"
    assert clean_name("é" * 40) == "é" * 31
    assert cut("aé", 2) == "a"
