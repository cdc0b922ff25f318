"""The table of dialects (WIRE.md section 1)."""

from __future__ import annotations

import pytest

from mesh.config import Limits
from mesh.core.dialect import FlpPing, Ignored, MeshFrames, Plain, read_dialect
from mesh.core.wire import MAGIC, Ping, encode

HEAD = encode([Ping(1)], Limits())[0][0]


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([b"PING"], FlpPing()),
        ([HEAD], MeshFrames((), [HEAD])),
        ([HEAD, b"body", b""], MeshFrames((), [HEAD, b"body", b""])),
        ([MAGIC + b"\x09"], MeshFrames((), [MAGIC + b"\x09"])),
        ([b"", HEAD], MeshFrames((b"",), [HEAD])),
        ([b"", HEAD, b"body"], MeshFrames((b"",), [HEAD, b"body"])),
        ([b"", b"hello"], Plain((b"",), [b"hello"])),
        ([b"", b""], Plain((b"",), [b""])),
        ([b"", b"a", b"b"], Plain((b"",), [b"a", b"b"])),
        ([b"", b"PING"], FlpPing((b"",))),
        ([b"", b"PING", b"x"], Plain((b"",), [b"PING", b"x"])),
        ([b"control", b"body"], Plain((b"control",), [b"body"])),
        ([b"control", b"a", b"b"], Plain((b"control",), [b"a", b"b"])),
        ([b"PING", b"body"], Plain((b"PING",), [b"body"])),
        ([b"control", HEAD], Plain((b"control",), [HEAD])),
        ([b"control", b""], Plain((b"control",), [b""])),
    ],
)
def test_the_first_frames_tell_the_dialect(frames: list[bytes], expected: object) -> None:
    assert read_dialect(frames) == expected


@pytest.mark.parametrize(
    ("frames", "why"),
    [([], "no frame at all"), ([b""], "one empty frame"), ([b"ping"], "one frame that is not PING")],
)
def test_what_is_nothing_is_ignored_with_its_reason(frames: list[bytes], why: str) -> None:
    assert read_dialect(frames) == Ignored(why)
