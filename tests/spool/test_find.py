"""The interface: what is found by what. For every implementation; SQLite's with its index and without."""

from __future__ import annotations

import sqlite3

import pytest

from smtprelay.message import Envelope, Message, Origin, Recipient, first_id
from smtprelay.spool import Query, Spool, State
from smtprelay.spool.sqlite import SQLiteSpool
from tests.spool.support import NOW, as_handed_out, indexed, lease_all, message, results, shown


@pytest.fixture(params=["walked through", "looked up"])
async def spool(request: pytest.FixtureRequest, sqlite_spool: SQLiteSpool) -> Spool:
    """SQLite's, without its index and with it: `fill` has it made."""
    if request.param == "walked through":
        sqlite_spool._indexer.close()
    return sqlite_spool


async def fill(spool: Spool, *messages: Message) -> None:
    await spool.put(messages)
    assert isinstance(spool, SQLiteSpool)
    if not spool._indexer._closed:
        await indexed(spool)


async def found(spool: Spool, query: Query) -> list[str]:
    return [record.message.id for record in (await spool.find(query, 100)).records]


RECEIPT = message(
    "Anna.Schmidt@Example.net",
    "bob+tag@customer.example",
    id=first_id(NOW)[:9] + "k3p7qtd",
    subject="Ihre Rechnung Nr. INV-2026-00123 für März",
    message_id="<20261124.7F3K9Q@shop.example.com>",
    tags=("receipts", "März"),
    origin=Origin("192.0.2.7", account="shop"),
)
INVOICE = message(
    "王芳@例子.example",
    subject="王芳，您的发票已开具（2026年11月）🎉",
    envelope=Envelope("billing@example.com", (Recipient("wang@xn--fsqu00a.example"),)),
    now=NOW + 1,
)


@pytest.mark.parametrize(
    "text",
    [
        "rechnung", "RECHNUNG nr", "inv-2026-00123", "INV-2026", "2026-001", "00123", "marz", "märz", "fur", "Anna",
        "schmidt@example", "anna.schmidt@example.net", "customer.example", "<20261124.7f3k9q@shop.example.com>",
        "7f3k9q", '"Rechnung"', "(rechnung)", "receipts rechnung anna", RECEIPT.id, RECEIPT.id[:9].upper(), "ＩＮＶ",
        "* rechnung", "billing@", "'rechnung", "tag@customer", "+tag@customer",
    ],
)  # fmt: skip
async def test_words_are_found_by_their_beginnings(spool: Spool, text: str) -> None:
    await fill(spool, RECEIPT, message(now=NOW + 2))
    matching = await found(spool, Query(text=text))
    assert RECEIPT.id in matching
    assert len(matching) == (2 if text == "billing@" else 1)


@pytest.mark.parametrize(
    "text",
    [
        "echnung",
        "rechnung 7f3k9z",
        "00124",
        "schmidt@example.com",
        "AND",
        "rechnung OR anna",
        "NEAR(rechnung)",
        "rech*nung",
    ],
)
async def test_nothing_is_found_by_other_words(spool: Spool, text: str) -> None:
    await fill(spool, RECEIPT)
    assert await found(spool, Query(text=text)) == []


@pytest.mark.parametrize(
    "text",
    [
        "发票",
        "发",
        "票",
        "的发票已开",
        "芳",
        "开具",
        "具（2026",
        "年11月",
        "2026年",
        "11月",
        "🎉",
        "）🎉",
        "发票 王芳",
        "wang 发票",
        "月",
    ],
)
async def test_chinese_is_found_by_any_part(spool: Spool, text: str) -> None:
    await fill(spool, INVOICE, RECEIPT)
    assert await found(spool, Query(text=text)) == [INVOICE.id]


@pytest.mark.parametrize("text", ["票发", "发具", "发票 芳王", "票已发"])
async def test_chinese_is_not_found_by_what_does_not_stand_together(spool: Spool, text: str) -> None:
    await fill(spool, INVOICE)
    assert await found(spool, Query(text=text)) == []


@pytest.mark.parametrize("text", ["", "   ", "\N{IDEOGRAPHIC SPACE}"])
async def test_blanks_ask_for_nothing(spool: Spool, text: str) -> None:
    await fill(spool, RECEIPT, INVOICE)
    assert await found(spool, Query(text=text)) == [INVOICE.id, RECEIPT.id]


@pytest.mark.parametrize(
    ("text", "one"), [("?", []), ("---", []), ('-- "', []), ("<", [RECEIPT]), ("+", [RECEIPT]), ("- <", [RECEIPT])]
)
async def test_punctuation_alone_is_found_as_it_stands(spool: Spool, text: str, one: list[Message]) -> None:
    """The fault: it found everything."""
    await fill(spool, RECEIPT, INVOICE)
    assert await found(spool, Query(text=text)) == [each.id for each in one]
    subject = [each.id for each in one if text in each.subject]
    assert await found(spool, Query(subject=text)) == subject


