"""RADIUS accounting packets, against another implementation (pyrad)."""

from __future__ import annotations

import pytest

from mesh.spool.listen.accounting import PacketError, answer, is_genuine, read_request
from tests.unit.mesh.spool.listen.packets import SECRET, request


@pytest.mark.parametrize("signed", [False, True])
def test_a_request_is_read_checked_and_answered(signed: bool) -> None:
    packet = request(7, signed=signed, User_Name="bob", Acct_Status_Type="Start")
    packet.AddAttribute("Proxy-State", b"first")
    packet.AddAttribute("Proxy-State", b"second")
    octets = packet.RequestPacket()
    read = read_request(octets)
    assert (read.identifier, read.octets) == (7, octets)
    assert [value for kind, value in read.attributes if kind == 1] == [b"bob"]
    assert is_genuine(read, SECRET)
    response = answer(read, SECRET)
    reply = packet.CreateReply(packet=response)
    assert packet.VerifyReply(reply, response)
    assert reply.code == 5
    assert reply["Proxy-State"] == [b"first", b"second"]
    assert (reply.message_authenticator is not None) == signed
    if signed:
        assert reply.verify_message_authenticator(original_authenticator=packet.authenticator, original_code=4)


def test_another_secret_is_noticed() -> None:
    assert not is_genuine(read_request(request().RequestPacket()), b"other")


def test_a_changed_octet_is_noticed() -> None:
    octets = bytearray(request(User_Name="bob").RequestPacket())
    octets[-1] ^= 1
    assert not is_genuine(read_request(bytes(octets)), SECRET)


def test_a_wrong_message_authenticator_is_noticed_though_the_authenticator_fits() -> None:
    import hashlib

    octets = bytearray(request(signed=True).RequestPacket())
    octets[-1] ^= 1
    octets[4:20] = hashlib.md5(octets[:4] + bytes(16) + octets[20:] + SECRET).digest()
    assert not is_genuine(read_request(bytes(octets)), SECRET)
    without = octets[:20]
    without[2:4] = (20).to_bytes(2, "big")
    without[4:20] = hashlib.md5(without[:4] + bytes(16) + SECRET).digest()
    assert is_genuine(read_request(bytes(without)), SECRET)


def test_padding_is_no_part_of_the_packet() -> None:
    octets = request(User_Name="bob").RequestPacket()
    assert read_request(octets + bytes(10)).octets == octets


def damaged(octets: bytes, at: int, value: int) -> bytes:
    return octets[:at] + bytes([value]) + octets[at + 1 :]


GOOD = request(User_Name="bob").RequestPacket()
BROKEN = [
    (b"", "0 octets"),
    (GOOD[:19], "19 octets"),
    (damaged(GOOD, 0, 1), r"its code is 1, and not 4"),
    (GOOD[:-1], "says that it has 25 octets, and has 24"),
    (damaged(GOOD, 3, 19), "says that it has 19"),
    (damaged(GOOD, 2, 200), "says that it has 51225"),
    (damaged(GOOD, 21, 1), "length of its attribute 1 is wrong"),
    (damaged(GOOD, 21, 6), "length of its attribute 1 is wrong"),
    (damaged(GOOD, 21, 4), "length of its attribute 98 is wrong"),
]


@pytest.mark.parametrize(("octets", "complaint"), BROKEN)
def test_what_has_to_be_discarded_is_named(octets: bytes, complaint: str) -> None:
    with pytest.raises(PacketError, match=complaint):
        read_request(octets)
