"""TXT records: reading anybody's never raises; reading our own gives back what was written."""

from __future__ import annotations

import string

from hypothesis import given
from hypothesis import strategies as st

from discovery import DiscoveryValueError, Peer
from discovery.model import id_problem, is_service
from discovery.txt import decode_txt, encode_txt, label_of, name_of

PRINTABLE = st.text(st.characters(categories=("L", "N", "P", "S")), min_size=1, max_size=30)
KEYS = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=9).filter(
    lambda key: key not in ("id", "svc", "txtvers")
)


@given(st.binary(max_size=2500))
def test_reading_never_raises_and_gives_only_what_a_peer_may_have(record: bytes) -> None:
    read = decode_txt(record)
    assert read.peer_id == "" or not id_problem(read.peer_id)
    assert all(map(is_service, read.services))
    assert len(set(read.services)) == len(read.services)
    assert read.faults >= 0
    Peer(read.peer_id or "p", "n", read.services, properties=read.properties)


@given(st.lists(st.binary(max_size=255), max_size=12))
def test_strings_of_any_content_make_a_peer(strings: list[bytes]) -> None:
    read = decode_txt(b"".join(bytes([len(each)]) + each for each in strings))
    Peer(read.peer_id or "p", "n", read.services, properties=read.properties)


@given(
    PRINTABLE,
    st.lists(st.from_regex(r"[A-Za-z0-9_-]{1,12}", fullmatch=True), max_size=6, unique=True),
    st.dictionaries(KEYS, st.text(st.characters(codec="utf-8"), max_size=40), max_size=6),
)
def test_what_was_written_is_read_back(peer_id: str, services: list[str], properties: dict[str, str]) -> None:
    peer = Peer(peer_id, "n", tuple(services), properties=properties)
    try:
        record = encode_txt(peer)
    except DiscoveryValueError:
        return  # it does not fit
    read = decode_txt(record)
    assert (read.peer_id, read.services, read.properties) == (peer_id, tuple(services), properties)
    assert read.faults == 0


@given(PRINTABLE, PRINTABLE)
def test_a_label_fits_and_its_name_is_the_beginning_of_ours(name: str, peer_id: str) -> None:
    label = label_of(name, peer_id)
    assert len(label.encode()) <= 63
    assert "." not in label
    assert name.replace("\N{ONE DOT LEADER}", ".").startswith(name_of(label, peer_id).removesuffix("?"))
