"""Messages out of a stream of octets."""

from __future__ import annotations

import pytest

from mesh.spool.listen.framing import Deframer, Frame

ONE, TWO = b"<13>1 - - - - - - one", b"<13>Nov 22 05:00:00 host two"


def counted(message: bytes) -> bytes:
    return b"%d %s" % (len(message), message)


STREAMS = {
    "lines": ONE + b"\n" + TWO + b"\n",
    "lines with more at their ends": ONE + b"\r\n" + TWO + b"\0\n\n",
    "counted": counted(ONE) + counted(TWO),
    "counted with a line feed between": counted(ONE) + b"\n" + counted(TWO) + b"\n",
    "a line, then counted": ONE + b"\n" + counted(TWO),
    "counted, then a line": counted(ONE) + TWO + b"\n",
}


@pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("step", [1, 2, 7, 1000])
def test_both_framings_are_told_apart_at_each_message(stream: bytes, step: int) -> None:
    deframer = Deframer(1000)
    frames = [frame for at in range(0, len(stream), step) for frame in deframer.feed(stream[at : at + step])]
    assert frames == [Frame(ONE), Frame(TWO)]
    assert not deframer.inside
    assert deframer.finish() == []


def test_a_counted_message_may_hold_line_feeds() -> None:
    assert Deframer(1000).feed(counted(b"<13>a\nb\n")) == [Frame(b"<13>a\nb\n")]


@pytest.mark.parametrize("line", [b"2026 was a year", b"12345678901 <x", b"007 <x", b"12", b"no priority", b"1x <y"])
def test_a_number_that_counts_nothing_is_a_part_of_a_line(line: bytes) -> None:
    for step in (1, 100):
        deframer = Deframer(1000)
        octets = line + b"\n"
        frames = [frame for at in range(0, len(octets), step) for frame in deframer.feed(octets[at : at + step])]
        assert frames == [Frame(line)]


@pytest.mark.parametrize("step", [1, 3, 1000])
@pytest.mark.parametrize("long", [b"<13>" + b"x" * 96 + b"\n", b"100 <13>" + b"x" * 96])
def test_of_a_message_that_is_too_long_the_beginning_is_kept_and_the_rest_skipped(long: bytes, step: int) -> None:
    deframer = Deframer(40)
    octets = long + TWO + b"\n"
    frames = [frame for at in range(0, len(octets), step) for frame in deframer.feed(octets[at : at + step])]
    assert frames == [Frame(b"<13>" + b"x" * 36, whole=False), Frame(TWO)]


def test_a_message_of_exactly_the_limit_is_whole() -> None:
    assert Deframer(len(ONE)).feed(ONE + b"\n" + counted(ONE)) == [Frame(ONE), Frame(ONE)]


def test_a_line_without_its_end_is_a_message_when_the_stream_ends() -> None:
    deframer = Deframer(1000)
    assert deframer.feed(ONE) == []
    assert deframer.inside
    assert deframer.finish() == [Frame(ONE)]
    assert not deframer.inside


def test_a_counted_message_that_is_cut_is_not_whole() -> None:
    deframer = Deframer(1000)
    assert deframer.feed(b"100 <13>half") == []
    assert deframer.finish() == [Frame(b"<13>half", whole=False)]


def test_no_more_is_held_than_a_message() -> None:
    deframer = Deframer(100)
    for _ in range(1000):
        deframer.feed(b"x" * 100)
    assert deframer.inside
    assert deframer.finish() == []
    assert deframer.feed(b"\n" + ONE + b"\n")[-1:] != []
