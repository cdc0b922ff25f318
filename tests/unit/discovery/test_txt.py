"""TXT records and instance labels: strict writing, forgiving reading."""

from __future__ import annotations

import pytest

from discovery import DiscoveryValueError, Peer
from discovery.txt import TXT_OCTETS_MAX, Txt, decode_txt, digest, encode_txt, label_of, name_of


def strings(*parts: bytes) -> bytes:
    return b"".join(bytes([len(part)]) + part for part in parts)


def test_a_peer_is_written_in_the_order_readers_need() -> None:
    peer = Peer("p1", "n", ("echo", "time"), properties={"ver": "2", "proto": "mesh/1", "realm": "r"})
    assert encode_txt(peer) == strings(b"txtvers=1", b"proto=mesh/1", b"id=p1", b"svc=echo,time", b"ver=2", b"realm=r")


def test_what_was_written_is_read_back() -> None:
    peer = Peer("p1", "n", ("echo",), properties={"proto": "flp", "pk": "a=b=%&é", "flag": ""})
    assert decode_txt(encode_txt(peer)) == Txt("p1", ("echo",), dict(peer.properties), 0)


@pytest.mark.parametrize(
    "peer",
    [
        Peer("p1", "n", properties={"tencharact": "x"}),
        Peer("p1", "n", tuple(f"service{number}" for number in range(40))),
        Peer("p" * 253, "n"),
        Peer("p1", "n", properties={"a": "x" * 200, "b": "x" * 200}),
    ],
)
def test_what_does_not_fit_is_refused(peer: Peer) -> None:
    with pytest.raises(DiscoveryValueError):
        encode_txt(peer)


def test_a_record_of_the_longest_length_is_written() -> None:
    room = TXT_OCTETS_MAX - len(encode_txt(Peer("p1", "n"))) - 2 * len(strings(b"a="))
    peer = Peer("p1", "n", properties={"a": "x" * 200, "b": "x" * (room - 200)})
    assert len(encode_txt(peer)) == TXT_OCTETS_MAX


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (b"", Txt("", (), {}, 0)),
        (b"\x00", Txt("", (), {}, 0)),
        (strings(b"id=a", b"ID=b", b"Key=1", b"key=2"), Txt("a", (), {"key": "1"}, 0)),
        (strings(b"flag", b"empty="), Txt("", (), {"flag": "", "empty": ""}, 0)),
        (strings(b"=x", b"a=b"), Txt("", (), {"a": "b"}, 1)),
        (strings(b"k\xc3\xa9y=1", b"a=\xff", b"b=2"), Txt("", (), {"b": "2"}, 2)),
        (strings(b"b=2") + b"\x20short", Txt("", (), {"b": "2"}, 1)),
        (strings(b"svc=a,,b c,a," + b"s" * 63), Txt("", ("a",), {}, 2)),
        (strings(b"id=a\nb"), Txt("", (), {}, 1)),
        (strings(b"id=static:10.0.0.1:1"), Txt("", (), {}, 1)),
        (strings(b"txtvers=1", b"id=a"), Txt("a", (), {}, 0)),
    ],
)
def test_a_foreign_record_is_read_as_far_as_it_goes(record: bytes, expected: Txt) -> None:
    assert decode_txt(record) == expected


def test_a_foreign_record_that_is_too_long_is_cut() -> None:
    read = decode_txt(strings(b"id=a", *(b"k%03d=" % number + b"x" * 94 for number in range(20))))
    assert read.peer_id == "a"
    assert len(read.properties) == 12
    assert read.faults == 2  # the record is too long, and one string is cut through


def test_a_label_is_unique_and_its_name_can_be_read() -> None:
    label = label_of("host.example", "p1")
    assert label != label_of("host.example", "p2")
    assert label == f"host\N{ONE DOT LEADER}example {digest('p1')}"
    assert name_of(label, "p1") == "host.example"
    assert name_of("Somebody", "p1") == "Somebody"


def test_a_long_name_is_cut_at_a_character_to_fit_its_label() -> None:
    label = label_of("é" * 31, "p1")
    assert len(label.encode()) <= 63
    assert name_of(label, "p1") == "é" * 26
