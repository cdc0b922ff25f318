"""Syslog messages out of a stream of octets (RFC 6587): both framings, told apart at each message.

A message that begins with a number, one space and `<` is counted (section 3.4.1): every syslog message begins with its
priority in angle brackets, so that nothing else looks like this. Any other one ends with a line feed (section 3.4.2).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Deframer", "Frame"]

_COUNT = re.compile(rb"([1-9]\d{0,8}) <")
_COUNT_BEGUN = re.compile(rb"[1-9]\d{0,8} ?\Z")
_BETWEEN = b"\n\r\0"
"""Octets that some senders put after a message that was counted, and the ends of empty lines."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message."""

    octets: bytes
    """Without its framing."""
    whole: bool = True
    """False: it was longer than allowed, or the stream ended within it; what is here is its beginning."""


class Deframer:
    """Cuts a stream of octets into messages; never raises, whatever the octets are.

    Args:
        message_max: Octets of a message that are kept; what follows them is skipped.
    """

    def __init__(self, message_max: int) -> None:
        self._message_max = message_max
        self._held = bytearray()
        self._seen = 0  # octets of the line that hold no line feed
        self._skip = 0  # octets of a counted message that are still to be skipped
        self._skip_line = False

    @property
    def inside(self) -> bool:
        """Whether the octets end within a message."""
        return bool(self._held) or self._skip > 0 or self._skip_line

    def feed(self, octets: bytes) -> list[Frame]:
        """Return the messages that are complete with these octets."""
        held = self._held
        held += octets
        frames: list[Frame] = []
        at = 0
        while True:
            at = self._skipped(at)
            while at < len(held) and held[at] in _BETWEEN and not self._seen:
                at += 1
            if at >= len(held):
                break
            after = self._cut(at, frames)
            if after is None:
                break
            at = after
        del held[:at]
        return frames

    def finish(self) -> list[Frame]:
        """Return what is left when the stream has ended: a line may lack its end, a counted message is cut."""
        left, self._held = bytes(self._held), bytearray()
        self._seen = 0
        if not left:
            return []
        if counted := _COUNT.match(left):
            return [Frame(left[counted.end() - 1 :], whole=False)]
        return [Frame(left)]

    def _skipped(self, at: int) -> int:
        """Return where the octets begin that are not to be skipped."""
        held = self._held
        if self._skip:
            step = min(self._skip, len(held) - at)
            self._skip -= step
            return at + step
        if self._skip_line:
            end = held.find(b"\n", at)
            if end < 0:
                return len(held)
            self._skip_line = False
            return end + 1
        return at

    def _cut(self, at: int, frames: list[Frame]) -> int | None:
        """Take one message from here on; return what comes after it, None if it is not there yet."""
        held = self._held
        if not self._seen:
            if counted := _COUNT.match(held, at):
                return self._cut_counted(counted.end() - 1, int(counted[1]), frames)
            if len(held) - at <= 10 and _COUNT_BEGUN.match(held, at):
                return None
        end = held.find(b"\n", at + self._seen)
        if end < 0 and len(held) - at <= self._message_max:
            self._seen = len(held) - at
            return None
        self._seen = 0
        if 0 <= end - at <= self._message_max:
            frames.append(Frame(bytes(held[at:end]).rstrip(b"\r\0")))
            return end + 1
        frames.append(Frame(bytes(held[at : at + self._message_max]), whole=False))
        self._skip_line = True
        return at + self._message_max

    def _cut_counted(self, at: int, length: int, frames: list[Frame]) -> int | None:
        kept = min(length, self._message_max)
        if len(self._held) - at < kept:
            return None
        frames.append(Frame(bytes(self._held[at : at + kept]), whole=kept == length))
        self._skip = length - kept
        return at + kept
