"""The interface: put, lease, finish, reclaim, body. For every implementation."""

from __future__ import annotations

import pytest

from smtprelay.message import Envelope, Origin, Recipient, share_of_key
from smtprelay.spool import LeaseLost, Result, Selector, Spool, SpoolError, State
from tests.spool.support import (
    CREDENTIAL,
    HOUR,
    NOW,
    TTL,
    as_handed_out,
    lease_all,
    lease_one,
    message,
    read_body,
    results,
    shown,
    states,
)

MEBIBYTE = 1024 * 1024


async def test_what_was_put_is_leased_as_it_was(spool: Spool) -> None:
    original = message(
        envelope=Envelope(
            "böb@example.com",
            (Recipient("a@example.net", "SUCCESS,FAILURE", "rfc822;A+2Bx@Example.net"), Recipient("b@example.net")),
            ret="HDRS",
            envid="QQ314159",
            smtputf8=True,
        ),
        origin=Origin("2001:db8::1", "app.example.com", "ESMTPSA", "billing"),
        domain="example.com",
        subject="Rechnung für März",
        message_id="<1@example.com>",
        repairs=("added Date", "folded To"),
        dsn_for="0123456789abcdef",
    )
    assert await spool.put([original]) == [original.id]
    lease = await lease_one(spool)
    assert lease.message == as_handed_out(original)
    assert [recipient.recipient for recipient in lease.recipients] == list(original.envelope.recipients)
    assert [recipient.attempts for recipient in lease.recipients] == [1, 1]


