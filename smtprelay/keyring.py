"""The DKIM keys and their life: pending → active → retiring → retired.

A rotation makes a key, and its owner publishes the record. As soon as DNS has it, the new key signs instead of those
before it, whose records stay for the mail on its way. What moves a key on is kept as one small fact of the spool, and a
key is replaced by what the fact of its successor says: one commit moves both, and there is nothing between two steps.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import structlog
from pydantic import TypeAdapter

from smtprelay.config import Config
from smtprelay.domains.dkim import holds
from smtprelay.keyfiles import KeyFile, kept_file, kept_folder, kept_keys, write_secret
from smtprelay.resolver import TXT, Absent, Answer, Failed, Lookup
from smtprelay.signing import GOOD_RSA_BITS, KeyProblem, Kind, Signer, SigningKey, generate_key, load_key
from smtprelay.spool import Spool, SpoolError
from smtprelay.spool.facts import read_fact
from smtprelay.values import MAX_NAME, parse_domain

log = structlog.get_logger("keys")

LOOK_EVERY = 60.0  # seconds between two looks at DNS …
LOOK_AGAIN = 10.0  # … and while a record is waited for

_FACTS = "key/"  # prefix in the spool
_NUMBERED = re.compile(r"relay([0-9]{1,9})")


class RotationRefused(Exception):
    """No key can be made; the text says why, as one sentence without a full stop."""


class KeyState(StrEnum):
    PENDING = "pending"  # made by a rotation; DNS does not have its record yet
    ACTIVE = "active"  # it signs
    RETIRING = "retiring"  # replaced; its record has to stay for the mail that it has signed
    RETIRED = "retired"  # its record can go


class Publication(StrEnum):
    """What DNS says of a key."""

    PUBLISHED = "published"
    NOT_PUBLISHED = "not published"
    ANOTHER_KEY = "another key"
    DNS_FAILS = "DNS fails"


@dataclass(frozen=True, slots=True)
class Wish:
    """The key that a rotation is to make.

    :param domain: as A-label in lower case.
    :param bits: of an RSA key.
    :param selector: ``""``: the next one of relay1, relay2 and so on.
    """

    domain: str
    kind: Kind = "rsa"
    bits: int = GOOD_RSA_BITS
    selector: str = ""


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation has made.

    :param name: of the TXT record to publish.
    :param value: of the TXT record to publish.
    :param is_new: False: it was pending already, and no other was made.
    :param warning: as `SigningKey.warning`.
    """

    domain: str
    selector: str
    kind: Kind
    bits: int
    name: str
    value: str
    is_new: bool
    warning: str


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """A key for an operator. All times are Unix time in milliseconds.

    :param name: of its record.
    :param value: of its record.
    :param configured: it stands in `[[domains.keys]]`.
    :param needed_until: of a retiring key: its record has to stay until then at least.
    :param live: of a retiring key: how many messages that have not ended it has signed.
    """

    domain: str
    selector: str
    kind: Kind
    bits: int
    state: KeyState
    dns: Publication
    created_at: int
    name: str
    value: str
    file: str
    configured: bool
    needed_until: int
    live: int


@dataclass(frozen=True, slots=True)
class _Fact:
    """What the spool remembers of a key. All times are Unix time in milliseconds, or 0.

    :param replaces: the selectors that signed before it; told when it becomes active.
    """

    created_at: int = 0
    active_at: int = 0
    replaces: tuple[str, ...] = ()
    retired_at: int = 0


_FACT = TypeAdapter(_Fact)


