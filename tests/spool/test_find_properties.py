"""What `find` finds is what a naive filter over all messages finds, newest first, whichever way it goes."""

from __future__ import annotations

import asyncio
import string
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smtprelay.message import Envelope, Message, Origin, Recipient
from smtprelay.spool import MessageRecord, Query, RecipientRecord, State
from smtprelay.spool.matching import Wanted, fold, words_of
from smtprelay.spool.sqlite import finding, index, indexer
from tests.spool.support import NOW, indexed, message, opened

PIECES = st.sampled_from(
    [*"发票订单通知号，。（）🎉한글がガéÉßİﬁＡ①ñ٣", "👩‍👧"]
    + [ "inv", "INV-2026", "a", "b", "1", "12", "order", "x" * 40, "e\u0301"]
    + [" "] * 8 + [*"\"'*()-:^{}+.,_~@#=\\%;", "\t", "\x01", "\x7f", "\u00a0", "\u3000", "\u2028"]
    + ["AND", "OR", "NOT", "NEAR(", '" *']
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=12).map("".join)
NAMES = st.sampled_from(["ann", "bob.smith", "o'hara", "王芳", "a+b", '"x y"', "ann1"])
DOMAINS = st.sampled_from(["example.net", "mail.example.net", "xn--fsqu00a.example", "b.test"])
ADDRESSES = st.builds("{}@{}".format, NAMES, DOMAINS)
TAGS = st.sampled_from(["otp", "März", "a b", "发票", "x" * 40 + "1", "x" * 40 + "2"])
ACCOUNTS = st.sampled_from(["", "shop", "Shop", "a b"])
MESSAGES = st.builds(
    lambda sender, to, subject, header_id, tags, account, hold: message(
        envelope=Envelope(sender, tuple(map(Recipient, to))),
        subject=subject,
        message_id=header_id,
        tags=tuple(tags),
        origin=Origin("192.0.2.7", account=account),
        hold=hold,
    ),
    st.one_of(st.just(""), ADDRESSES),
    st.lists(ADDRESSES, min_size=1, max_size=3),
    TEXTS,
    TEXTS,
    st.lists(TAGS, max_size=2),
    ACCOUNTS,
    st.sampled_from(["", "operator"]),
)


@st.composite
def queries(draw: st.DrawFn, messages: Sequence[Message]) -> Query:
    """Most of them made of what is there."""
    one = draw(st.sampled_from(messages))
    address = st.sampled_from([r.address for r in one.envelope.recipients] + [one.envelope.reverse_path])
    there = st.one_of(st.sampled_from([one.subject, one.message_id, one.id, *one.tags]), address)
    part = st.builds(lambda text, a, b: text[min(a, b) : max(a, b)], there, st.integers(0, 30), st.integers(0, 30))
    texts = st.one_of(part, there, TEXTS, st.builds("{} {}".format, part, part))
    patterns = st.one_of(address, part, st.builds("*@{}".format, DOMAINS), TEXTS)

    def maybe(values: st.SearchStrategy[str]) -> str:
        return draw(values) if draw(st.booleans()) and draw(st.booleans()) else ""

    return Query(
        text=draw(texts) if draw(st.booleans()) else "",
        address=maybe(patterns),
        tag=maybe(st.one_of(TAGS, st.sampled_from(one.tags or ("otp",)))),
        account=maybe(st.just(one.origin.key)),
        state=draw(st.sampled_from([None, None, None, State.QUEUED, State.HELD, State.DELIVERED])),
        since=draw(st.sampled_from([0, 0, NOW + 3])),
        until=draw(st.sampled_from([0, 0, NOW + 8])),
        subject=maybe(texts),
        to=maybe(address),
    )


def is_meant(query: Query, message: Message) -> bool:
    """As a person would go about it."""
    state = State.HELD if message.hold else State.QUEUED
    path, addresses = message.envelope.reverse_path, [one.address for one in message.envelope.recipients]
    to = [a for a in addresses if not query.to or _is_address(query.to, a, whole=True)]
    if not _is_address(query.address, path):
        to = [a for a in to if _is_address(query.address, a)]
    return (
        bool(to)
        and (not query.state or query.state is state)
        and query.since <= message.received_at < (query.until or NOW * 2)
        and (not query.tag or query.tag in message.tags)
        and (not query.account or query.account == message.origin.key)
        and _says(query.subject, [message.subject])
        and _says(query.text, [message.id, message.subject, message.message_id, *message.tags, path, *addresses])
    )


