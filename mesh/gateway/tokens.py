"""Bearer tokens, in a file that nobody else can read."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from mesh import ConfigError
from mesh.environment import is_credential

__all__ = ["read_tokens"]

_TOKEN = re.compile(rb"[A-Za-z0-9._~+/-]{16,512}=*")
"""RFC 6750 section 2.1; 16 characters, for less can be guessed."""
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def read_tokens(path: str) -> tuple[bytes, ...]:
    """Return the tokens of a file, one on each line: while one is replaced by another, both do.

    Raises:
        ConfigError: Others may read the file, it cannot be read, or holds no token that can be used.
    """
    try:
        with Path(path).open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & _OTHERS and not is_credential(path):
                raise ConfigError(f"others may read {path} (mode {mode:04o}); chmod 600 {path}")
            lines = [line.strip() for line in file.read(65536).splitlines() if line.strip()]
    except OSError as error:
        raise ConfigError(
            f"token file {path}: {error.strerror}; name a file with a token on each line, of mode 0600"
        ) from None
    if not lines or not all(_TOKEN.fullmatch(line) for line in lines):
        raise ConfigError(
            f"token file {path}: each line is one token of 16 to 512 of A-Z a-z 0-9 . _ ~ + / -; "
            f"make one with: (umask 077; openssl rand -hex 32 > {path})"
        )
    return tuple(lines)
