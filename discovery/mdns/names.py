"""The service type under which peers advertise."""

from __future__ import annotations

from typing import Final

from zeroconf import BadTypeInNameException
from zeroconf._utils.name import service_type_name

from ..model import DiscoveryValueError

__all__ = ["SERVICE_TYPE", "check_service_type"]

SERVICE_TYPE: Final = "_zmq-mesh._tcp.local."
"""Where peers are looked for unless something else is given."""


def check_service_type(service_type: str) -> str:
    """Return the service type if it is one (RFC 6763 section 7); raises DiscoveryValueError."""
    try:
        valid = service_type_name(service_type) == service_type
    except BadTypeInNameException:
        valid = False
    if not valid:
        remedy = f"write it like {SERVICE_TYPE}, with at most 15 letters, digits and hyphens"
        raise DiscoveryValueError(service_type, "is not a service type", remedy)
    return service_type