@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 256 * 1024 + 1, 3 * MEBIBYTE])
async def test_a_body_comes_back_in_chunks(spool: Spool, size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    original = message(content=content[:size])
    await spool.put([original])
    chunks = [chunk async for chunk in spool.body(original.id)]
    assert b"".join(chunks) == original.content
    assert max(map(len, chunks)) <= 256 * 1024


async def test_messages_are_put_together_or_not_at_all(spool: Spool) -> None:
    first, second = message(), message()
    await spool.put([first])
    with pytest.raises(SpoolError):
        await spool.put([second, first])
    assert await spool.show(second.id) is None


async def test_a_large_message_that_is_there_already_is_refused_and_unharmed(spool: Spool) -> None:
    original = message(content=b"x" * MEBIBYTE)
    await spool.put([original])
    with pytest.raises(SpoolError):
        await spool.put([message(id=original.id, content=b"y" * MEBIBYTE)])
    assert await read_body(spool, original.id) == original.content


async def test_text_that_utf8_cannot_hold_is_kept_for_people(spool: Spool) -> None:
    original = message(subject="caf\udce9", origin=Origin("192.0.2.7", "caf\udce9"))
    await spool.put([original])
    assert (await lease_one(spool)).message.subject == "caf?"


async def test_what_is_leased_is_not_leased_again(spool: Spool) -> None:
    await spool.put([message()])
    await lease_one(spool)
    assert await lease_all(spool) == []


async def test_only_what_is_due_is_leased_the_oldest_first(spool: Spool) -> None:
    late, soon, later = (message(due_at=NOW + delay) for delay in (2, 1, HOUR))
    await spool.put([late, soon, later])
    assert [lease.message.id for lease in await lease_all(spool, NOW + 2)] == [soon.id, late.id]


async def test_only_credentials_that_may_send_are_leased(spool: Spool) -> None:
    await spool.put([message(credential="other")])
    assert await lease_all(spool) == []
    assert await spool.next_due([CREDENTIAL]) is None
    assert await spool.next_due([CREDENTIAL, "other"]) == NOW


async def test_a_long_queue_of_one_credential_does_not_hold_up_another(spool: Spool) -> None:
    await spool.put([message(credential="bulk") for _ in range(10)])
    await spool.put([message(credential="urgent", due_at=NOW + 1)])
    together = await spool.lease("test", NOW + 1, TTL, 3, ["bulk", "urgent"], 100)
    assert sorted(lease.message.credential for lease in together) == ["bulk", "bulk", "urgent"]


async def test_credentials_take_turns_over_single_leases(spool: Spool) -> None:
    await spool.put([message(credential=credential) for credential in ("a", "a", "a", "b", "b", "c")])
    turns = [(await spool.lease("test", NOW, TTL, 1, ["c", "b", "a"], 1))[0].message.credential for _ in range(6)]
    assert turns == ["a", "b", "c", "a", "b", "a"]


async def test_a_lease_has_so_many_recipients_and_the_next_one_has_the_rest(spool: Spool) -> None:
    await spool.put([message(*(f"u{n}@example.net" for n in range(5)))])
    leases = await spool.lease("test", NOW, TTL, 10, [CREDENTIAL], 2)
    assert [len(lease.recipients) for lease in leases] == [2, 2, 1]
    assert all(
        lease.message.envelope.recipients == tuple(leased.recipient for leased in lease.recipients) for lease in leases
    )
    assert len({lease.token for lease in leases}) == 3


async def test_delivery_ends_the_recipient_and_lets_the_body_go(spool: Spool) -> None:
    original = message()
    await spool.put([original])
    lease = await lease_one(spool)
    delivered = results(lease, phase="dot", reply="250 2.0.0 Ok", smarthost="smtp[192.0.2.1]:25")
    await spool.finish(lease, NOW + 5, delivered)
    record = await shown(spool, original.id)
    (recipient,) = record.recipients
    (attempt,) = recipient.history
    assert (recipient.state, recipient.reply, recipient.attempts) == (State.DELIVERED, "250 2.0.0 Ok", 1)
    assert (attempt.started_at, attempt.ended_at, attempt.outcome) == (NOW, NOW + 5, "delivered")
    assert (attempt.phase, attempt.smarthost, attempt.ambiguous) == ("dot", "smtp[192.0.2.1]:25", False)
    assert not record.body_kept
    with pytest.raises(SpoolError, match="no longer kept"):
        await read_body(spool, original.id)


async def test_the_body_stays_while_one_recipient_waits(spool: Spool) -> None:
    original = message("a@example.net", "b@example.net")
    await spool.put([original])
    lease = await lease_one(spool)
    first, second = lease.recipients
    await spool.finish(
        lease, NOW, [Result(first.id, State.DELIVERED), Result(second.id, State.QUEUED, next_at=NOW + HOUR)]
    )
    assert await read_body(spool, original.id) == original.content
    assert await spool.next_due([CREDENTIAL]) == NOW + HOUR
    again = await lease_one(spool, NOW + HOUR)
    assert [recipient.attempts for recipient in again.recipients] == [2]
    assert [recipient.recipient.address for recipient in again.recipients] == ["b@example.net"]


async def test_a_bounce_and_its_dsn_come_together(spool: Spool) -> None:
    original = message()
    dsn = message("billing@example.com", dsn_for=original.id, envelope=Envelope("", (Recipient("b@example.com"),)))
    await spool.put([original])
    lease = await lease_one(spool)
    await spool.finish(lease, NOW, results(lease, State.BOUNCED, reason="refused", dsn=dsn.id), [dsn])
    (recipient,) = (await shown(spool, original.id)).recipients
    assert (recipient.state, recipient.reason, recipient.dsn) == (State.BOUNCED, "refused", dsn.id)
    assert (await lease_one(spool)).message == as_handed_out(dsn)
    assert await read_body(spool, dsn.id) == dsn.content


async def test_a_dsn_that_cannot_be_stored_leaves_the_lease_as_it_was(spool: Spool) -> None:
    original = message()
    await spool.put([original])
    lease = await lease_one(spool)
    with pytest.raises(SpoolError):
        await spool.finish(lease, NOW, results(lease, State.BOUNCED), [original])
    assert await states(spool, original.id) == [State.SENDING]
    await spool.finish(lease, NOW, results(lease, State.BOUNCED), [message(content=b"x" * MEBIBYTE)])
    assert await states(spool, original.id) == [State.BOUNCED]


async def test_a_lease_ends_once(spool: Spool) -> None:
    await spool.put([message()])
    lease = await lease_one(spool)
    await spool.finish(lease, NOW, results(lease))
    with pytest.raises(LeaseLost):
        await spool.finish(lease, NOW, results(lease, State.QUEUED))
    with pytest.raises(LeaseLost):
        await spool.extend(lease, NOW + HOUR)


async def test_a_recipient_without_a_result_is_a_bug_that_changes_nothing(spool: Spool) -> None:
    original = message("a@example.net", "b@example.net")
    await spool.put([original])
    lease = await lease_one(spool)
    with pytest.raises(ValueError, match="one result for each"):
        await spool.finish(lease, NOW, results(lease)[:1])
    assert await states(spool, original.id) == [State.SENDING, State.SENDING]


async def test_a_lease_that_ran_out_is_taken_over(spool: Spool) -> None:
    await spool.put([message()])
    lease = await lease_one(spool)
    assert await spool.reclaim(NOW + TTL - 1, TTL, 10) == []
    (taken,) = await spool.reclaim(NOW + TTL, TTL, 10)
    assert taken.token != lease.token
    assert (taken.message, taken.recipients) == (lease.message, lease.recipients)
    with pytest.raises(LeaseLost):
        await spool.finish(lease, NOW + TTL, results(lease))
    await spool.finish(taken, NOW + TTL, results(taken, State.QUEUED, next_at=NOW + TTL, ambiguous=True))
    (again,) = await lease_all(spool, NOW + TTL)
    (attempt, _) = (await shown(spool, again.message.id)).recipients[0].history
    assert (attempt.number, attempt.outcome, attempt.ambiguous) == (1, "deferred", True)


async def test_a_lease_that_was_extended_runs_out_later(spool: Spool) -> None:
    await spool.put([message()])
    lease = await lease_one(spool)
    await spool.extend(lease, NOW + HOUR)
    assert await spool.reclaim(NOW + HOUR - 1, TTL, 10) == []
    assert len(await spool.reclaim(NOW + HOUR, TTL, 10)) == 1


async def test_a_delayed_dsn_is_remembered(spool: Spool) -> None:
    await spool.put([message()])
    for warned in (True, False):
        lease = await lease_one(spool)
        await spool.finish(lease, NOW, results(lease, State.QUEUED, next_at=NOW, warned=warned))
    assert (await lease_one(spool)).recipients[0].warned


async def test_a_message_can_be_held_from_the_start(spool: Spool) -> None:
    original = message(hold="domain:example.com")
    await spool.put([original])
    assert await lease_all(spool) == []
    assert await spool.release(Selector(reason="domain:example.com"), NOW + HOUR) == 1
    assert (await lease_one(spool, NOW + HOUR)).recipients[0].held == HOUR


async def test_there_is_no_body_without_a_message(spool: Spool) -> None:
    with pytest.raises(SpoolError, match="no message"):
        await read_body(spool, "0123456789abcdef")


async def test_due_times_are_clamped_but_for_what_was_asked_for_later(spool: Spool) -> None:
    asked_for, tried = message(due_at=NOW + 9 * HOUR), message()
    await spool.put([asked_for, tried])
    lease = await lease_one(spool)
    await spool.finish(lease, NOW, results(lease, State.QUEUED, next_at=NOW + 5 * HOUR))
    assert await spool.clamp(NOW + HOUR) == 1
    assert [lease.message.id for lease in await lease_all(spool, NOW + HOUR)] == [tried.id]
    assert await spool.next_due([CREDENTIAL]) == NOW + 9 * HOUR


@pytest.mark.parametrize("size", [10, 300_000])
async def test_the_same_key_of_the_same_sender_is_stored_once(spool: Spool, size: int) -> None:
    """An app that did not hear our 250 sends again; with a key, it is told the first one's id."""
    first = message(idempotency_key="order 17", content=b"x" * size)
    again = message(idempotency_key="order 17", content=b"y" * size)
    other_sender = message(idempotency_key="order 17", origin=Origin("192.0.2.8"))
    keyless = message()
    assert await spool.put([first]) == [first.id]
    stored = await spool.put([again, other_sender, keyless])
    assert stored == [first.id, other_sender.id, keyless.id]
    assert await spool.show(again.id) is None
    assert b"".join([chunk async for chunk in spool.body(first.id)]) == first.content
    assert len(await lease_all(spool)) == 3


async def test_what_a_sender_gave_a_key_is_found_by_it(spool: Spool) -> None:
    """Also the messages for one recipient each that became of one message."""
    whole = message(idempotency_key="order 17")
    shares = [message(to, idempotency_key=share_of_key("news", to)) for to in ("a@example.org", "b@example.org")]
    others = [
        message(idempotency_key="order 170"),
        message(idempotency_key="order 17", origin=Origin("192.0.2.8")),
        message(idempotency_key="news\x0b"),
        message(),
    ]
    await spool.put([whole, *shares, *others])
    sender = whole.origin.key
    assert await spool.with_key(sender, "order 17") == [whole.id]
    assert await spool.with_key(sender, "news") == sorted(share.id for share in shares)
    assert await spool.with_key(sender, "order 1") == await spool.with_key(sender, "") == []


async def test_messages_are_found_by_their_tags(spool: Spool) -> None:
    tagged, other = message(tags=("shop", '\u8ba2\u5355 "1"')), message(tags=("shopping",))
    await spool.put([tagged, other, message()])
    for tag in tagged.tags:
        [found] = await spool.search(Selector(tag=tag), 10)
        assert found.message == as_handed_out(tagged)
    assert await spool.hold(Selector(tag="shopping"), NOW, "operator") == 1
    assert await states(spool, other.id) == [State.HELD]