def _is_address(pattern: str, address: str, *, whole: bool = False) -> bool:
    pattern, address = fold(pattern.strip()), fold(address)
    if len(pattern) > 2 and pattern.startswith("*@"):
        return address.rpartition("@")[2] == pattern[2:]
    return address == pattern if whole else address.startswith(pattern)


def _says(text: str, fields: Sequence[str]) -> bool:
    """Whether each word of the text begins somewhere in one of the fields; punctuation alone stands in one."""
    blanks = {ord(c): " " for c in map(chr, [*range(32), 127])}
    words = fold(text).translate(blanks).split()
    bare = [word.strip(string.punctuation) for word in words]
    if not any(bare):
        return all(any(word in fold(field) for field in fields) for word in words)
    return all(
        any(word == fold(field)[i : i + len(word)] for field in fields for i in _beginnings(fold(field)))
        for word in bare
        if word
    )


def _beginnings(text: str) -> Iterator[int]:
    letters = string.ascii_lowercase + string.digits
    for i, character in enumerate(text):
        if not character.isascii() or (character in letters and (i == 0 or text[i - 1] not in letters)):
            yield i


@settings(max_examples=200)
@given(st.data())
def test_what_fits_has_the_words_that_are_looked_up(data: st.DataObject) -> None:
    """Otherwise the index would miss it. And what fits is what a naive filter says."""
    messages = data.draw(st.lists(MESSAGES, min_size=1, max_size=3))
    query = data.draw(queries(messages))
    wanted = Wanted(query)
    for one in messages:
        fits = wanted.fits(_record(one))
        assert (fits and query.since <= one.received_at < (query.until or NOW * 2)) == is_meant(query, one)
        words = words_of(
            texts=(one.id, one.subject, one.message_id),
            addresses=(one.envelope.reverse_path, *(r.address for r in one.envelope.recipients)),
            tags=one.tags,
            account=one.origin.key,
        )
        for lookup in wanted.lookups() if fits else ():
            assert any(word.startswith(lookup.word) if lookup.beginning else word == lookup.word for word in words)


def _record(one: Message) -> MessageRecord:
    state, reason = (State.HELD, one.hold) if one.hold else (State.QUEUED, "")
    recipients = (
        RecipientRecord(n, recipient, state, reason, 0, 0, 0, "", "")
        for n, recipient in enumerate(one.envelope.recipients, 1)
    )
    return MessageRecord(one, tuple(recipients))


@contextmanager
def small(segment: int, few: int, rare: int) -> Iterator[None]:
    """What is thousands in earnest."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name, value in [
            (index, "SEGMENT", segment),
            (indexer, "SLICE", 3),
            (indexer, "LINGER", 0.0),
            (finding, "FEW", few),
            (finding, "RARE", rare),
            (finding, "PAGE", 3),
            (finding, "GROUP", 2),
            (finding, "CROWD", 3),
            (finding, "BUDGET", 60.0),
        ]:
            patch.setattr(module, name, value)
        yield


@settings(max_examples=40)
@given(st.data())
def test_find_finds_what_a_naive_filter_finds(data: st.DataObject) -> None:
    drawn = data.draw(st.lists(MESSAGES, min_size=1, max_size=12))
    messages = [message(**_fields(one), now=NOW + n) for n, one in enumerate(drawn)]
    searches = data.draw(st.lists(queries(messages), min_size=1, max_size=8))
    late = data.draw(st.integers(0, len(messages)))
    limit, wait = data.draw(st.integers(1, 4)), data.draw(st.booleans())
    with small(*data.draw(st.tuples(st.integers(1, 5), st.integers(0, 3), st.integers(0, 3)))):
        asyncio.run(_compare(messages, late, searches, limit, wait))


async def _compare(messages: Sequence[Message], late: int, searches: Sequence[Query], limit: int, wait: bool) -> None:
    """
    :param late: so many are put when the index has been made, the newest first.
    :param wait: until they are in the index too.
    """
    with tempfile.TemporaryDirectory() as folder:
        async with opened(Path(folder) / "spool.db") as spool:
            for one in messages[late:]:
                await spool.put([one])
            await indexed(spool)
            for one in reversed(messages[:late]):
                await spool.put([one])
            if wait:
                await indexed(spool)
            for query in searches:
                expected = [one.id for one in reversed(messages) if is_meant(query, one)]
                found: list[str] = []
                before, more = "", True
                while more:
                    page = await spool.find(query, limit, before)
                    assert len(page.records) <= limit
                    found += [record.message.id for record in page.records]
                    before, more = page.before, bool(page.before)
                assert found == expected


def _fields(one: Message) -> dict[str, Any]:
    names = ("envelope", "subject", "message_id", "tags", "origin", "hold")
    return {name: getattr(one, name) for name in names}
