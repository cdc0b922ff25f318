"""Settings from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh.environment import chosen_interfaces, chosen_realm, chosen_servers, is_credential
from mesh.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", None), ("lo", ["lo"]), ("lo,eth0", ["lo", "eth0"]), (" lo , 10.0.0.7 ", ["lo", "10.0.0.7"]), (",", None)],
)
def test_interfaces_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, text: str, expected: list[str] | None
) -> None:
    monkeypatch.setenv("MESH_INTERFACE", text)
    assert chosen_interfaces(None) == expected


def test_given_interfaces_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESH_INTERFACE", "lo")
    assert chosen_interfaces(["eth0"]) == ["eth0"]
    assert chosen_interfaces([]) is None


def test_the_realm_is_given_or_from_the_environment_or_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MESH_REALM")
    assert chosen_realm(None) == "default"
    monkeypatch.setenv("MESH_REALM", "")
    assert chosen_realm(None) == "default"
    monkeypatch.setenv("MESH_REALM", "lab")
    assert chosen_realm(None) == "lab"
    assert chosen_realm("mine") == "mine"


@pytest.mark.parametrize("realm", ["", "a b", "x" * 64, "é", "a/b"])
def test_a_realm_that_cannot_be_used_is_named(realm: str) -> None:
    with pytest.raises(ConfigError, match="give 1 to 63 letters") as caught:
        chosen_realm(realm)
    assert repr(realm) in str(caught.value)


def test_servers_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen_servers(None) == []
    monkeypatch.setenv("MESH_SERVERS", "tcp://10.0.0.7:5555, 10.0.0.8:5556\ntcp://10.0.0.9:5557?proto=flp")
    assert [peer.peer_id for peer in chosen_servers(None)] == [
        "static:10.0.0.7:5555",
        "static:10.0.0.8:5556",
        "static:10.0.0.9:5557",
    ]
    assert chosen_servers([]) == []


def test_a_server_in_the_environment_that_does_not_parse_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESH_SERVERS", "tcp://10.0.0.7")
    with pytest.raises(ConfigError, match=r"'tcp://10\.0\.0\.7' has no port; write tcp://HOST:PORT"):
        chosen_servers(None)


def test_a_file_of_servers_is_named_with_an_at_sign(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    listed = tmp_path / "servers"
    listed.write_text("# the lab\ntcp://10.0.0.7:5555\n\ntcp://10.0.0.8:5555  # spare\n")
    expected = ["static:10.0.0.9:5555", "static:10.0.0.7:5555", "static:10.0.0.8:5555"]
    given = ["tcp://10.0.0.9:5555", f"@{listed}", "tcp://10.0.0.9:5555"]
    assert [peer.peer_id for peer in chosen_servers(given)] == expected
    monkeypatch.setenv("MESH_SERVERS", ",".join(given))
    assert [peer.peer_id for peer in chosen_servers(None)] == expected
    with pytest.raises(ConfigError, match=r"missing.*cannot be read.*one tcp://HOST:PORT a line"):
        chosen_servers(["@missing"])


def test_a_credential_is_a_file_where_systemd_puts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert not is_credential(tmp_path / "tokens")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", f"{tmp_path}/")
    assert is_credential(tmp_path / "tokens")
    assert is_credential(str(tmp_path / "tokens"))
    assert not is_credential(tmp_path / "below" / "tokens")
    assert not is_credential(tmp_path / ".." / "tokens")