@pytest.mark.parametrize(
    "query",
    [
        Query(address="anna"), Query(address="anna.schmidt@example.net"), Query(address="BOB+T"),
        Query(address="*@Customer.Example"), Query(tag="receipts"), Query(tag="März"), Query(account="shop"),
        Query(subject="rechnung 00123"), Query(to="ANNA.schmidt@example.NET"), Query(to="*@example.net"),
        Query(until=NOW + 1), Query(text="rechnung", account="shop", address="bob", state=State.QUEUED, tag="receipts"),
        Query(state=State.QUEUED, address="bob", since=NOW, until=NOW + 1),
    ],
)  # fmt: skip
async def test_a_message_is_found_by_its_columns(spool: Spool, query: Query) -> None:
    await fill(spool, RECEIPT, INVOICE)
    assert await found(spool, query) == [RECEIPT.id]


@pytest.mark.parametrize(
    "query",
    [
        Query(address="schmidt"), Query(address="*@le.net"), Query(tag="receipt"), Query(account="shops"),
        Query(account="192.0.2.8"), Query(subject="anna"), Query(to="anna"), Query(state=State.HELD),
        Query(since=NOW + 2), Query(to="*@shop.example.com"), Query(text="rechnung", state=State.DELIVERED),
        Query(reason="operator"),
        Query(text="rechnung", since=NOW + 1), Query(text="rechnung", until=NOW),
    ],
)  # fmt: skip
async def test_a_message_is_not_found_by_others(spool: Spool, query: Query) -> None:
    await fill(spool, RECEIPT, INVOICE)
    assert await found(spool, query) == []


async def test_an_international_domain_is_found_as_it_is_written(spool: Spool) -> None:
    await fill(spool, INVOICE)
    assert await found(spool, Query(address="*@例子.example")) == [INVOICE.id]


async def test_the_reverse_path_is_an_address_too(spool: Spool) -> None:
    await fill(spool, RECEIPT)
    for address in ("billing@example.com", "bill", "*@example.com"):
        assert await found(spool, Query(address=address)) == [RECEIPT.id]
        assert await found(spool, Query(to=address)) == []


async def test_state_and_address_are_of_the_same_recipient(spool: Spool) -> None:
    """The fault: a message to two is taken for one that bounced for the one to whom it was delivered."""
    original = message("ann@example.net", "bob@example.org")
    await fill(spool, original)
    (lease,) = await lease_all(spool)
    ends = [*results(lease, State.DELIVERED)[:1], *results(lease, State.BOUNCED, reason="refused")[1:]]
    await spool.finish(lease, NOW, ends)
    assert await found(spool, Query(address="bob", state=State.BOUNCED)) == [original.id]
    assert await found(spool, Query(address="ann", state=State.BOUNCED)) == []
    assert await found(spool, Query(to="bob@example.org", state=State.BOUNCED, reason="refused")) == [original.id]
    assert await found(spool, Query(address="billing", state=State.BOUNCED)) == [original.id]


async def test_what_is_found_has_all_its_recipients(spool: Spool) -> None:
    await fill(spool, RECEIPT)
    [record] = (await spool.find(Query(address="anna"), 10)).records
    assert record.message == as_handed_out(RECEIPT)
    assert record.recipients == tuple(recipient for recipient in (await shown(spool, RECEIPT.id)).recipients)


async def test_it_goes_on_from_where_it_ended(spool: Spool) -> None:
    originals = [message(subject=f"Offer {n}", now=NOW + n) for n in range(5)]
    await fill(spool, *originals)
    newest = [original.id for original in reversed(originals)]
    first = await spool.find(Query(text="offer"), 3)
    assert [record.message.id for record in first.records] == newest[:3]
    assert first.before == newest[2]
    rest = await spool.find(Query(text="offer"), 3, first.before)
    assert [record.message.id for record in rest.records] == newest[3:]
    assert rest.before == (await spool.find(Query(text="offer"), 5)).before == ""


async def test_a_search_is_a_few_steps(spool: Spool) -> None:
    """The fault: each message and each recipient was a row of its own, after which the thread that searches had to get
    the GIL back from the loop: mail was slower by a quarter while somebody searched."""
    await fill(spool, *(message("a@example.net", "b@example.org", subject=f"Offer {n}") for n in range(100)))
    await found(spool, Query(text="offer"))
    assert isinstance(spool, SQLiteSpool)
    assert spool._finder
    connection = spool._finder._connection
    assert connection
    rows = 0

    def count(cursor: sqlite3.Cursor, values: tuple[object, ...]) -> sqlite3.Row:
        nonlocal rows
        rows += 1
        return sqlite3.Row(cursor, values)

    connection.row_factory = count
    for query in (Query(text="offer"), Query(text="offer 7"), Query(state=State.QUEUED), Query()):
        rows = 0
        assert await found(spool, query)
        assert rows < 20, query


async def test_what_was_just_put_is_found(spool: Spool) -> None:
    await fill(spool, RECEIPT)
    for n in range(5):
        original = message(subject=f"Neu{n}", now=NOW + n)
        await spool.put([original])
        assert await found(spool, Query(text=f"neu{n}")) == [original.id]
