"""What a shell completes besides commands and options: directories, and names of live servers, services and methods.

The mesh is asked at each press of the key, which takes half a second; what cannot be reached by then is not offered.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from discovery import DiscoveryError
from mesh import MeshError

if TYPE_CHECKING:
    from mesh import Client, ServerView

__all__ = ["complete_directories", "complete_methods", "complete_names", "complete_servers", "complete_services"]

_LOOK_S = 0.4
_ANSWER_S = 0.5

_Look = Callable[["Client", "list[ServerView]"], Iterable[str]]


def complete_directories(action: argparse.Action) -> None:
    """Have an argument completed by directories."""

    def names(prefix: str, **_: object) -> list[str]:
        from argcomplete.completers import DirectoriesCompleter

        return list(DirectoriesCompleter()(prefix))

    action.completer = names  # type: ignore[attr-defined]  # argcomplete's own


def complete_servers(action: argparse.Action) -> None:
    """Have an argument completed by the names of servers."""
    _complete(action, lambda client, servers: (server.name for server in servers))


def complete_services(action: argparse.Action) -> None:
    """Have an argument completed by services."""
    _complete(action, _services)


def complete_methods(action: argparse.Action) -> None:
    """Have an argument completed by full names of methods."""
    _complete(action, _methods)


def complete_names(action: argparse.Action) -> None:
    """Have an argument completed by services and full names of methods."""
    _complete(action, lambda client, servers: [*_services(client, servers), *_methods(client, servers)])


def _complete(action: argparse.Action, look: _Look) -> None:
    def names(parsed_args: argparse.Namespace, **_: object) -> list[str]:
        from mesh.cli.options import open_client
        from mesh.cli.sightings import settled

        try:
            with open_client(parsed_args) as client:
                servers = settled(client, None if parsed_args.server else _LOOK_S, discovers=not parsed_args.server)
                return sorted({*look(client, [server for server in servers if server.state != "ignored"])})
        except (MeshError, DiscoveryError):
            return []

    action.completer = names  # type: ignore[attr-defined]  # argcomplete's own


def _services(client: Client, servers: list[ServerView]) -> Iterator[str]:
    for server in servers:
        yield from server.services


def _methods(client: Client, servers: list[ServerView]) -> Iterator[str]:
    from mesh.cli.servers import ask_all

    for answer in ask_all(client, servers, "mesh.info", _ANSWER_S):
        for method in answer.told.parts("endpoints"):
            yield method.text("subject")
