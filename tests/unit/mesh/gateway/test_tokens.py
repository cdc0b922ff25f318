"""Bearer tokens, in a file that nobody else can read."""

from __future__ import annotations

from pathlib import Path

import pytest

from mesh import ConfigError
from mesh.gateway.tokens import read_tokens


def test_each_line_is_a_token(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("\n0123456789abcdef \nAZaz09._~+/-AZaz==\n\n")
    file.chmod(0o600)
    assert read_tokens(str(file)) == (b"0123456789abcdef", b"AZaz09._~+/-AZaz==")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644])
def test_a_file_that_others_may_open_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "tokens"
    file.write_text("0123456789abcdef")
    file.chmod(mode)
    with pytest.raises(ConfigError, match=rf"others may read .* \(mode {mode:04o}\); chmod 600"):
        read_tokens(str(file))


@pytest.mark.parametrize("text", ["", "short", "0123456789abcde\u00e9", "0123456789 abcdef", "x" * 513])
def test_what_is_no_token_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "tokens"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(ConfigError, match="each line is one token of 16 to 512"):
        read_tokens(str(file))


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory; name a file with a token on each line"):
        read_tokens(str(tmp_path / "tokens"))
    with pytest.raises(ConfigError, match="Is a directory"):
        read_tokens(str(tmp_path))
