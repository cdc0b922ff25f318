"""Which of the three dialects a server was spoken to in, and how to answer in the same one (WIRE.md section 1).

| dialect | looks like | answer |
| 10/FLP ping | exactly one frame PING | one frame PONG |
| mesh/1 | first frame starts with the magic | mesh/1 |
| REQ client | first frame empty, then a mesh/1 message or a plain body | the empty frame, then the same |
| 10/FLP request | two or more frames, the first (client control frame) opaque | it, unmodified, then the body |

10/FLP decides by the number of frames: a control frame that happens to read PING is one, if a body follows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from mesh.core.wire import MAGIC

__all__ = ["PING", "PONG", "Envelope", "FlpPing", "Ignored", "MeshFrames", "Plain", "read_dialect"]

PING = b"PING"
PONG = b"PONG"

Envelope: TypeAlias = tuple[bytes, ...]
"""Frames that go unmodified before the answer: none, the empty frame of a REQ socket, or a control frame."""


class FlpPing(msgspec.Struct, frozen=True):
    """A 10/FLP ping, or (within the envelope of a REQ socket) the same."""

    envelope: Envelope = ()


class MeshFrames(msgspec.Struct, frozen=True):
    """A mesh/1 message, not decoded yet."""

    envelope: Envelope
    frames: list[bytes]


class Plain(msgspec.Struct, frozen=True):
    """A body for the default method; the answer is as plain."""

    envelope: Envelope
    frames: list[bytes]


class Ignored(msgspec.Struct, frozen=True):
    """Nothing that can be answered; counted."""

    why: str


def read_dialect(frames: Sequence[bytes]) -> FlpPing | MeshFrames | Plain | Ignored:
    """Return what the frames behind the routing frame are; never raises."""
    count = len(frames)
    if count == 0:
        return Ignored("no frame at all")
    first = frames[0]
    if first[:2] == MAGIC:
        return MeshFrames((), list(frames))
    if count == 1:
        if first == PING:
            return FlpPing()
        return Ignored("one empty frame" if not first else "one frame that is not PING")
    if first:
        return Plain((first,), list(frames[1:]))
    if frames[1][:2] == MAGIC:
        return MeshFrames((b"",), list(frames[1:]))
    if count == 2 and frames[1] == PING:
        return FlpPing((b"",))
    return Plain((b"",), list(frames[1:]))
