"""What the tests of the domain rules share: DNS in memory."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Literal, TypeVar

from smtprelay.resolver import MX, TXT, Absent, Answer, Failed, Found

T = TypeVar("T")
EXPIRES_AT = 1_700_000_300_000  # of every answer
MAX_ALIASES = 8

Entry = str | TXT


class Zone:
    """A `Lookup` over a mapping of names to their records, each as a line of a zone file without name and class:
    ``TXT v=spf1 -all``, ``MX 10 mail.example.com``, ``A 192.0.2.1``, ``AAAA 2001:db8::1``, ``PTR``, ``CNAME``.
    A tuple of octets is a TXT record of these strings. ``FAIL`` makes DNS fail at this name for all types that have
    no record there.

    `questions` tells what was asked, in order: type and name.
    """

    def __init__(self, records: Mapping[str, Iterable[Entry]] | None = None) -> None:
        self.records: dict[str, list[Entry]] = {}
        self.questions: list[tuple[str, str]] = []
        for name, entries in (records or {}).items():
            self.add(name, *entries)

    def add(self, name: str, *entries: Entry) -> None:
        self.records.setdefault(_canonical(name), []).extend(entries)

    async def txt(self, name: str) -> Answer[TXT]:
        answer = self._ask("TXT", name)
        if not isinstance(answer, Found):
            return answer
        strings = tuple((e.encode("utf-8"),) if isinstance(e, str) else e for e in answer.records)
        return Found(strings, answer.canonical_name, EXPIRES_AT)

    async def mx(self, name: str) -> Answer[MX]:
        answer = self._ask("MX", name)
        if not isinstance(answer, Found):
            return answer
        fields = [entry.split(" ") for entry in _texts(answer)]
        records = sorted((MX(int(preference), _canonical(host)) for preference, host in fields), key=_preference)
        return Found(tuple(records), answer.canonical_name, EXPIRES_AT)

    async def addresses(self, name: str, version: Literal[4, 6]) -> Answer[str]:
        answer = self._ask("A" if version == 4 else "AAAA", name)
        return Found(_texts(answer), answer.canonical_name, EXPIRES_AT) if isinstance(answer, Found) else answer

    async def ptr(self, address: str) -> Answer[str]:
        answer = self._ask("PTR", ipaddress.ip_address(address).reverse_pointer)
        if not isinstance(answer, Found):
            return answer
        return Found(tuple(map(_canonical, _texts(answer))), answer.canonical_name, EXPIRES_AT)

    def _ask(self, kind: str, asked: str) -> Answer[Entry]:
        name = _canonical(asked)
        self.questions.append((kind, name))
        for _ in range(MAX_ALIASES):
            found = tuple(self._of(kind, name))
            if found:
                return Found(found, name, EXPIRES_AT)
            if "FAIL" in self.records.get(name, ()):
                return Failed(f"no answer from DNS for {name}")
            aliases = list(self._of("CNAME", name))
            if not aliases:
                alias_of = name if name != _canonical(asked) else ""
                return Absent(self._exists(name) or bool(alias_of), EXPIRES_AT, alias_of=alias_of)
            name = _canonical(str(aliases[0]))
        return Failed(f"the aliases of {asked} lead in a circle")

    def _of(self, kind: str, name: str) -> Iterable[Entry]:
        for entry in self.records.get(name, ()):
            if isinstance(entry, tuple):
                if kind == "TXT":
                    yield entry
            elif entry.startswith(f"{kind} "):
                yield entry.removeprefix(f"{kind} ")

    def _exists(self, name: str) -> bool:
        """Itself, or as the parent of another name (RFC 8020 §2)."""
        return any(known == name or known.endswith(f".{name}") for known in self.records)


def _canonical(name: str) -> str:
    return name.lower().removesuffix(".")


def _preference(record: MX) -> int:
    return record.preference


def _texts(answer: Found[Entry]) -> tuple[str, ...]:
    return tuple(entry for entry in answer.records if isinstance(entry, str))
