"""Several frames in one body."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mesh.gateway.multipart import join_frames, split_frames


@example([b"\r\n--"])
@example([b"", b"\r\n\r\n", b"--"])
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=6))
def test_frames_that_were_joined_are_told_apart_again(frames: list[bytes]) -> None:
    assert split_frames(*join_frames(frames)) == frames


@pytest.mark.parametrize(
    ("kind", "body", "frames"),
    [
        ("multipart/mixed; boundary=x", b"--x\r\n\r\na\r\n--x\r\n\r\nb\r\n--x--", [b"a", b"b"]),
        ('multipart/mixed; charset=utf-8; Boundary="a b"', b"--a b\r\n\r\na\r\n--a b--\r\n", [b"a"]),
        ("multipart/mixed; boundary=x", b"preamble\r\n--x \t\r\nh: v\r\n\r\na\r\n--x--epilogue", [b"a"]),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="f"\r\nContent-Type: a/b\r\n\r\na\r\n\r\n--x--\r\n',
            [b"a\r\n"],
        ),
        ("multipart/mixed; boundary=x", b"--x--", []),
    ],
)
def test_what_others_write_is_read(kind: str, body: bytes, frames: list[bytes]) -> None:
    assert split_frames(kind, body) == frames


@pytest.mark.parametrize(
    ("kind", "body", "complaint"),
    [
        ("multipart/mixed", b"--x--", "names its boundary"),
        ("multipart/mixed; boundary=", b"--x--", "names its boundary"),
        ("multipart/mixed; boundary=x", b"", "does not end"),
        ("multipart/mixed; boundary=x", b"--x\r\n\r\na", "does not end"),
        ("multipart/mixed; boundary=x", b"--x\r\na\r\n--x--", "part 1 of the multipart body has no empty line"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(kind: str, body: bytes, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        split_frames(kind, body)


@given(st.binary(max_size=80))
def test_any_body_is_told_apart_or_refused(body: bytes) -> None:
    for tail in (b"", b"\r\n--x--"):
        try:
            split_frames("multipart/mixed; boundary=x", body + tail)
        except ValueError:
            pass
