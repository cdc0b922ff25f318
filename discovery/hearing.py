"""What was heard on UDP port 5353 of one interface: the values of `discovery.mdns.probe`. Pure."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Hearing", "Told"]


@dataclass(frozen=True, order=True, slots=True)
class Told:
    """Somebody spoke of an instance of our service type."""

    host: str
    """Whose packet it was: a numeric address."""
    label: str
    """The instance, without the service type."""
    remembered: bool = False
    """It was listed in a question, as an answer that is known already (RFC 6762 section 7.1)."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """What one interface sends and hears over IPv4 or over IPv6."""

    interface: str
    """Its name."""
    address: str
    """Our address on it, which packets come from."""
    step: str = ""
    """What failed: ``open`` (the port), ``join`` (the group) or ``send``; empty if nothing did."""
    error: int = 0
    """Why it failed: an errno."""
    hears_itself: bool = False
    """Our own question came back, as the system gives it to every member of the group."""
    by_multicast: tuple[str, ...] = ()
    """Hosts whose packets to the group came; local ones are among them."""
    by_unicast: tuple[str, ...] = ()
    """Hosts that answered a question from a port other than 5353 directly (RFC 6762 section 6.7)."""
    told: tuple[Told, ...] = ()
    """Who spoke of which instance."""
