"""The list of addresses that are not to be sent to, as people see and change it: with commands and on the page."""

from __future__ import annotations

import pwd
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from smtprelay.config import is_failure_type
from smtprelay.message import parse_address
from smtprelay.spool import OPERATOR, Spool, SpoolFull, Suppression
from smtprelay.suppression import CAUSES

NAMES = tuple(field.name for field in fields(Suppression))
PAGE = 500  # entries that are read at once: the loop is busy with them for a few ms
MAX_ENTRIES = 5000  # that are entered at once, which the spool does in pages of its own
MAX_TIME = 10**14 - 1  # Unix milliseconds, in the year 5138
MAX_TEXT = 1000  # characters of a source or a note


@dataclass(frozen=True, slots=True)
class Entry:
    """What a person wants on the list; `Suppression` says what the words mean.

    :param since: None: now.
    :param expires: None: as `[suppression] expiry` has it for the cause.
    """

    address: str
    cause: str = OPERATOR
    since: int | None = None
    expires: int | None = None
    source: str = ""
    note: str = ""

    @classmethod
    def parse(cls, words: Mapping[str, Any]) -> Entry:
        """From JSON. :raises ValueError: says which word is wrong."""
        if unknown := words.keys() - set(NAMES):
            raise ValueError(f"{', '.join(sorted(unknown))}: there are {', '.join(NAMES)}")
        texts = {name: words.get(name, "") for name in ("address", "cause", "source", "note")}
        if wrong := [name for name, text in texts.items() if not isinstance(text, str)]:
            raise ValueError(f"{', '.join(wrong)}: a text is wanted")
        return cls(
            parse_address(texts["address"]),
            parse_cause(texts["cause"] or OPERATOR),
            parse_time("since", words.get("since")),
            parse_time("expires", words.get("expires")),
            parse_text("source", texts["source"]),
            parse_text("note", texts["note"]),
        )

    def words(self) -> dict[str, Any]:
        """What `parse` makes it of."""
        return {name: value for name in NAMES if (value := getattr(self, name)) not in (None, "")}


def parse_cause(text: str) -> str:
    """:raises ValueError: it is none."""
    if text in CAUSES or is_failure_type(text):
        return text
    raise ValueError(f"{text!r} is no cause: there are {', '.join(CAUSES)}")


def parse_time(name: str, value: object) -> int | None:
    """Unix milliseconds. :raises ValueError: they are none."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TIME):
        return value
    raise ValueError(f"{name}: {value!r} is no time in Unix milliseconds")


def parse_text(name: str, text: str) -> str:
    """On one line: what cannot be printed is a space. :raises ValueError: it is too long."""
    if not text.isprintable():
        text = "".join(character if character.isprintable() else " " for character in text)
    text = " ".join(text.split())
    if len(text) > MAX_TEXT:
        raise ValueError(f"{name}: longer than {MAX_TEXT} characters")
    return text


def words_of(entry: Suppression) -> dict[str, Any]:
    """For JSON. (`asdict` takes six times as long, and an export has a million.)"""
    return {name: getattr(entry, name) for name in NAMES}


def operator_source(uid: int) -> str:
    """The source of what a user of this machine enters."""
    try:
        return f"operator {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"operator {uid}"


class SuppressionList:
    """What can be seen and done.

    :param expiry: for how long an entry lasts, by its cause: milliseconds, 0 for ever, None: such are not entered by
        themselves, but by a person for ever.
    :param floor: bytes that are to stay free on the disk.
    :param clock: Unix time in milliseconds.
    """

    def __init__(
        self,
        spool: Spool,
        expiry: Callable[[], Mapping[str, int | None]],
        floor: Callable[[], int],
        clock: Callable[[], int],
    ) -> None:
        self._spool = spool
        self._expiry = expiry
        self._floor = floor
        self._clock = clock

    async def page(self, after: str = "", limit: int = 50, *, cause: str = "", text: str = "") -> list[Suppression]:
        """Some, by address. :param after: the last address of the page before."""
        return await self._spool.suppressions(after, limit, cause=cause, text=text)

    async def count(self) -> dict[str, int]:
        """How many there are, by cause."""
        return await self._spool.count_suppressions()

    async def enter(self, entries: Iterable[Entry], by: str) -> int:
        """Enter them; durable on return. They are taken a few hundred at a time, so that mail goes on meanwhile.

        :param by: the source of those that name none.
        :returns: how many were new or changed.
        :raises SpoolFull: the disk is nearly full: what is left is for the mail that waits.
        """
        if self._spool.free() < self._floor():
            raise SpoolFull("The relay's disk is nearly full: free some space, or lower [spool] min_free.")
        now, expiry = self._clock(), self._expiry()
        return await self._spool.suppress(_suppression(entry, by, now, expiry) for entry in entries)

    async def remove(self, addresses: Sequence[str]) -> list[str]:
        """Let addresses be sent to again. :returns: those that are not on the list."""
        now = self._clock()
        unknown = [address for address in addresses if await self._spool.suppression(address, now) is None]
        await self._spool.unsuppress(addresses, now)
        return unknown


def page_by_page(read: Callable[[str, int], Sequence[Suppression]], after: str, limit: int) -> Iterator[Suppression]:
    """Entries by address, of whatever tells a page of them.

    :param read: so many of them, behind an address.
    """
    while limit > 0 and (page := read(after, min(limit, PAGE))):
        yield from page
        after, limit = page[-1].address, limit - len(page)


def _suppression(entry: Entry, by: str, now: int, expiry: Mapping[str, int | None]) -> Suppression:
    since = now if entry.since is None else entry.since
    expires = entry.expires
    if expires is None:
        lasts = expiry.get(entry.cause)
        expires = since + lasts if lasts else 0
    return Suppression(entry.address, entry.cause, since, expires, entry.source or by, entry.note)
