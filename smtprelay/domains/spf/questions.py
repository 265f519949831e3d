"""What an SPF evaluation asks DNS, within the limits of RFC 7208 §4.6.4."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias, TypeVar

from smtprelay.domains.spf.macros import is_name
from smtprelay.domains.spf.record import MAX_RECORD, SPFRecord, parse_record, select
from smtprelay.domains.txt import shorten
from smtprelay.resolver import Absent, Answer, Failed, Found, Lookup

T = TypeVar("T")
IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

# RFC 7208 §4.6.4
MAX_LOOKUPS = 10
MAX_VOID_LOOKUPS = 2
MAX_NAMES = 10  # of one mx, and of the client's address


class Result(StrEnum):
    """RFC 7208 §2.6."""

    NONE = "none"
    NEUTRAL = "neutral"
    PASS = "pass"
    FAIL = "fail"
    SOFTFAIL = "softfail"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


class Broken(Exception):
    """The evaluation ends with an error; the text is for a person, without a full stop.

    :param limit: of §4.6.4.
    """

    def __init__(self, problem: str, result: Result = Result.PERMERROR, *, limit: bool = False) -> None:
        super().__init__(problem)
        self.result = result
        self.limit = limit


@dataclass(slots=True)
class Questions:
    """Of one evaluation: whose client it is about, and what it has spent. All methods raise `Broken`.

    :param ip: None: there is no client.
    """

    lookup: Lookup
    ip: IPAddress | None
    lookups: int = 0
    void_lookups: int = 0

    def count(self, term: str) -> None:
        """A term is reached that makes DNS be asked."""
        self.lookups += 1
        if self.lookups > MAX_LOOKUPS:
            problem = f"the SPF record needs more than {MAX_LOOKUPS} DNS look-ups"
            raise Broken(f"{problem}, and receivers give up at '{shorten(term)}'", limit=True)

    async def record(self, domain: str) -> SPFRecord | None:
        """RFC 7208 §4.3 to §4.5; None where there is none."""
        if not is_name(domain) or "." not in domain.removesuffix("."):
            return None
        answer = await self.lookup.txt(domain)
        if isinstance(answer, Failed):
            raise _failed(domain, answer)
        found = select(_records(answer))
        if len(found) > 1:
            raise Broken(several_records(domain, len(found)))
        return parse_record(b"".join(found[0])) if found else None

    async def explanation(self, name: str) -> bytes:
        """What `exp` leads to; empty where there is not exactly one text, or DNS fails (RFC 7208 §6.2)."""
        texts = [b"".join(strings) for strings in _records(await self.lookup.txt(name))] if is_name(name) else []
        return texts[0] if len(texts) == 1 and len(texts[0]) <= MAX_RECORD else b""

    async def addresses(self, name: str, version: int) -> tuple[IPAddress, ...]:
        """:param version: 4 or 6."""
        return _parse(self._tell(name, await self.lookup.addresses(name, _family(version))))

    async def addresses_without_client(self, name: str) -> None:
        """A look-up is void for certain only where the host has no address of either kind."""
        answer = await self.lookup.addresses(name, 4)
        if isinstance(answer, Absent):
            answer = await self.lookup.addresses(name, 6)
        self._tell(name, answer)

    async def exchanges(self, name: str) -> tuple[str, ...]:
        """The hosts of an mx mechanism (RFC 7208 §5.4)."""
        found = self._tell(name, await self.lookup.mx(name))
        if len(found) > MAX_NAMES:
            raise Broken(f"{name} has {len(found)} MX records, and SPF allows {MAX_NAMES}", limit=True)
        return tuple(record.exchange for record in found if is_name(record.exchange))

    async def client_names(self) -> tuple[str, ...]:
        """The client's names, of those that lead back to it (RFC 7208 §5.5); DNS that fails makes none."""
        answer = await self.lookup.ptr(str(self.ip))
        names = () if isinstance(answer, Failed) else self._tell(str(self.ip), answer)
        # Those beyond the limit are left out, no error: the client publishes them, not the domain.
        return tuple([name for name in names[:MAX_NAMES] if await self._leads_back(name)])

    async def _leads_back(self, name: str) -> bool:
        if self.ip is None or not is_name(name):
            return False
        answer = await self.lookup.addresses(name, _family(self.ip.version))
        return not isinstance(answer, Failed) and self.ip in _parse(self._tell(name, answer))

    def _tell(self, name: str, answer: Answer[T]) -> tuple[T, ...]:
        """The records of an answer; where there are none, the look-up is void."""
        if isinstance(answer, Failed):
            raise _failed(name, answer)
        found = _records(answer)
        if not found:
            self.void_lookups += 1
            if self.void_lookups > MAX_VOID_LOOKUPS:
                problem = f"more than {MAX_VOID_LOOKUPS} of the names in the SPF record do not exist"
                raise Broken(f"{problem}, and receivers give up at {shorten(name)}", limit=True)
        return found


def several_records(domain: str, count: int) -> str:
    """RFC 7208 §4.5, for a person."""
    return f"{domain} has {count} SPF records, and receivers heed none: there may be only one"


def no_answer(name: str, answer: Failed) -> str:
    """For a person."""
    return f"DNS does not answer for {name}: {answer.reason}"


def _records(answer: Answer[T]) -> tuple[T, ...]:
    return answer.records if isinstance(answer, Found) else ()


def _parse(addresses: tuple[str, ...]) -> tuple[IPAddress, ...]:
    return tuple(map(ipaddress.ip_address, addresses))


def _family(version: int) -> Literal[4, 6]:
    return 4 if version == 4 else 6


def _failed(name: str, answer: Failed) -> Broken:
    return Broken(no_answer(name, answer), Result.TEMPERROR)
