"""What a terminal sends for keys, and the names of those that matter."""

from __future__ import annotations

import re

__all__ = ["keys_in"]

_KEY = re.compile(r"\x1b[\[O][0-9;]*[A-Za-z~]|\x1b[^\x1b]|.", re.DOTALL)
"""A sequence of ECMA-48 or of xterm's application mode, a character with Alt, or one character."""
_NAMES = {
    **dict.fromkeys(("\x1b[A", "\x1bOA", "\x10"), "up"),
    **dict.fromkeys(("\x1b[B", "\x1bOB", "\x0e"), "down"),
    **dict.fromkeys(("\x1b[C", "\x1bOC"), "right"),
    **dict.fromkeys(("\x1b[D", "\x1bOD"), "left"),
    **dict.fromkeys(("\x1b[5~", "\x02"), "page up"),
    **dict.fromkeys(("\x1b[6~", "\x06"), "page down"),
    **dict.fromkeys(("\x1b[H", "\x1bOH", "\x1b[1~", "\x1b[7~"), "home"),
    **dict.fromkeys(("\x1b[F", "\x1bOF", "\x1b[4~", "\x1b[8~"), "end"),
    **dict.fromkeys(("\r", "\n"), "enter"),
    **dict.fromkeys(("\x7f", "\x08"), "backspace"),
    "\x1b": "escape",
    "\x15": "clear line",
}


def keys_in(typed: str) -> list[str]:
    """Return the keys in what was typed: names for those above, the character for others that can be printed."""
    found = (_NAMES.get(key, key) for key in _KEY.findall(typed))
    return [key for key in found if key.isprintable()]
