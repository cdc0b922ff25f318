"""What spans say, by name."""

from __future__ import annotations

from opentelemetry.util.types import AttributeValue

from mesh.core.peers import Connection

__all__ = ["ATTEMPT", "CALL_ID", "CLIENT", "ERROR_TYPE", "RESULT", "STATUS_CODE", "of_call", "of_peer"]

STATUS_CODE = "rpc.response.status_code"
ERROR_TYPE = "error.type"
CALL_ID = "mesh.call.id"
"""Number of the call in its client."""
ATTEMPT = "mesh.attempt"
"""Which attempt it is, from 1; on the span of the call, how many there were."""
RESULT = "mesh.attempt.result"
"""How the attempt ended, in words."""
CLIENT = "mesh.client"
"""Who calls, as the server knows him; that of the log's `peer`."""


def of_call(method: str) -> dict[str, AttributeValue]:
    """Return what every span says."""
    return {"rpc.system.name": "mesh", "rpc.method": method, "network.transport": "tcp"}


def of_peer(conn: Connection) -> dict[str, AttributeValue]:
    """Return which server has the call."""
    return {
        "network.peer.address": conn.address.host,
        "network.peer.port": conn.address.port,
        "mesh.peer.id": conn.server.peer_id,
        "mesh.peer.name": conn.server.name,
    }
