"""What a `Query` means, whatever keeps the messages: the words of a message, and whether a record fits.

A word is found by its beginning, and what is not in ASCII by any part of it: most such scripts write no spaces. Case,
accents and full width make no difference, nor does punctuation around a word; where nothing else is looked for, it has
to stand there as it is.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from smtprelay.message import AddressError, domain_of, first_id, normalise_domain
from smtprelay.spool.values import MessageRecord, Query, RecipientRecord

CUT = 24  # characters of a word that are looked up; the rest is compared with the message itself

_ACCENTS = re.compile("[\u0300-\u036f]")
# From every beginning of a word to the next space: so "smith@example.net" is found in bob.smith@example.net.
_WORD = re.compile(rf"(?<![0-9a-z])(?=([0-9a-z][!-~]{{0,{CUT - 1}}}))")
_PAIR = re.compile(r"(?=([^\x00-\x7f]{1,2}))")  # and the last character of a run alone
_RUN = re.compile(r"[0-9a-z][!-~]*|[^\x00-\x7f]+")
_UNSEARCHED = re.compile(r"[^!-~\x80-\ud7ff\ue000-\U0010ffff]")
_DOMAIN, _TAG, _ACCOUNT = "@", "#", "="  # no word begins with these


@dataclass(frozen=True, slots=True)
class Lookup:
    """What to ask an index of words for.

    :param beginning: words that begin so are meant too.
    """

    word: str
    beginning: bool = False


def fold(text: str) -> str:
    """Text as it is compared."""
    if text.isascii():
        return text.lower()
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", text).casefold())
    return unicodedata.normalize("NFC", plain)  # Hangul and kana as they were


def words_of(*, texts: Iterable[str], addresses: Iterable[str], tags: Iterable[str], account: str) -> set[str]:
    """Under what a message is to be found, each without spaces.

    :param texts: its id, subject and Message-ID.
    :param addresses: its recipients and reverse-path.
    :param account: `Origin.key`.
    """
    words: set[str] = {_marked(_ACCOUNT, account)}
    for text in (*texts, *addresses, *tags):
        folded = fold(text)
        words.update(_WORD.findall(folded))
        if not folded.isascii():
            words.update(_PAIR.findall(folded))
    words.update(_marked(_TAG, tag) for tag in tags)
    words.update(_marked(_DOMAIN, domain_of(address)) for address in addresses)
    return words


def _marked(mark: str, text: str) -> str:
    return (mark + _UNSEARCHED.sub("_", fold(text)))[:CUT]


class Wanted:
    """A query, ready to be compared with many messages.

    :ivar state: that one of its recipients has to be in.
    :ivar oldest: the id below which nothing is meant.
    :ivar beyond: the id from which on nothing is meant; ``""`` for none.
    """

    def __init__(self, query: Query) -> None:
        self._query = query
        self.state = query.state
        self._text = [_Term(term) for term in _terms(query.text)]
        self._subject = [_Term(term) for term in _terms(query.subject)]
        self._address = _Pattern(query.address)
        self._to = _Pattern(query.to, whole=True)
        self.oldest = first_id(query.since) if query.since else ""
        self.beyond = first_id(query.until) if query.until else ""

    def lookups(self) -> list[Lookup]:
        """What every message that fits has among its words. None where the index is of no help."""
        query = self._query
        found = [lookup for term in (*self._text, *self._subject) for lookup in term.lookups()]
        found += [*self._address.lookups(), *self._to.lookups()]
        if query.tag:
            found.append(Lookup(_marked(_TAG, query.tag)))
        if query.account:
            found.append(Lookup(_marked(_ACCOUNT, query.account)))
        return list(dict.fromkeys(found))

    def fits(self, record: MessageRecord) -> bool:
        """Whether a message, given with all its recipients, is meant. Its time is not looked at: ids tell it."""
        query, message = self._query, record.message
        if query.tag and query.tag not in message.tags:
            return False
        if query.account and query.account != message.origin.key:
            return False
        if self._subject and not _found_in(self._subject, (message.subject,)):
            return False
        if self._text:
            addresses = (message.envelope.reverse_path, *(r.recipient.address for r in record.recipients))
            fields = (message.id, message.subject, message.message_id, *message.tags, *addresses)
            if not _found_in(self._text, fields):
                return False
        return not self._of_recipients or next(self.recipients(record), None) is not None

    def recipients(self, record: MessageRecord) -> Iterator[RecipientRecord]:
        """Those of its recipients that are meant."""
        query = self._query
        sender_fits = self._address.fits(record.message.envelope.reverse_path)
        for one in record.recipients:
            if (
                (not query.state or one.state is query.state)
                and (not query.reason or one.reason == query.reason)
                and (sender_fits or self._address.fits(one.recipient.address))
                and self._to.fits(one.recipient.address)
            ):
                yield one

    @property
    def _of_recipients(self) -> bool:
        return bool(self._query.state or self._query.reason or self._query.address or self._query.to)


def _terms(text: str) -> list[str]:
    """What has to be found, without the quotes and brackets around it; these, where there is nothing else."""
    terms = dict.fromkeys(_UNSEARCHED.sub(" ", fold(text)).split())
    stripped = dict.fromkeys(term.strip(string.punctuation) for term in terms)
    return [term for term in stripped if term] or list(terms)


def _found_in(terms: Iterable[_Term], fields: Iterable[str]) -> bool:
    folded = "\n".join(map(fold, fields))
    return all(term.occurs_in(folded) for term in terms)


class _Term:
    """A part of a text, folded, without spaces. Where it begins with an ASCII letter or digit, a word has to."""

    def __init__(self, term: str) -> None:
        self._term = term
        begins_word = term[0].isascii() and term[0].isalnum()
        self._pattern = re.compile("(?<![0-9a-z])" + re.escape(term)) if begins_word else None

    def occurs_in(self, folded: str) -> bool:
        return bool(self._pattern.search(folded)) if self._pattern else self._term in folded

    def lookups(self) -> Iterator[Lookup]:
        for run in _RUN.findall(self._term):
            if run[0].isascii():
                yield Lookup(run[:CUT], beginning=True)
            elif len(run) == 1:
                yield Lookup(run, beginning=True)
            else:
                yield from (Lookup(run[i : i + 2]) for i in range(len(run) - 1))


class _Pattern:
    """An address: ``*@domain``, or how it begins; all addresses where it is empty.

    :param whole: the address as a whole, not how it begins.
    """

    def __init__(self, pattern: str, *, whole: bool = False) -> None:
        pattern = pattern.strip()
        self._whole = whole
        self._domain = _domain(pattern[2:]) if pattern.startswith("*@") else ""
        self._address = fold(pattern)

    def fits(self, address: str) -> bool:
        if not self._address:
            return True
        if self._domain:
            return fold(domain_of(address)) == self._domain
        return fold(address) == self._address if self._whole else fold(address).startswith(self._address)

    def lookups(self) -> Iterator[Lookup]:
        if self._domain:
            yield Lookup(_marked(_DOMAIN, self._domain))
            return
        for term in _terms(self._address):
            yield from _Term(term).lookups()


def _domain(text: str) -> str:
    try:
        return fold(normalise_domain(text))
    except AddressError:
        return fold(text)
