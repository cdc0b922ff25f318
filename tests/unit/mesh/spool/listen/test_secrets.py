"""The file of RADIUS clients and their secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh import ConfigError
from mesh.spool.listen.secrets import read_secrets


def written(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    path = tmp_path / "secrets"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_the_narrowest_network_counts(tmp_path: Path) -> None:
    secrets = read_secrets(
        written(
            tmp_path,
            "# clients\n\n192.0.2.0/24   wide one # not a comment  \n192.0.2.7\tnarrow\n"
            "2001:db8::/32 six\n0.0.0.0/0 any\n",
        )
    )
    assert len(secrets) == 4
    assert secrets.find("192.0.2.7") == b"narrow"
    assert secrets.find("192.0.2.8") == b"wide one # not a comment"
    assert secrets.find("198.51.100.1") == b"any"
    assert secrets.find("2001:db8::1") == b"six"
    assert secrets.find("fe80::1%lo") is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    with pytest.raises(ConfigError, match=f"its mode is {mode:04o}, .* chmod 600"):
        read_secrets(written(tmp_path, "127.0.0.1 s", mode))


BROKEN = [
    ("", "there is no client"),
    ("# nothing\n", "there is no client"),
    ("127.0.0.1\n", ":1: 127.0.0.1/32 has no secret"),
    ("\nnas.example.com s\n", ":2: the first word is no address"),
    ("192.0.2.7/24 s\n", ":1: the first word is no address"),
    ("\xff s\n", ":1: the first word is no address"),
    ("127.0.0.1 hidden\n127.0.0.1/32 hidden\n", ":2: 127.0.0.1/32 has a secret already"),
]


@pytest.mark.parametrize(("text", "complaint"), BROKEN)
def test_a_line_that_does_not_parse_is_named_and_no_secret_told(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint) as raised:
        read_secrets(written(tmp_path, text))
    assert "hidden" not in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone: the secrets cannot be read \(No such file"):
        read_secrets(tmp_path / "gone")


def test_what_systemd_brings_for_this_service_alone_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path, "127.0.0.1 s", 0o440)  # as an access control list shows in the mode
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert len(read_secrets(path)) == 1
