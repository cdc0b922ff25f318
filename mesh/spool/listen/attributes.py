"""RADIUS attributes by name, as a dictionary has it; the only importer of pyrad.

Of pyrad the dictionary and the types of values are used. Its server is not: it answers when a handler returns, one
packet at a time, and so cannot wait for a commit that many packets share.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mesh.errors import ConfigError
from mesh.spool.listen.entry import add_value

try:
    from pyrad import dictionary, tools  # type: ignore[import-untyped]
except ImportError:  # said in a sentence when it is needed
    dictionary = tools = None

__all__ = ["Attributes"]

_OWN = Path(__file__).with_name("dictionary.radius")
_VENDOR_SPECIFIC = 26
_TAG_MAX = 0x1F
"""An octet up to it, before the value, is a tag (RFC 2868 section 3)."""


class Attributes:
    """Names and decodes attributes: those of the RFCs, and what further dictionaries define.

    Args:
        paths: Files in the format of FreeRADIUS; what they include is read, too.

    Raises:
        ConfigError: pyrad is not installed, a file cannot be read or does not parse.
    """

    def __init__(self, paths: Sequence[str] = ()) -> None:
        if dictionary is None:
            raise ConfigError("RADIUS needs pyrad, which is not installed; pip install 'freelance-mesh[radius]'")
        # Its warnings are about attributes of rare types, which are kept as octets here.
        logging.getLogger("pyrad").setLevel(logging.ERROR)
        self._dictionary: Any = dictionary.Dictionary()
        for path in (str(_OWN), *paths):
            try:
                self._dictionary.ReadDictionary(path)
            except OSError as error:
                raise ConfigError(
                    f"the dictionary {error.filename or path} cannot be read: {error.strerror}; give a file in the "
                    f"format of FreeRADIUS"
                ) from None
            except (dictionary.ParseError, UnicodeDecodeError) as error:
                raise ConfigError(
                    f"the dictionary {path} does not parse: {error}; name only the files of your vendors, one by one"
                ) from None

    def decode(self, attributes: Iterable[tuple[int, bytes]]) -> dict[str, Any]:
        """Return values by name; those of a name that came several times are a list, in order.

        Integers have the name of their value if it has one, addresses are text, dates Unix seconds. Octets, values that
        do not fit their type, and attributes that no dictionary knows are `0x` and hexadecimal digits; the latter are
        called `Attr-N` and `Vendor-V-Attr-N`. A tag (RFC 2868) follows the name, as in `Tunnel-Type:1`. Never raises.
        """
        decoded: dict[str, Any] = {}
        for kind, value in attributes:
            for key, inner in _vendors_own(value) if kind == _VENDOR_SPECIFIC else [(kind, value)]:
                add_value(decoded, *self._named(key, inner))
        return decoded

    def _named(self, key: int | tuple[int, int], value: bytes) -> tuple[str, Any]:
        index = self._dictionary.attrindex
        name = index.GetBackward(key) if index.HasBackward(key) else None
        if name is None:
            return ("Vendor-{}-Attr-{}".format(*key) if isinstance(key, tuple) else f"Attr-{key}"), _hex(value)
        attribute = self._dictionary.attributes[name]
        if attribute.has_tag and value and value[0] <= _TAG_MAX:
            name = f"{name}:{value[0]}" if value[0] else name
            # The tag stands in the place of the first of four octets, and before a text.
            value = b"\0" + value[1:] if attribute.type == "integer" else value[1:]
        if attribute.encrypt or attribute.type == "tlv":
            return name, _hex(value)
        if attribute.values.HasBackward(value):
            return name, attribute.values.GetBackward(value)
        try:
            told = tools.DecodeAttr(attribute.type, value)
        except ValueError:
            told = value
        return name, _hex(told) if isinstance(told, bytes) else told


def _vendors_own(value: bytes) -> Iterator[tuple[int | tuple[int, int], bytes]]:
    """Yield the attributes within a Vendor-Specific one (RFC 2865 section 5.26); itself if it holds no such ones."""
    vendor, at, end = int.from_bytes(value[:4], "big"), 4, len(value)
    found: list[tuple[tuple[int, int], bytes]] = []
    while at + 2 <= end and 2 <= value[at + 1] <= end - at:
        found.append(((vendor, value[at]), value[at + 2 : at + value[at + 1]]))
        at += value[at + 1]
    if found and at == end:
        yield from found
    else:
        yield _VENDOR_SPECIFIC, value


def _hex(octets: bytes) -> str:
    return f"0x{octets.hex()}"