@dataclass(frozen=True, slots=True)
class _Entry:
    key: SigningKey
    file: Path
    configured: bool
    fact: _Fact

    @property
    def id(self) -> tuple[str, str]:
        return self.key.domain, self.key.selector


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of a configuration, as `Keyring.read` found them.

    :param at_that_time: the names of the keys that the ring had.
    :param known: every name that a key has, or had.
    """

    entries: Mapping[tuple[str, str], _Entry]
    at_that_time: Set[tuple[str, str]]
    known: Set[tuple[str, str]]

    def all(self) -> list[SigningKey]:
        """Also those that do not sign."""
        return [entry.key for entry in self.entries.values()]


class Keyring:
    """All keys. To be used in one event loop.

    :param folder: where rotations keep their keys.
    :param fresh: a view of DNS that asks anew.
    """

    def __init__(self, folder: Path, spool: Spool, fresh: Callable[[], Lookup]) -> None:
        self._folder = folder
        self._spool = spool
        self._fresh = fresh
        self._domains: list[str] = []
        self._overlap = 0
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._known: set[tuple[str, str]] = set()  # every name that a key has, or had
        self._rotating = asyncio.Lock()

    @classmethod
    async def open(
        cls, config: Config, spool: Spool, configured: Sequence[KeyFile], fresh: Callable[[], Lookup]
    ) -> Keyring:
        """The keys of the configuration, and those that rotations have kept.

        :param configured: `smtprelay.keyfiles.configured_keys`.
        """
        ring = cls(kept_folder(config), spool, fresh)
        ring.use(config, await ring.read(config, configured))
        return ring

    async def read(self, config: Config, configured: Sequence[KeyFile]) -> Keys:
        """The keys that another configuration comes to.

        :param configured: `smtprelay.keyfiles.configured_keys`.
        """
        at_that_time = frozenset(self._entries)
        domains = {domain.name for domain in config.domains}
        facts, entries = await self._recall(), dict[tuple[str, str], _Entry]()
        kept, problems = await asyncio.to_thread(kept_keys, self._folder)
        for problem in problems:
            log.error("a key cannot be used", reason=problem)
        for files, are_configured in ((kept, False), (configured, True)):
            for found in files:
                name = found.key.domain, found.key.selector
                if found.key.domain not in domains:
                    log.warning("a key of a domain that is not in [[domains]] is not used", file=str(found.file))
                    continue
                fact = facts.get(name, _Fact())
                fact = replace(fact, created_at=fact.created_at or found.written_at)
                entries[name] = _Entry(found.key, found.file, are_configured, fact)
        for domain, selector in facts.keys() - entries.keys():
            if domain in domains and not facts[domain, selector].retired_at:
                log.error("a key is lost: its file is gone", domain=domain, selector=selector)
        return Keys(entries, at_that_time, facts.keys() | entries.keys())

    def use(self, config: Config, keys: Keys) -> None:
        """Have other keys from now on. How far the known ones have come is known here, and a rotation may have made one
        since they were read."""
        self._domains = [domain.name for domain in config.domains]
        self._overlap = config.signing.rotation_overlap
        before, self._entries = self._entries, dict(keys.entries)
        for name, entry in before.items():
            if name in self._entries:
                self._entries[name] = replace(self._entries[name], fact=entry.fact)
            elif name not in keys.at_that_time and entry.key.domain in self._domains:
                self._entries[name] = entry
        self._known |= keys.known

    def signing(self) -> list[SigningKey]:
        """The keys that sign now."""
        return [entry.key for entry in self._in_state(KeyState.ACTIVE)]

    async def rotate(self, wish: Wish, now: int) -> Rotation:
        """A new key, pending until DNS has its record. There is one pending key of a kind at a time.

        :raises RotationRefused: it cannot be had.
        :raises SpoolError: it cannot be stored.
        """
        if wish.domain not in self._domains:
            raise RotationRefused(f"{wish.domain} is not in [[domains]]: add it there, and reload")
        async with self._rotating:
            for entry in self._in_state(KeyState.PENDING):
                if (entry.key.domain, entry.key.kind) == (wish.domain, wish.kind):
                    return _rotation(entry.key, is_new=False)
            if wish.kind != "rsa" and not any(key.domain == wish.domain for key in self.signing()):
                raise RotationRefused(
                    f"no key of {wish.domain} itself signs yet, and not every receiver knows {wish.kind}: make an RSA "
                    "key first"
                )
            selector = self._free_selector(wish.domain, wish.selector)
            key = await asyncio.to_thread(_made, replace(wish, selector=selector))
            file = kept_file(self._folder, wish.domain, selector)
            try:
                await asyncio.to_thread(write_secret, file, key.pem)
            except FileExistsError as error:
                raise RotationRefused(f"{file} exists and stays as it is: name another selector") from error
            except OSError as error:
                raise SpoolError(f"The key cannot be written to {file}: {error.strerror}.") from error
            entry = _Entry(key, file, configured=False, fact=_Fact(created_at=now))
            self._known.add(entry.id)
            if wish.domain in self._domains:  # it may have gone meanwhile
                self._entries[entry.id] = entry  # pending without its fact too, as after a crash
            await self._note(entry.id, entry.fact)
        return _rotation(key, is_new=True)

    async def watch(self, sign_with: Callable[[Sequence[SigningKey]], None], clock: Callable[[], int]) -> None:
        """Move the keys on, for ever.

        :param sign_with: called whenever other keys sign.
        """
        while True:
            signing = self.signing()
            try:
                await self.look(clock())
            except SpoolError as error:  # a full disk, say: it passes, and all stays as it is with it
                log.error("the state of the keys cannot be stored", reason=str(error))
            if self.signing() != signing:
                sign_with(self.signing())
            for _ in range(round(LOOK_EVERY / LOOK_AGAIN)):
                await asyncio.sleep(LOOK_AGAIN)
                if self._in_state(KeyState.PENDING):
                    break

    async def look(self, now: int) -> None:
        """See what DNS and the spool have, and move the keys on.

        :raises SpoolError: a step could not be stored, and was not made.
        """
        retiring = self._in_state(KeyState.RETIRING)  # those of this moment: messages are under way with the others
        replacing = [entry for entry in self._in_state(KeyState.ACTIVE) if self._predecessors(entry)]
        before = [predecessor for entry in replacing for predecessor in self._predecessors(entry)]
        answers = await self._ask(self._in_state(KeyState.PENDING) + replacing + before + retiring)
        for entry in self._in_state(KeyState.PENDING):
            if _has_record(entry, answers):
                await self._activate(entry, now)
        for entry in self._in_state(KeyState.ACTIVE):
            await self._withdraw_if_gone(entry, answers)
        for entry in retiring:
            await self._retire_if_done(entry, now)

    async def status(self) -> list[KeyStatus]:
        """All keys, with what DNS says of them now."""
        entries = sorted(self._entries.values(), key=lambda entry: (self._domains.index(entry.key.domain), entry.id))
        answers = await self._ask(entries)
        return [await self._status(entry, answers[entry.id]) for entry in entries]

    async def _status(self, entry: _Entry, answer: Answer[TXT]) -> KeyStatus:
        key, state = entry.key, self._state(entry)
        retiring = state is KeyState.RETIRING
        return KeyStatus(
            domain=key.domain,
            selector=key.selector,
            kind=key.kind,
            bits=key.bits,
            state=state,
            dns=_publication(answer, key),
            created_at=entry.fact.created_at,
            name=key.record_name,
            value=key.record,
            file=str(entry.file),
            configured=entry.configured,
            needed_until=self._needed_until(entry) if retiring else 0,
            live=await self._spool.signed_with(*entry.id) if retiring else 0,
        )

    async def _activate(self, entry: _Entry, now: int) -> None:
        replaced = [
            before.key.selector
            for before in self._in_state(KeyState.ACTIVE)
            if (before.key.domain, before.key.kind) == (entry.key.domain, entry.key.kind)
        ]
        await self._note(entry.id, replace(entry.fact, active_at=now, replaces=tuple(replaced)))
        log.info("key active", domain=entry.key.domain, selector=entry.key.selector, replaces=replaced)

    async def _withdraw_if_gone(self, entry: _Entry, answers: dict[tuple[str, str], Answer[TXT]]) -> None:
        """Where its record is gone while those of the keys before it are still there, they sign again."""
        if not self._can_step_back(entry, answers):
            return
        before = self._predecessors(entry)
        await self._note(entry.id, _Fact(created_at=entry.fact.created_at))
        log.error(
            "the record of a key is gone: the key before it signs again until it is back",
            domain=entry.key.domain,
            selector=entry.key.selector,
            record=entry.key.record_name,
        )
        for predecessor in before:
            await self._withdraw_if_gone(predecessor, answers)

    def _can_step_back(self, entry: _Entry, answers: dict[tuple[str, str], Answer[TXT]]) -> bool:
        """Whether its record is gone, and each key before it has its own, or can step back in its turn."""
        answer, before = answers.get(entry.id), self._predecessors(entry)
        if not before or answer is None or not _certain(answer) or holds(answer, entry.key):
            return False
        return all(_has_record(b, answers) or self._can_step_back(b, answers) for b in before)

    async def _retire_if_done(self, entry: _Entry, now: int) -> None:
        if self._state(entry) is not KeyState.RETIRING or now < self._needed_until(entry):
            return
        if await self._spool.signed_with(*entry.id):
            return
        place = ", and the key from [[domains.keys]]" if entry.configured else ""
        log.warning(
            "a key is not needed any more",
            domain=entry.key.domain,
            selector=entry.key.selector,
            todo=f"remove the TXT record {entry.key.record_name} from DNS{place}",
        )
        await self._note(entry.id, replace(entry.fact, retired_at=now))

    def _state(self, entry: _Entry) -> KeyState:
        if entry.fact.retired_at:
            return KeyState.RETIRED
        if self._replaced_at(entry):
            return KeyState.RETIRING
        return KeyState.ACTIVE if entry.configured or entry.fact.active_at else KeyState.PENDING

    def _replaced_at(self, entry: _Entry) -> int:
        return max((successor.fact.active_at for successor in self._successors(entry)), default=0)

    def _needed_until(self, entry: _Entry) -> int:
        return self._replaced_at(entry) + self._overlap

    def _successors(self, entry: _Entry) -> Iterator[_Entry]:
        for other in self._entries.values():
            if other.key.domain == entry.key.domain and entry.key.selector in other.fact.replaces:
                yield other

    def _predecessors(self, entry: _Entry) -> list[_Entry]:
        """The keys that would sign again without this one."""
        names = [(entry.key.domain, selector) for selector in entry.fact.replaces]
        found = [self._entries[name] for name in names if name in self._entries]
        return [before for before in found if self._state(before) is KeyState.RETIRING] or self._above(entry)

    def _above(self, entry: _Entry) -> list[_Entry]:
        """The keys of a domain above it that would sign without it: it is the only one of its own that a rotation
        made."""
        own = [key for key in self.signing() if key.domain == entry.key.domain]
        if entry.configured or own != [entry.key]:
            return []
        signer = Signer(key for key in self.signing() if key.domain != entry.key.domain)
        return [self._entries[key.domain, key.selector] for key in signer.keys_for(entry.key.domain)]

    def _in_state(self, state: KeyState) -> list[_Entry]:
        return [entry for entry in self._entries.values() if self._state(entry) is state]

    def _free_selector(self, domain: str, wish: str) -> str:
        """:raises RotationRefused: the selector that is wished for cannot be had."""
        taken = {selector for of, selector in self._known if of == domain}
        if not wish:
            numbers = [int(match[1]) for selector in taken if (match := _NUMBERED.fullmatch(selector))]
            return f"relay{max(numbers, default=0) + 1}"
        try:
            selector = parse_domain(wish)
        except ValueError:
            selector = ""
        if not selector or "." in selector:
            raise RotationRefused(f"{wish!r} is not a selector: use letters, digits and hyphens, such as relay2")
        if selector in taken:
            raise RotationRefused(f"{domain} has, or had, a key with selector {selector}: name another one")
        return selector

    async def _ask(self, entries: Sequence[_Entry]) -> dict[tuple[str, str], Answer[TXT]]:
        lookup = self._fresh()
        answers = await asyncio.gather(*(lookup.txt(entry.key.record_name) for entry in entries))
        return {entry.id: answer for entry, answer in zip(entries, answers, strict=True)}

    async def _note(self, name: tuple[str, str], fact: _Fact) -> None:
        domain, selector = name
        await self._spool.remember(f"{_FACTS}{domain}/{selector}", _FACT.dump_json(fact).decode())
        if entry := self._entries.get(name):  # otherwise its domain has gone meanwhile
            self._entries[name] = replace(entry, fact=fact)

    async def _recall(self) -> dict[tuple[str, str], _Fact]:
        known, facts = await self._spool.recall(_FACTS), dict[tuple[str, str], _Fact]()
        for name in known:
            domain, _, selector = name.removeprefix(_FACTS).partition("/")
            facts[domain, selector] = read_fact(known, name, _FACT.validate_json) or _Fact()
        return facts


def _made(wish: Wish) -> SigningKey:
    try:
        key = load_key(generate_key(wish.kind, wish.bits), wish.domain, wish.selector)
    except KeyProblem as error:
        raise RotationRefused(str(error)) from error
    if len(key.record_name) > MAX_NAME:
        raise RotationRefused(f"{key.record_name} is longer than the {MAX_NAME} octets of a domain name")
    return key


def _rotation(key: SigningKey, *, is_new: bool) -> Rotation:
    return Rotation(
        key.domain, key.selector, key.kind, key.bits, key.record_name, key.record, is_new=is_new, warning=key.warning
    )


def _certain(answer: Answer[TXT]) -> bool:
    """Whether it is what DNS says at this moment."""
    return not isinstance(answer, Failed) and not answer.stale


def _has_record(entry: _Entry, answers: dict[tuple[str, str], Answer[TXT]]) -> bool:
    answer = answers.get(entry.id)
    return answer is not None and _certain(answer) and holds(answer, entry.key)


def _publication(answer: Answer[TXT], key: SigningKey) -> Publication:
    if not _certain(answer):
        return Publication.DNS_FAILS
    if holds(answer, key):
        return Publication.PUBLISHED
    return Publication.NOT_PUBLISHED if isinstance(answer, Absent) else Publication.ANOTHER_KEY
