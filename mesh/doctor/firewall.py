"""Which rules of a firewall may drop what this host receives or sends, read from what the tools list. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from mesh.doctor.observations import Rule

__all__ = ["iptables_suspects", "nft_suspects"]

_OUTGOING: Final = {"input": False, "prerouting": False, "output": True}
"""The hooks that packets of this host pass, and which way they go. What is forwarded, or rewritten, is another's."""
_HOOK: Final = re.compile(r"type filter hook (\w+) ")
_VERDICT: Final = re.compile(r"\b(drop|reject)\b|-[jg] (DROP|REJECT)\b")
_JUMP: Final = re.compile(r"(?:\bjump|\bgoto|-[jg]) (\S+)")


@dataclass(slots=True)
class _Chain:
    """Rules in their order."""

    place: str
    """How it is called: table and name."""
    hook: str = ""
    """Where packets enter it; empty if only other chains lead to it."""
    rules: list[str] = field(default_factory=list)


def nft_suspects(listed: str) -> list[Rule]:
    """Return the rules that drop or reject, from the output of `nft list ruleset`."""
    chains: dict[tuple[str, str], _Chain] = {}
    table, chain = "", _Chain("")
    for line in map(str.strip, listed.splitlines()):
        if line.startswith("table "):
            table = line.removeprefix("table ").removesuffix(" {")
        elif line.startswith("chain "):
            name = line.removeprefix("chain ").removesuffix(" {")
            chain = chains[table, name] = _Chain(f"{table} {name}")
        elif line.startswith("type "):
            hook = _HOOK.match(line)
            chain.hook = hook[1] if hook is not None else ""
            if "policy drop" in line:
                chain.rules.append("policy drop")
        else:
            chain.rules.append(line)
    return list(_suspects(chains))


def iptables_suspects(listed: str) -> list[Rule]:
    """Return the rules that drop or reject, from the output of `iptables-save -t filter`."""
    chains: dict[tuple[str, str], _Chain] = {}
    for line in map(str.strip, listed.splitlines()):
        if line.startswith(":"):
            name, _, rest = line[1:].partition(" ")
            chains["", name] = _Chain(name, name.lower(), ["policy drop"] if rest.startswith("DROP") else [])
        elif line.startswith("-A "):
            name, _, rule = line.removeprefix("-A ").partition(" ")
            chains.setdefault(("", name), _Chain(name)).rules.append(rule)
    return list(_suspects(chains))


def _suspects(chains: dict[tuple[str, str], _Chain]) -> Iterator[Rule]:
    """Yield the rules with such a verdict in chains that packets of this host pass."""
    for (table, name), chain in chains.items():
        if chain.hook in _OUTGOING:
            for each in _reached(chains, table, [name]):
                for rule in filter(_VERDICT.search, each.rules):
                    yield Rule(each.place, rule, _OUTGOING[chain.hook])


def _reached(chains: dict[tuple[str, str], _Chain], table: str, names: Iterable[str]) -> Iterator[_Chain]:
    """Yield chains, and those of the same table to which they jump."""
    left, passed = list(names), dict[str, None]()
    while left:
        name = left.pop()
        chain = chains.get((table, name))
        if chain is None or name in passed:
            continue
        passed[name] = None
        yield chain
        left += [jump[1] for rule in chain.rules for jump in _JUMP.finditer(rule)]
