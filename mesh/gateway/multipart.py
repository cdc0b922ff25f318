"""Several frames in one body: multipart, RFC 2046 section 5.1.

`multipart/mixed` is what is written; `multipart/form-data`, which curl -F and forms send (RFC 7578), is read as well.
The headers of a part and what stands before the first and after the last are left aside: a frame is octets.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence

__all__ = ["join_frames", "split_frames"]

_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"]{1,70})"|([^\s";,]{1,70}))', re.IGNORECASE)
"""1 to 70 characters; RFC 2046 section 5.1.1 names which, and more are of no harm."""


def split_frames(content_type: str, body: bytes) -> list[bytes]:
    """Return the frames of a multipart body.

    Raises:
        ValueError: The type names no boundary, or the body does not keep to it; says which in one sentence.
    """
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise ValueError("the type of a multipart body names its boundary, as in multipart/mixed; boundary=x")
    delimiter = b"\r\n--" + (found[1] or found[2]).encode("latin-1")
    # The first delimiter needs no line end before it; one is put there, so that all are alike.
    _, *parts = (b"\r\n" + body).split(delimiter)
    frames: list[bytes] = []
    for number, part in enumerate(parts, 1):
        if part.startswith(b"--"):
            return frames
        _, line_end, part = part.partition(b"\r\n")  # blanks may stand behind a delimiter
        _, blank, content = (line_end + part).partition(b"\r\n\r\n")
        if not blank:
            raise ValueError(f"part {number} of the multipart body has no empty line between its headers and itself")
        frames.append(content)
    raise ValueError("the multipart body does not end with its boundary and two hyphens")


def join_frames(frames: Sequence[bytes]) -> tuple[str, bytes]:
    """Return the type and the body that hold these frames."""
    while any((boundary := secrets.token_hex(16)).encode() in frame for frame in frames):
        pass  # as often as somebody guesses it
    head = f"--{boundary}\r\ncontent-type: application/octet-stream\r\n\r\n".encode()
    parts = [head + frame + b"\r\n" for frame in frames]
    return f"multipart/mixed; boundary={boundary}", b"".join([*parts, f"--{boundary}--\r\n".encode()])
