"""freelance-mesh: servers appear on the network, clients call them and fail over, nothing sits in the middle.

A name is imported when it is first used: an error costs nothing to name, and ``mesh --help`` needs no ZeroMQ.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mesh.aio import AsyncClient, AsyncServer, AsyncServiceProxy
    from mesh.config import ClientConfig, Limits, ServerConfig
    from mesh.core.client import Counters
    from mesh.core.view import AddressView, ServerView
    from mesh.environment import chosen_interfaces, chosen_realm
    from mesh.errors import (
        Attempt,
        CallError,
        CallTimeout,
        ClosedError,
        ConfigError,
        ForkedError,
        LocalProtocolError,
        MeshError,
        NoServer,
        OutcomeUnknown,
        Overloaded,
        ProtocolError,
        RemoteError,
        RemoteProtocolError,
        SpoolCorrupt,
        SpoolError,
        SpoolFull,
        Status,
    )
    from mesh.reply import Reply
    from mesh.request import Request
    from mesh.service import Method, Service
    from mesh.spool.aio import AsyncSpool
    from mesh.spool.inbox import Inbox
    from mesh.spool.record import SpoolRecord, SpoolStats
    from mesh.spool.store import SpoolReport
    from mesh.spool.sync import Spool
    from mesh.spool.view import SpoolEntry
    from mesh.sync import Client, Server, ServiceProxy

__all__ = [
    "AddressView",
    "AsyncClient",
    "AsyncServer",
    "AsyncServiceProxy",
    "AsyncSpool",
    "Attempt",
    "CallError",
    "CallTimeout",
    "Client",
    "ClientConfig",
    "ClosedError",
    "ConfigError",
    "Counters",
    "ForkedError",
    "Inbox",
    "Limits",
    "LocalProtocolError",
    "MeshError",
    "Method",
    "NoServer",
    "OutcomeUnknown",
    "Overloaded",
    "ProtocolError",
    "RemoteError",
    "RemoteProtocolError",
    "Reply",
    "Request",
    "Server",
    "ServerConfig",
    "ServerView",
    "Service",
    "ServiceProxy",
    "Spool",
    "SpoolCorrupt",
    "SpoolEntry",
    "SpoolError",
    "SpoolFull",
    "SpoolRecord",
    "SpoolReport",
    "SpoolStats",
    "Status",
    "chosen_interfaces",
    "chosen_realm",
]


if not TYPE_CHECKING:  # a type checker that sees it takes any name for one of ours

    def __getattr__(name: str) -> object:
        """Import what is not here yet when it is first used; what needs others is looked at after them."""
        if name in __all__:
            homes = "errors config environment core.view core.client request reply sync service aio"
            spool = "spool.record spool.view spool.store spool.sync spool.aio spool.inbox"
            for module in (import_module(f"mesh.{home}") for home in f"{homes} {spool}".split()):
                if name in module.__all__:
                    globals()[name] = value = getattr(module, name)
                    return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
