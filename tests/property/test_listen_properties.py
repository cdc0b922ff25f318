"""What may come from anywhere: no octets whatever make a parser raise, and nothing of them is lost."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from mesh.spool.listen.accounting import PacketError, answer, is_genuine, read_request
from mesh.spool.listen.attributes import Attributes
from mesh.spool.listen.entry import encode_entry, raw_of
from mesh.spool.listen.framing import Deframer
from mesh.spool.listen.syslog import parse

ATTRIBUTES = Attributes()

tokens = st.sampled_from(
    [b"<13>", b"<191>", b"1 ", b"- ", b"[", b"]", b'a="', b'"', b"\\", b" ", b"\n", b"\0", b"\xff", b"12 <", b"9" * 9]
)
syslog = st.one_of(st.binary(max_size=300), st.lists(tokens | st.binary(max_size=5), max_size=40).map(b"".join))
messages = st.lists(syslog.map(lambda octets: b"<13>" + octets), max_size=8)


@given(syslog)
def test_every_message_is_read_and_kept(octets: bytes) -> None:
    fields = parse(octets)
    assert fields["format"] in ("rfc5424", "rfc3164", "unknown")
    assert isinstance(fields["message"], str)
    body = encode_entry("syslog", "udp", ("127.0.0.1", 1), 0.0, octets, fields)
    assert raw_of(body) == octets
    assert msgspec.json.decode(body)["fields"] == fields


@given(st.lists(syslog, max_size=8), st.integers(1, 200))
def test_a_stream_gives_the_same_messages_however_it_is_cut(chunks: list[bytes], message_max: int) -> None:
    stream = b"".join(chunks)
    whole, cut, single = Deframer(message_max), Deframer(message_max), Deframer(message_max)
    expected = whole.feed(stream) + whole.finish()
    assert [frame for chunk in chunks for frame in cut.feed(chunk)] + cut.finish() == expected
    octets = (stream[at : at + 1] for at in range(len(stream)))
    assert [frame for octet in octets for frame in single.feed(octet)] + single.finish() == expected
    assert all(0 < len(frame.octets) <= max(message_max, 11) for frame in expected)


@given(messages, st.data())
def test_framed_messages_come_out_as_they_went_in(messages: list[bytes], data: st.DataObject) -> None:
    stream, expected = b"", []
    for message in messages:
        if data.draw(st.booleans()):
            stream += b"%d %s" % (len(message), message)
        else:
            message = message.replace(b"\n", b" ").rstrip(b"\r\0")
            stream += message + b"\n"
        expected.append(message)
    assert [frame.octets for frame in Deframer(10_000).feed(stream)] == expected


attributes = st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=40)), max_size=10)


@given(st.binary(max_size=100) | attributes.map(lambda pairs: packet(pairs)))
def test_every_datagram_is_a_request_or_is_refused(octets: bytes) -> None:
    try:
        request = read_request(octets)
    except PacketError:
        return
    assert not is_genuine(request, b"a secret that nobody knows")
    decoded = ATTRIBUTES.decode(request.attributes)
    raw_of(encode_entry("radius", "udp", ("127.0.0.1", 1), 0.0, request.octets, decoded))
    states = [value for kind, value in request.attributes if kind == 33]
    assert all(state in answer(request, b"secret") for state in states)


def packet(pairs: list[tuple[int, bytes]]) -> bytes:
    """Return an Accounting-Request with these attributes, and an authenticator of zeros."""
    encoded = b"".join(bytes([kind, 2 + len(value)]) + value for kind, value in pairs)
    return b"\x04\x07" + (20 + len(encoded)).to_bytes(2, "big") + bytes(16) + encoded
