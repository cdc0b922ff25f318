"""Settings that come from the environment where the program gives none.

MESH_INTERFACE   interfaces, by name or address, separated by commas: mDNS and `*` keep to these
MESH_REALM       name of the mesh: servers and clients of different realms do not meet
MESH_SERVERS     endpoints of servers that need not be discovered, separated by commas or spaces;
                     @FILE stands for a file with one on each line
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence

from discovery import DiscoveryError, Peer, read_servers, static_peers
from mesh.errors import ConfigError

__all__ = ["chosen_interfaces", "chosen_realm", "chosen_servers", "is_credential"]

_REALM = re.compile(r"[A-Za-z0-9_.-]{1,63}")


def chosen_interfaces(given: Sequence[str] | None) -> list[str] | None:
    """Return the interfaces to keep to, None for the sensible ones."""
    if given is None:
        given = [name for name in re.split(r"[,\s]+", os.environ.get("MESH_INTERFACE", "")) if name]
    elif isinstance(given, str):
        raise ConfigError(f"interfaces takes a list of names or addresses; write [{given!r}]")
    return list(given) or None


def chosen_realm(given: str | None) -> str:
    """Return the realm.

    Raises:
        ConfigError: It is not 1 to 63 letters, digits, `_`, `.` or `-`.
    """
    realm = os.environ.get("MESH_REALM", "") or "default" if given is None else given
    if not _REALM.fullmatch(realm):
        raise ConfigError(f"realm {realm!r} cannot be used; give 1 to 63 letters, digits, '_', '.' or '-'")
    return realm


def chosen_servers(given: Iterable[str] | None) -> list[Peer]:
    """Return the servers that need not be discovered; `@FILE` among them stands for a file with one on each line.

    Raises:
        ConfigError: An endpoint does not parse, or a file cannot be read.
    """
    if isinstance(given, str):
        raise ConfigError(f"servers takes a list of endpoints; write [{given!r}]")
    try:
        named = os.environ.get("MESH_SERVERS", "").replace(",", " ").split() if given is None else list(given)
        peers = static_peers(endpoint for endpoint in named if not endpoint.startswith("@"))
        for path in (endpoint[1:] for endpoint in named if endpoint.startswith("@")):
            peers += read_servers(path)
        return list({peer.peer_id: peer for peer in peers}.values())
    except DiscoveryError as error:
        raise ConfigError(str(error)) from None


def is_credential(path: str | os.PathLike[str]) -> bool:
    """Tell whether systemd has put a file there for this service alone (LoadCredential= in systemd.exec(5)).

    Its mode shows bits of a group then: those of the access control list that lets the service's user read it.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    return bool(folder) and os.path.dirname(os.path.abspath(path)) == os.path.abspath(folder)
