"""A service with types of every kind, for those who make requests up: mesh serve tests/e2e/gateway_typed.py."""

from __future__ import annotations

import datetime
import enum
import uuid
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from mesh import RemoteError, Request, Service, Status

__all__ = ["typed"]

typed = Service("typed", version="2.1.0", description="types of every kind")

Moment = Annotated[datetime.datetime, msgspec.Meta(tz=True)]
Small = Annotated[int, msgspec.Meta(ge=-(2**53), le=2**53)]


class Colour(enum.Enum):
    """What a mark is painted in."""

    RED = "red"
    GREEN = "green"


@dataclass
class Point:
    """A place."""

    x: float
    y: float = 0.0


class Mark(msgspec.Struct):
    """A place with a name."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=20)]
    at: Point
    colour: Colour = Colour.RED
    tags: list[str] = []
    next: Mark | None = None


@typed.method(read_only=True)
def add(a: Small, b: Small = 5) -> int:
    """Add two numbers."""
    return a + b


@typed.method(read_only=True)
def greet(name: str, times: Annotated[int, msgspec.Meta(ge=0, le=3)] = 1, loud: bool = False) -> str:
    """Greet somebody."""
    return f"hello {name} " * times + "!" * loud


@typed.method
def mark(mark: Mark, to: Point | None = None) -> Mark:
    """Move a mark."""
    return mark if to is None else Mark(mark.name, to, mark.colour, mark.tags)


@typed.method(read_only=True)
def find(marks: list[Mark], colour: Literal["red", "green", "any"] = "any") -> dict[str, Point]:
    """Find marks of a colour."""
    return {one.name: one.at for one in marks if colour in ("any", one.colour.value)}


@typed.method
def kinds(when: Moment, who: uuid.UUID, what: bytes, how: tuple[Small, str], *rest: Small) -> dict[str, object]:
    """Take values of many kinds."""
    return {"day": when.date(), "who": who, "what": what, "how": how, "rest": rest}


@typed.method(read_only=True)
def order(number: Annotated[int, msgspec.Meta(ge=0, le=10)]) -> str:
    """Give an order of which some are not there."""
    if number > 5:
        raise RemoteError(f"no order {number}", code=Status.NOT_FOUND)
    return f"order {number}"


@typed.method(raw=True)
def frames(request: Request) -> list[bytes]:
    """Give back what came."""
    return request.frames
