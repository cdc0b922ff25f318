"""What the keys have chosen: a value, and the next value after each key."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from mesh.top.columns import Order

__all__ = ["Controls"]

_ESCAPE = "\x1b"
_ENTER = ("\r", "\n")
_BACKSPACE = ("\x7f", "\x08")
_CLEAR_LINE = "\x15"
_FILTER_MAX = 60


@dataclass(frozen=True, slots=True)
class Controls:
    """How the screen is looked at."""

    order: Order = field(default_factory=Order)
    filter: str = ""
    """Words that a row must have to be shown."""
    typing: bool = False
    """Whether keys go into the filter."""
    paused: bool = False
    """Whether the screen stands still; what happens meanwhile is shown afterwards."""
    quitting: bool = False

    def after(self, keys: str) -> Controls:
        """Return what holds after some keys, as a terminal sends them: one character each, or one escape sequence."""
        if keys.startswith(_ESCAPE) and len(keys) > 1:
            return self  # arrows and the like mean nothing here, and their letters are no keys
        controls = self
        for key in keys:
            controls = controls._typed(key) if controls.typing else controls._pressed(key)
        return controls

    def _pressed(self, key: str) -> Controls:
        match key:
            case "q":
                return replace(self, quitting=True)
            case "p":
                return replace(self, paused=not self.paused)
            case "s":
                return replace(self, order=self.order.next())
            case "r":
                return replace(self, order=self.order.reversed())
            case "/":
                return replace(self, typing=True)
            case "\x1b":
                return replace(self, filter="")
        return self

    def _typed(self, key: str) -> Controls:
        if key == _ESCAPE:
            return replace(self, typing=False, filter="")
        if key in _ENTER:
            return replace(self, typing=False)
        if key in _BACKSPACE:
            return replace(self, filter=self.filter[:-1])
        if key == _CLEAR_LINE:
            return replace(self, filter="")
        return replace(self, filter=(self.filter + key)[:_FILTER_MAX]) if key.isprintable() else self
