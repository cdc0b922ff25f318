"""The file of RADIUS clients and their secrets.

One client a line: an address or a network, blanks, and the secret up to the end of the line. The narrowest network that
holds the sender counts. Empty lines, and lines that begin with `#`, say nothing.

    # the NAS in the basement
    192.0.2.7       kV9-rPq2
    192.0.2.0/24    another secret, with blanks in it
    2001:db8::/32   3x1%4#2

Whoever reads the file can forge accounting, so nobody but its owner may: its mode is to be 0600 or less, unless systemd
brings it (LoadCredential=).
"""

from __future__ import annotations

import os
import stat
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from mesh.environment import is_credential
from mesh.errors import ConfigError

__all__ = ["Secrets", "read_secrets"]

_Network: TypeAlias = IPv4Network | IPv6Network


class Secrets:
    """The shared secret of each client.

    Args:
        networks: Secret by network.
    """

    def __init__(self, networks: dict[_Network, bytes]) -> None:
        self._networks = networks
        self._lengths = sorted({(network.version, network.prefixlen) for network in networks}, reverse=True)

    def __len__(self) -> int:
        return len(self._networks)

    def find(self, host: str) -> bytes | None:
        """Return the secret of a sender, by the narrowest network that holds its address; None if there is none."""
        address: IPv4Address | IPv6Address = ip_address(host.partition("%")[0])
        for version, length in self._lengths:
            if version == address.version:
                secret = self._networks.get(ip_network((address, length), strict=False))
                if secret is not None:
                    return secret
        return None


def read_secrets(path: str | os.PathLike[str]) -> Secrets:
    """Return what the file says.

    Raises:
        ConfigError: It cannot be read, others may read it, or a line does not parse; no secret is in the sentence.
    """
    try:
        with open(path, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077 and not is_credential(path):
                raise ConfigError(
                    f"{os.fspath(path)}: its mode is {mode:04o}, so that others may read the secrets; chmod 600 it"
                )
            lines = file.read().splitlines()
    except OSError as error:
        raise ConfigError(
            f"{os.fspath(path)}: the secrets cannot be read ({error.strerror}); "
            f"give a file with one 'ADDRESS SECRET' a line"
        ) from None
    networks: dict[_Network, bytes] = {}
    for number, line in enumerate(lines, 1):
        words = line.strip().split(None, 1)
        if not words or words[0].startswith(b"#"):
            continue
        where = f"{os.fspath(path)}:{number}"
        try:
            network = ip_network(words[0].decode(), strict=True)
        except ValueError:
            raise ConfigError(
                f"{where}: the first word is no address and no network; write 192.0.2.7 or 192.0.2.0/24, a blank, "
                f"and the secret"
            ) from None
        if len(words) < 2:
            raise ConfigError(f"{where}: {network} has no secret; write it behind the address")
        if network in networks:
            raise ConfigError(f"{where}: {network} has a secret already; leave one of the lines out")
        networks[network] = words[1]
    if not networks:
        raise ConfigError(f"{os.fspath(path)}: there is no client in it; write one 'ADDRESS SECRET' a line")
    return Secrets(networks)
