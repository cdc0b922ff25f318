"""freelance-mesh: servers appear on the network, clients call them and fail over, nothing sits in the middle."""

from mesh.aio import AsyncClient, AsyncServer, AsyncServiceProxy
from mesh.config import ClientConfig, Limits, ServerConfig
from mesh.core.client import Counters
from mesh.core.view import ServerView
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
    Status,
)
from mesh.reply import Reply
from mesh.request import Request
from mesh.service import Method, Service
from mesh.sync import Client, Server, ServiceProxy

__all__ = [
    "AsyncClient",
    "AsyncServer",
    "AsyncServiceProxy",
    "Attempt",
    "CallError",
    "CallTimeout",
    "Client",
    "ClientConfig",
    "ClosedError",
    "ConfigError",
    "Counters",
    "ForkedError",
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
    "Status",
]
