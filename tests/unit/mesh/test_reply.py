"""What a raw call answers."""

from __future__ import annotations

import pytest

from mesh.core.calls import PendingCall
from mesh.reply import Reply


def _reply(body: bytes | list[bytes]) -> Reply:
    call = PendingCall("a.b", b"", 0, 10.0, 15.0)
    call.body = body
    call.finished_at = 10.25
    return Reply(call)


@pytest.mark.parametrize(
    ("body", "frames", "first"),
    [(b"x", [b"x"], b"x"), ([b"x", b"y"], [b"x", b"y"], b"x"), ([], [], b""), (b"", [b""], b"")],
)
def test_its_frames_and_the_first_of_them(body: bytes | list[bytes], frames: list[bytes], first: bytes) -> None:
    reply = _reply(body)
    assert (reply.frames, reply.body) == (frames, first)


def test_it_says_how_long_it_took() -> None:
    assert _reply(b"").elapsed_s == 0.25


def test_it_shows_itself_without_its_octets() -> None:
    assert repr(_reply([b"abc", b"de"])) == "<Reply of 5 octets from  in 250 ms>"
