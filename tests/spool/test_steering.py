"""The interface: hold, release, cancel, retry, and the books. For every implementation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from smtprelay.message import Origin
from smtprelay.spool import DNS, DOMAIN, QUOTA, LeaseLost, Result, Selector, Spool, State
from tests.spool.support import (
    CREDENTIAL,
    HOUR,
    NOW,
    as_handed_out,
    lease_all,
    lease_one,
    message,
    results,
    shown,
    states,
)

ALL = Selector()


async def test_what_is_held_waits_until_it_is_released(spool: Spool) -> None:
    original = message()
    await spool.put([original])
    assert await spool.hold(ALL, NOW, "operator") == 1
    assert await spool.hold(ALL, NOW, "operator") == 0
    assert await lease_all(spool) == []
    assert (await shown(spool, original.id)).recipients[0].reason == "operator"
    assert await spool.release(ALL, NOW + HOUR) == 1
    assert await spool.next_due([CREDENTIAL]) == NOW, "in its old turn"


@pytest.mark.parametrize("reason", [DNS, DOMAIN, QUOTA])
async def test_what_would_go_on_by_itself_is_held_by_an_operator(spool: Spool, reason: str) -> None:
    """The fault: an account is suspended, and DNS lets go what it had sent before."""
    original = message(hold=reason)
    await spool.put([original])
    assert await spool.hold(ALL, NOW + HOUR, "suspended") == 1
    assert await spool.release(Selector(state=State.HELD, reason=reason), NOW) == 0
    assert (await shown(spool, original.id)).recipients[0].reason == "suspended"
    await spool.release(ALL, NOW + 3 * HOUR)
    assert (await lease_one(spool, NOW + 3 * HOUR)).recipients[0].held == 3 * HOUR, "the hour before counts too"


@pytest.mark.parametrize("reason", ["operator", DNS])
async def test_what_is_held_is_not_held_for_the_quota_too(spool: Spool, reason: str) -> None:
    """The fault: the quota is filled up, and lets go what an operator, or DNS, still holds."""
    await spool.put([held := message(hold=reason)])
    assert await spool.hold(ALL, NOW, QUOTA) == 0
    assert (await shown(spool, held.id)).recipients[0].reason == reason


async def test_the_quota_leaves_an_operators_wish_as_it_is(spool: Spool) -> None:
    """The fault: the quota is filled up during an attempt that an operator wants to be the last for now."""
    await spool.put([message("a@example.net"), message("b@example.net")])
    leases = await lease_all(spool)
    await spool.hold(ALL, NOW, "operator")
    await spool.cancel(Selector((leases[1].message.id,)), NOW)
    assert await spool.hold(ALL, NOW, QUOTA) == 0
    assert await spool.release(Selector(reason=QUOTA), NOW) == 0
    for lease, state in zip(leases, (State.HELD, State.CANCELLED), strict=True):
        await spool.finish(lease, NOW, results(lease, State.QUEUED))
        assert await states(spool, lease.message.id) == [state]


async def test_a_wish_goes_with_the_quota_that_made_it(spool: Spool) -> None:
    await spool.put([message()])
    lease = await lease_one(spool)
    assert await spool.hold(ALL, NOW, QUOTA) == 1
    assert await spool.release(Selector(reason=QUOTA), NOW) == 1
    await spool.finish(lease, NOW, results(lease, State.QUEUED))
    assert await states(spool, lease.message.id) == [State.QUEUED]


async def test_bulk_of_some_credentials_is_held(spool: Spool) -> None:
    bulk, alone = message(bulk=True), message()
    elsewhere = message(bulk=True, credential="other")
    await spool.put([bulk, alone, elsewhere])
    assert await spool.hold(Selector(bulk=True, credentials=(CREDENTIAL, "third")), NOW, QUOTA) == 1
    assert (await shown(spool, bulk.id)).recipients[0].reason == QUOTA
    assert (await shown(spool, bulk.id)).message == as_handed_out(bulk)
    assert await spool.hold(Selector(bulk=False), NOW, "operator") == 1
    assert await states(spool, elsewhere.id) == [State.QUEUED]
    assert await spool.release(Selector(state=State.HELD, reason=QUOTA), NOW) == 1
    assert [lease.message for lease in await lease_all(spool)] == [as_handed_out(bulk)]


async def test_what_is_due_by_then_is_held(spool: Spool) -> None:
    soon, later = message(), message(due_at=NOW + HOUR)
    await spool.put([soon, later])
    assert await spool.hold(Selector(due_by=NOW + HOUR - 1), NOW, QUOTA) == 1
    assert await states(spool, later.id) == [State.QUEUED]


async def test_held_mail_is_refused_with_its_notification(spool: Spool) -> None:
    original, dsn = message("a@example.net", "b@example.net", hold=DNS), message()
    await spool.put([original])
    refused = Result(1, State.BOUNCED, reason="refused", phase="policy", reply="550 5.7.23 no", dsn=dsn.id)
    await spool.end_held(original.id, NOW + 1, [refused], [dsn])
    first, second = (await shown(spool, original.id)).recipients
    assert (first.state, first.reason, first.attempts, first.dsn) == (State.BOUNCED, "refused", 1, dsn.id)
    [attempt] = first.history
    assert (attempt.outcome, attempt.phase, attempt.reply) == ("bounced", "policy", "550 5.7.23 no")
    assert (second.state, second.attempts) == (State.HELD, 0)
    assert (await lease_one(spool)).message.id == dsn.id

    await spool.end_held(original.id, NOW + 1, [replace(refused, recipient=2)])
    assert not (await shown(spool, original.id)).body_kept


@pytest.mark.parametrize(("action", "state"), [("release", State.QUEUED), ("hold", State.HELD)])
async def test_what_an_operator_has_let_go_or_holds_is_not_refused(spool: Spool, action: str, state: State) -> None:
    original, dsn = message("a@example.net", "b@example.net", hold=DNS), message()
    await spool.put([original])
    await (spool.release(ALL, NOW) if action == "release" else spool.hold(ALL, NOW, "operator"))
    with pytest.raises(LeaseLost):
        await spool.end_held(original.id, NOW, [Result(1, State.BOUNCED)], [dsn])
    assert await states(spool, original.id) == [state, state]
    assert await spool.show(dsn.id) is None


async def test_release_keeps_the_time_that_was_asked_for(spool: Spool) -> None:
    await spool.put([message(due_at=NOW + HOUR)])
    await spool.hold(ALL, NOW, "operator")
    await spool.release(ALL, NOW + 1)
    assert await spool.next_due([CREDENTIAL]) == NOW + HOUR


async def test_held_time_adds_up(spool: Spool) -> None:
    await spool.put([message()])
    for start in (NOW, NOW + 3 * HOUR):
        await spool.hold(ALL, start, "operator")
        await spool.release(ALL, start + HOUR)
    assert (await lease_one(spool, NOW + 9 * HOUR)).recipients[0].held == 2 * HOUR


async def test_cancelled_is_an_end(spool: Spool) -> None:
    waiting, held = message(), message(hold="operator")
    await spool.put([waiting, held])
    assert await spool.cancel(ALL, NOW) == 2
    assert await spool.cancel(ALL, NOW) == await spool.release(ALL, NOW) == await spool.hold(ALL, NOW, "x") == 0
    for original in (waiting, held):
        record = await shown(spool, original.id)
        assert record.recipients[0].state is State.CANCELLED
        assert not record.body_kept


async def test_retry_makes_due_now(spool: Spool) -> None:
    await spool.put([message(due_at=NOW + HOUR), message(hold="operator", due_at=NOW + HOUR)])
    assert await spool.retry(ALL, NOW) == 1
    assert await spool.next_due([CREDENTIAL]) == NOW


@pytest.mark.parametrize(
    ("state", "after_hold", "after_cancel"),
    [
        (State.QUEUED, State.HELD, State.CANCELLED),
        (State.HELD, State.HELD, State.CANCELLED),
        (State.DELIVERED, State.DELIVERED, State.DELIVERED),
        (State.BOUNCED, State.BOUNCED, State.BOUNCED),
    ],
)
async def test_a_wish_that_came_while_sending_takes_effect_when_the_attempt_ends(
    spool: Spool, state: State, after_hold: State, after_cancel: State
) -> None:
    to_hold, to_cancel, to_release = message(), message(), message()
    await spool.put([to_hold, to_cancel, to_release])
    leases = await lease_all(spool)
    assert await spool.hold(Selector(ids=(to_hold.id, to_release.id)), NOW, "operator") == 2
    assert await spool.cancel(Selector(ids=(to_cancel.id,)), NOW) == 1
    assert await spool.release(Selector(ids=(to_release.id,)), NOW) == 1
    for lease in leases:
        await spool.finish(lease, NOW, results(lease, state, next_at=NOW, reason="ours"))
    assert await states(spool, to_hold.id) == [after_hold]
    assert await states(spool, to_cancel.id) == [after_cancel]
    assert await states(spool, to_release.id) == [state]
    if state is State.QUEUED:
        assert (await shown(spool, to_hold.id)).recipients[0].reason == "operator"


async def test_a_selector_means_what_matches_all_of_it(spool: Spool) -> None:
    ours = message("Bob@Example.net", "ann@example.org", origin=Origin("192.0.2.7", account="billing"))
    theirs = message("bob@example.net", origin=Origin("192.0.2.8"))
    await spool.put([ours, theirs])

    async def found(selector: Selector) -> dict[str, list[str]]:
        records = await spool.search(selector, 10)
        return {record.message.id: [one.recipient.address for one in record.recipients] for record in records}

    everything = {ours.id: ["Bob@Example.net", "ann@example.org"], theirs.id: ["bob@example.net"]}
    assert await found(ALL) == everything
    assert await found(Selector(ids=(ours.id, "0123456789abcdef"))) == {ours.id: everything[ours.id]}
    assert await found(Selector(account="billing")) == {ours.id: everything[ours.id]}
    assert await found(Selector(account="192.0.2.8")) == {theirs.id: everything[theirs.id]}
    assert await found(Selector(account="192.0.2.7")) == {}
    assert await found(Selector(to="BOB@example.NET")) == {ours.id: ["Bob@Example.net"], theirs.id: ["bob@example.net"]}
    assert await found(Selector(to="*@Example.ORG")) == {ours.id: ["ann@example.org"]}
    assert await found(Selector(to="*@ample.org")) == {}
    assert await spool.hold(Selector(to="*@example.net", account="billing"), NOW, "operator") == 1
    assert await found(Selector(state=State.HELD)) == {ours.id: ["Bob@Example.net"]}
    assert await found(Selector(state=State.HELD, reason="other")) == {}
    assert await found(Selector(reason="operator")) == {ours.id: ["Bob@Example.net"]}


async def test_steering_reaches_beyond_a_page(spool: Spool) -> None:
    for n in range(3):
        await spool.put([message(*(f"u{i}@example.net" for i in range(900)), now=NOW + n)])
    assert await spool.hold(ALL, NOW, "operator") == 2700
    assert await spool.release(Selector(to="u7@example.net"), NOW) == 3
    assert await spool.cancel(ALL, NOW) == 2700
    assert (await spool.stats()).recipients[State.CANCELLED] == 2700


async def test_what_is_released_goes_before_what_came_later(spool: Spool) -> None:
    """The fault: it was due when it was released, and what had come before that and was not held went first."""
    old, new = message(hold="operator"), message(now=NOW + 1)
    await spool.put([old, new])
    await spool.release(Selector(state=State.HELD), NOW + HOUR)
    assert [lease.message.id for lease in await lease_all(spool, NOW + HOUR)] == [old.id, new.id]


async def test_as_many_are_released_as_may_be_oldest_first(spool: Spool) -> None:
    first, second = (
        message(*(f"u{i}@example.net" for i in range(900)), now=NOW + n, hold="operator") for n in range(2)
    )
    await spool.put([first])
    await spool.put([second])
    assert await spool.release(ALL, NOW, limit=0) == 0
    assert await spool.release(ALL, NOW, limit=1100) == 1100
    assert set(await states(spool, first.id)) == {State.QUEUED}
    assert (await states(spool, second.id)).count(State.QUEUED) == 200
    assert await spool.release(Selector(state=State.HELD), NOW, limit=1100) == 700


async def test_search_is_newest_first_and_goes_on_from_an_id(spool: Spool) -> None:
    originals = [message(now=NOW + n) for n in range(5)]
    await spool.put(originals)
    newest = [as_handed_out(original) for original in reversed(originals)]
    page = await spool.search(ALL, 3)
    assert [record.message for record in page] == newest[:3]
    rest = await spool.search(ALL, 3, before=page[-1].message.id)
    assert [record.message for record in rest] == newest[3:]


async def test_show_has_all_attempts_and_the_open_one(spool: Spool) -> None:
    original = message("a@example.net", "b@example.net")
    await spool.put([original])
    lease = await lease_one(spool)
    await spool.finish(lease, NOW + 1, results(lease, State.QUEUED, next_at=NOW + 1, reply="451 4.3.0 Later"))
    await lease_one(spool, NOW + 2)
    for recipient in (await shown(spool, original.id)).recipients:
        assert [(attempt.number, attempt.outcome) for attempt in recipient.history] == [(1, "deferred"), (2, "open")]
        assert recipient.reply == "451 4.3.0 Later"
    assert await spool.show("0123456789abcdef") is None


async def test_stats_balance(spool: Spool) -> None:
    empty = await spool.stats()
    assert (set(empty.recipients.values()), empty.oldest) == ({0}, 0)
    await spool.put([message(now=NOW + 1), message(now=NOW + 2), message(hold="quota"), message(credential="other")])
    (lease,) = await lease_all(spool, NOW + 9, limit=1)
    await spool.finish(lease, NOW, results(lease))
    stats = await spool.stats()
    counted = {state: count for state, count in stats.recipients.items() if count}
    assert counted == {State.QUEUED: 2, State.HELD: 1, State.DELIVERED: 1}
    assert (stats.oldest, stats.credentials, stats.held) == (NOW, {CREDENTIAL: 1, "other": 1}, {"quota": 1})
    assert stats.bytes > 0
    assert stats.free > 0
    assert spool.free() > 0


async def test_recipients_are_counted_by_origin(spool: Spool) -> None:
    account = Origin("192.0.2.7", account="billing")
    await spool.put([message("a@example.net", "b@example.net", origin=account, now=NOW + 1), message(now=NOW + 1)])
    await spool.put([message(origin=account, now=NOW - 1)])
    assert await spool.accepted_since(NOW) == {"billing": 2, "192.0.2.7": 1}


async def test_facts_are_kept_and_forgotten(spool: Spool) -> None:
    await spool.remember("pause:news", "1")
    await spool.remember("pause:news", "2")
    await spool.remember("pause_", "3")
    assert await spool.recall("pause:") == {"pause:news": "2"}
    await spool.remember("pause:news", None)
    assert await spool.recall("") == {"pause_": "3"}


async def test_history_goes_when_all_recipients_ended_before_then(spool: Spool) -> None:
    ended, waiting = message(), message("a@example.net", "b@example.net")
    await spool.put([ended, waiting])
    for lease in await lease_all(spool):
        await spool.finish(lease, NOW, results(lease)[:1] + results(lease, State.QUEUED, next_at=NOW + HOUR)[1:])
    assert await spool.prune(NOW, NOW) == 0
    assert await spool.prune(NOW + 1, NOW) == 1
    assert await spool.prune(NOW + 1, NOW) == 0
    assert await spool.show(ended.id) is None
    assert await states(spool, waiting.id) == [State.DELIVERED, State.QUEUED]


async def test_live_messages_are_counted_by_the_keys_that_signed_them(spool: Spool) -> None:
    signed: dict[str, Any] = {"domain": "example.com", "selectors": ("old", "ed")}
    ended, waiting, half = (
        message(**signed),
        message(hold="domain", **signed),
        message("a@b.test", "c@b.test", **signed),
    )
    await spool.put([ended, waiting, half])
    for lease in await lease_all(spool):
        await spool.finish(lease, NOW, results(lease)[:1] + results(lease, State.QUEUED, next_at=NOW + HOUR)[1:])
    await spool.put([message(domain="example.com", selectors=("older",), due_at=NOW + HOUR)])
    await spool.put([message(domain="sub.example.com", selectors=("old",)), message()])
    assert await spool.signed_with("example.com", "old") == 2
    assert await spool.signed_with("example.com", "ed") == 2
    assert await spool.signed_with("example.com", "older") == 1
    assert await spool.signed_with("example.com", "new") == await spool.signed_with("example.com", "ol") == 0
    assert await spool.signed_with("example.net", "old") == 0


async def test_what_was_signed_before_selectors_were_noted_counts_for_every_key(spool: Spool) -> None:
    await spool.put([message(domain="example.com"), message()])
    assert await spool.signed_with("example.com", "old") == await spool.signed_with("example.com", "new") == 1
