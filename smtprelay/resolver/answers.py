"""What DNS is asked and what it tells."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeAlias, TypeVar

T = TypeVar("T")
TXT: TypeAlias = tuple[bytes, ...]  # the strings of one record


@dataclass(frozen=True, slots=True, order=True)
class MX:
    """One MX record; the exchange is in lower case, without a trailing dot: ``""`` is the null MX (RFC 7505)."""

    preference: int
    exchange: str


@dataclass(frozen=True, slots=True)
class Found(Generic[T]):
    """There are records.

    :param canonical_name: where the chain of aliases (CNAME) ends; the name itself where there is none. In lower case,
        without a trailing dot.
    :param expires_at: until when the answer holds; Unix time in milliseconds.
    :param stale: DNS fails now; this is its last answer, up to a day old.
    """

    records: tuple[T, ...]
    canonical_name: str
    expires_at: int
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Absent:
    """There is no such record.

    :param name_exists: the name has others (no data); False: there is no such name (NXDOMAIN), nor could there be.
    :param alias_of: where the chain of aliases ends that the name is the beginning of; ``""`` where it is none. Whether
        there is such a name is not said.
    """

    name_exists: bool
    expires_at: int
    stale: bool = False
    alias_of: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """DNS does not tell: SERVFAIL, a timeout, a malformed answer, and no answer from before.

    :param reason: for a person.
    """

    reason: str


Answer: TypeAlias = Found[T] | Absent | Failed


class Lookup(Protocol):
    """What can be asked. Names are ASCII, with or without a trailing dot; nothing is raised. Records come in an order
    that does not change."""

    async def txt(self, name: str) -> Answer[TXT]:
        """TXT records."""

    async def mx(self, name: str) -> Answer[MX]:
        """MX records, the lowest preference first."""

    async def addresses(self, name: str, version: Literal[4, 6]) -> Answer[str]:
        """A or AAAA records."""

    async def ptr(self, address: str) -> Answer[str]:
        """The names of an IP address, in lower case, without a trailing dot."""


RecordType: TypeAlias = Literal["TXT", "MX", "A", "AAAA", "PTR"]


class Question(NamedTuple):
    """What DNS is asked: the name in lower case, without a trailing dot."""

    name: str
    type: RecordType


Ask: TypeAlias = Callable[[Question], Awaitable[Answer[Any]]]


class View:
    """`Lookup`, by a function that takes questions."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def txt(self, name: str) -> Answer[TXT]:
        return await self._ask(Question(normal(name), "TXT"))

    async def mx(self, name: str) -> Answer[MX]:
        return await self._ask(Question(normal(name), "MX"))

    async def addresses(self, name: str, version: Literal[4, 6]) -> Answer[str]:
        return await self._ask(Question(normal(name), "A" if version == 4 else "AAAA"))

    async def ptr(self, address: str) -> Answer[str]:
        return await self._ask(Question(_reverse(address), "PTR"))


def normal(name: str) -> str:
    """In lower case, without a trailing dot."""
    return name.lower().removesuffix(".")


def _reverse(address: str) -> str:
    try:
        return ipaddress.ip_address(address).reverse_pointer
    except ValueError:
        return ""  # no name, so that there are no records either
