"""Bodies for the first attempt, from memory: few octets, each once, and never instead of the disk."""

from __future__ import annotations

from smtprelay.spool.sqlite import SQLiteSpool
from smtprelay.spool.sqlite.fresh import FreshBodies
from tests.spool.support import NOW, lease_all, message, read_body, results


def test_a_body_is_there_once() -> None:
    fresh, one = FreshBodies(), message(content=b"x")
    fresh.keep([one])
    assert fresh.take(one.id) == b"x"
    assert fresh.take(one.id) is None


def test_the_oldest_make_room() -> None:
    fresh = FreshBodies(room=10)
    first, second, third = (message(content=b"x" * 4) for _ in range(3))
    fresh.keep([first, second, third])
    assert [fresh.take(one.id) is None for one in (first, second, third)] == [True, False, False]
    fresh.keep([first, second])
    assert fresh.take(first.id)


def test_what_no_attempt_will_soon_ask_for_is_not_kept() -> None:
    fresh = FreshBodies(largest=10)
    unwanted = [message(content=b"x" * 11), message(hold="operator"), message(due_at=NOW + 1)]
    fresh.keep(unwanted)
    assert [fresh.take(one.id) for one in unwanted] == [None] * 3


async def test_the_second_attempt_reads_the_same_from_the_disk(sqlite_spool: SQLiteSpool) -> None:
    original = message(content=b"From: a@example.com\r\n\r\nx\r\n")
    await sqlite_spool.put([original])
    assert [await read_body(sqlite_spool, original.id) for _ in range(2)] == [original.content] * 2


async def test_a_message_that_ended_leaves_nothing_behind(sqlite_spool: SQLiteSpool) -> None:
    await sqlite_spool.put([message()])
    [lease] = await lease_all(sqlite_spool)
    await sqlite_spool.finish(lease, NOW, results(lease))
    assert not sqlite_spool._fresh._bodies
    assert sqlite_spool._fresh._octets == 0
