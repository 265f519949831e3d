"""One attempt, from the facts to the books; without sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from structlog.testing import capture_logs

from smtprelay import delivery, metrics
from smtprelay.bounce import Status
from smtprelay.config import parse_config
from smtprelay.delivery import Delivery
from smtprelay.message import Envelope, Message, Origin, Recipient
from smtprelay.outcome import Fact, Phase
from smtprelay.reply import Reply
from smtprelay.routing import Routing
from smtprelay.spool import (
    BodyCorrupt,
    Lease,
    LeasedRecipient,
    LeaseLost,
    MessageRecord,
    RecipientRecord,
    Result,
    SpoolError,
    State,
    Suppression,
)
from smtprelay.upstream import Progress, Report

NOW = 10_000_000
CONFIG = """
[[upstream.credentials]]
name = "plain"
username = "plain@example.com"
password_env = "X"
[[upstream.credentials]]
name = "rewriting"
username = "mailbox@example.com"
password_env = "X"
rewrite_sender = "envelope"
[retry]
schedule = "1m"
[bounces]
delay_warning = "4h"
[[domains]]
name = "example.com"
keys = [{ selector = "s", file = "f" }]
"""
TAKEN = Fact(Phase.DOT, Reply(250, "0.0", "Ok"))
REFUSED = Fact(Phase.RCPT, Reply(550, "1.1", "No such user"), others_accepted=True)
LATER = Fact(Phase.RCPT, Reply(451, "7.1", "Later"))


def lease(count: int = 1, *, age: int = 0, notify: str = "", warned: bool = False, **words: Any) -> Lease:
    recipients = tuple(Recipient(f"r{i}@example.org", notify) for i in range(count))
    settings = {"credential": "plain", "ret": "", "dsn_for": "", "asked_later": 0, **words}
    message = Message(
        "id1",
        Envelope("a@example.com", recipients, settings["ret"]),
        Origin("127.0.0.1"),
        b"",
        100,
        NOW - age - settings["asked_later"],
        NOW - age,
        settings["credential"],
        dsn_for=settings["dsn_for"],
    )
    return Lease("t", message, tuple(LeasedRecipient(i, r, 1, warned=warned) for i, r in enumerate(recipients)))


@dataclass
class FakeSpool:
    """Keeps results; fails as told."""

    errors: list[Exception] = field(default_factory=list)
    body_error: Exception | None = None
    results: list[Result] = field(default_factory=list)
    new: list[Message] = field(default_factory=list)
    suppressed: dict[str, Suppression] = field(default_factory=dict)
    entered: list[Suppression] = field(default_factory=list)

    async def finish(
        self,
        lease: Lease,
        now: int,
        results: Sequence[Result],
        new: Sequence[Message] = (),
        suppress: Sequence[Suppression] = (),
    ) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.results += results
        self.new += new
        self.entered += suppress

    async def suppression(self, address: str, now: int) -> Suppression | None:
        return self.suppressed.get(address)

    async def end_held(self, message_id: str, now: int, results: Sequence[Result], new: Sequence[Message] = ()) -> None:
        await self.finish(lease(), now, results, new)

    async def body(self, message_id: str) -> AsyncIterator[bytes]:
        if self.body_error:
            raise self.body_error
        yield b"From: a@example.com\r\n\r\nwhole body\r\n"


@dataclass
class FakeUpstream:
    """Reports these facts."""

    facts: Sequence[Fact] = (TAKEN,)
    dsn: bool = False
    phase: Phase | None = None  # waits there, to be cancelled
    error: Exception | None = None
    sent: list[Message] = field(default_factory=list)
    told: list[list[str]] = field(default_factory=list)
    before_body: Callable[[], None] = lambda: None
    bodies: list[bytes] = field(default_factory=list)

    async def send(
        self,
        credential: str,
        message: Message,
        recipients: Sequence[Recipient],
        body: Callable[[], AsyncIterator[bytes]],
        progress: Progress,
    ) -> Report:
        self.sent.append(message)
        self.told.append([recipient.address for recipient in recipients])
        if self.error:
            raise self.error
        if self.phase:
            progress.phase = self.phase
            await asyncio.Event().wait()
        self.before_body()
        try:
            self.bodies += [chunk async for chunk in body()]
        except SpoolError as error:
            return Report((Fact(Phase.DATA, error=str(error), corrupt=True),) * len(recipients))
        return Report(tuple(self.facts), "smtp.example[1.2.3.4]:25", self.dsn)


@dataclass
class Parts:
    delivery: Delivery
    spool: FakeSpool
    upstream: FakeUpstream
    notified: list[tuple[list[Status], bytes, bytes | None]]


def parts(upstream: FakeUpstream, *, notify_error: Exception | None = None, settings: str = "", **spool: Any) -> Parts:
    fake, notified = FakeSpool(**spool), list[tuple[list[Status], bytes, bytes | None]]()

    async def notify(message: Message, statuses: Sequence[Status], header: bytes, body: bytes | None) -> Message | str:
        if notify_error:
            raise notify_error
        notified.append((list(statuses), header, body))
        return Message(f"dsn{len(notified)}", Envelope("", ()), Origin("local"), b"x", 1, NOW, NOW, message.credential)

    config = parse_config(f"[upstream]\n{settings}\n{CONFIG}".encode(), Path("/nowhere"))
    of = Delivery(
        config,
        fake,  # type: ignore[arg-type]
        upstream,  # type: ignore[arg-type]
        routing=Routing(config.upstream),
        notify=notify,
        refused=lambda name, reply: None,
        clock=lambda: NOW,
        chance=lambda: 0.5,
    )
    return Parts(of, fake, upstream, notified)


async def test_three_fates_in_one_attempt_and_one_notification() -> None:
    of = parts(FakeUpstream([TAKEN, REFUSED, LATER, REFUSED]))
    await of.delivery.deliver(lease(4))
    assert [result.state for result in of.spool.results] == [
        State.DELIVERED,
        State.BOUNCED,
        State.QUEUED,
        State.BOUNCED,
    ]
    assert of.spool.results[2].next_at == NOW + 60_000
    assert [result.dsn for result in of.spool.results] == ["", "dsn1", "", "dsn1"]
    [(statuses, _, body)] = of.notified
    assert [(status.recipient.address, status.status) for status in statuses] == [
        ("r1@example.org", "5.1.1"),
        ("r3@example.org", "5.1.1"),
    ]
    assert body is None, "the header alone, unless RET=FULL asks for more"
    assert [message.id for message in of.spool.new] == ["dsn1"], "in the transaction that ends what it is about"


async def test_each_fate_is_counted_by_the_domain_and_the_smarthost() -> None:
    counters = metrics.DELIVERED, metrics.BOUNCED, metrics.DEFERRED, metrics.AMBIGUOUS
    where = "example.org", "smtp.example:25"
    before = [counter.values.get(where, 0) for counter in counters]
    doubtful = replace(LATER, ambiguous=True)
    await parts(FakeUpstream([TAKEN, REFUSED, LATER, doubtful])).delivery.deliver(lease(4))
    after = [counter.values[where] for counter in counters]
    assert [new - old for new, old in zip(after, before, strict=True)] == [1, 1, 2, 1]


async def test_ret_full_returns_the_whole() -> None:
    of = parts(FakeUpstream([REFUSED]))
    await of.delivery.deliver(lease(ret="FULL"))
    assert of.notified[0][1:] == (b"From: a@example.com\r\n", b"whole body\r\n")


@pytest.mark.parametrize(
    ("phase", "state", "ambiguous"), [(Phase.DATA, State.QUEUED, False), (Phase.DOT, State.QUEUED, True)]
)
async def test_a_shutdown_is_ambiguous_only_after_the_dot(phase: Phase, state: State, ambiguous: bool) -> None:
    of = parts(FakeUpstream(phase=phase))
    task = asyncio.create_task(of.delivery.deliver(lease()))
    while not of.upstream.sent:
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [result] = of.spool.results
    assert (result.state, result.ambiguous) == (state, ambiguous)
    assert result.next_at == (NOW + 60_000 if ambiguous else NOW)


async def test_a_result_is_written_again_until_the_disk_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was delivered and not recorded would be delivered twice."""
    monkeypatch.setattr(delivery, "FINISH_AGAIN", 0.0)
    of = parts(FakeUpstream(), errors=[SpoolError("disk full"), SpoolError("disk full")])
    await of.delivery.deliver(lease())
    assert [result.state for result in of.spool.results] == [State.DELIVERED]


async def test_a_lost_lease_is_somebody_elses() -> None:
    of = parts(FakeUpstream(), errors=[LeaseLost("stale")])
    await of.delivery.deliver(lease())
    assert not of.spool.results


async def test_a_corrupt_body_is_held() -> None:
    of = parts(FakeUpstream(), body_error=BodyCorrupt("chunk 0"))
    await of.delivery.deliver(lease())
    assert [(result.state, result.reason) for result in of.spool.results] == [(State.HELD, "corrupt")]


async def test_a_body_that_cannot_be_read_now_is_tried_again() -> None:
    of = parts(FakeUpstream(), body_error=SpoolError("input/output error"))
    await of.delivery.deliver(lease())
    assert [result.state for result in of.spool.results] == [State.QUEUED]


@pytest.mark.parametrize("settings", ['mode = "sandbox"', 'mode = "redirect"\nredirect_to = "box@example.com"'])
async def test_what_a_reload_keeps_here_does_not_leave_though_its_attempt_has_begun(settings: str) -> None:
    """A smarthost may have it wait for minutes, and who sets the mode to sandbox wants nobody to be mailed any more."""
    upstream = FakeUpstream()
    of = parts(upstream)
    use = parse_config(f"[upstream]\n{settings}\n{CONFIG}".encode(), Path("/nowhere")).upstream
    upstream.before_body = lambda: of.delivery._routing.use(use)
    await of.delivery.deliver(lease())
    [result] = of.spool.results
    assert (result.state, upstream.bodies) == (State.QUEUED, [])
    assert "a reload has changed who is mailed" in result.reply


async def test_a_reload_that_does_not_concern_a_message_lets_it_leave() -> None:
    upstream = FakeUpstream()
    of = parts(upstream)
    rules = '[[upstream.rules]]\nrecipient = "*@customer.test"\naction = "capture"'
    use = parse_config(f"{rules}\n{CONFIG}".encode(), Path("/nowhere")).upstream
    upstream.before_body = lambda: of.delivery._routing.use(use)
    await of.delivery.deliver(lease())
    assert [result.state for result in of.spool.results] == [State.DELIVERED]


async def test_without_a_reload_who_is_mailed_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each message paid for the question twice."""
    of = parts(FakeUpstream())
    parted = Mock(wraps=of.delivery._routing.parted)
    monkeypatch.setattr(of.delivery._routing, "parted", parted)
    await of.delivery.deliver(lease())
    assert [result.state for result in of.spool.results] == [State.DELIVERED]
    parted.assert_called_once()


async def test_a_fault_of_ours_is_a_retry_and_no_end() -> None:
    of = parts(FakeUpstream(error=KeyError("bug")))
    await of.delivery.deliver(lease())
    [result] = of.spool.results
    assert result.state is State.QUEUED
    assert "smtprelay failed" in result.reply


async def test_a_notification_that_cannot_be_made_does_not_keep_the_end_from_the_books() -> None:
    of = parts(FakeUpstream([REFUSED]), notify_error=RuntimeError("bug"))
    await of.delivery.deliver(lease())
    [result] = of.spool.results
    assert (result.state, result.dsn) == (State.BOUNCED, "none: it could not be made; the log says why")


async def test_a_bounce_of_what_cannot_be_read_is_reported_all_the_same() -> None:
    of = parts(FakeUpstream(), body_error=BodyCorrupt("chunk 0"))
    await of.delivery.judge_abandoned(lease(age=6 * 86_400_000))
    assert of.spool.results[0].state is State.BOUNCED
    assert of.notified[0][1] == b"\r\n"


async def test_a_credential_that_rewrites_sends_under_its_own_name() -> None:
    of = parts(FakeUpstream())
    await of.delivery.deliver(lease(credential="rewriting"))
    assert of.upstream.sent[0].envelope.reverse_path == "mailbox@example.com"
    await of.delivery.deliver(lease(credential="plain"))
    assert of.upstream.sent[1].envelope.reverse_path == "a@example.com"


async def test_a_delay_is_reported_once() -> None:
    of = parts(FakeUpstream([LATER]))
    await of.delivery.deliver(lease(age=3_600_000))
    await of.delivery.deliver(lease(age=5 * 3_600_000))
    await of.delivery.deliver(lease(age=6 * 3_600_000, warned=True))
    assert [result.warned for result in of.spool.results] == [False, True, True]
    [(statuses, _, _)] = of.notified
    assert statuses[0].action == "delayed"
    assert statuses[0].will_retry_until == NOW - 5 * 3_600_000 + 5 * 86_400_000


@pytest.mark.parametrize(("dsn", "reports"), [(False, 1), (True, 0)])
async def test_success_is_reported_by_whoever_is_the_last_to_know(dsn: bool, reports: int) -> None:
    """RFC 3461 §5.2.2: a next hop that offers DSN reports itself."""
    of = parts(FakeUpstream(dsn=dsn))
    await of.delivery.deliver(lease(notify="SUCCESS"))
    assert len(of.notified) == reports


async def test_a_notification_never_has_one_itself() -> None:
    of = parts(FakeUpstream([REFUSED]))
    await of.delivery.deliver(lease(dsn_for="id0"))
    assert of.spool.results[0].dsn == "none: this was a notification itself"
    assert not of.notified


async def test_a_refused_credential_is_told_of_before_the_connection_is_free() -> None:
    """Or the next message would log in with it once more."""
    of = parts(FakeUpstream([Fact(Phase.AUTH, Reply(535, "7.8", "wrong"))]))
    told: list[str] = []
    of.delivery._refused = lambda name, reply: told.append("refused")
    await of.delivery.deliver(lease(1), sent=lambda: told.append("free"))
    assert told == ["refused", "free"]


# Held mail that is refused

RECORD = MessageRecord(
    lease(2).message,
    tuple(RecipientRecord(n, Recipient(f"r{n}@example.org"), State.HELD, "dns", NOW, 0, NOW, "", "") for n in (1, 2)),
)
NO_SPF = Reply(550, "7.23", "Publish in the DNS of example.com:\nexample.com. IN TXT …")


async def test_held_mail_is_returned_with_our_own_words() -> None:
    of = parts(FakeUpstream())
    await of.delivery.refuse(RECORD, NO_SPF)
    assert [(r.recipient, r.state, r.reason, r.dsn) for r in of.spool.results] == [
        (n, State.BOUNCED, "refused", "dsn1") for n in (1, 2)
    ]
    assert {(r.phase, r.reply, r.ambiguous) for r in of.spool.results} == {("policy", str(NO_SPF), False)}
    [(statuses, header, _)] = of.notified
    assert [(s.action, s.status, s.explanation) for s in statuses] == [("failed", "5.7.23", str(NO_SPF))] * 2
    assert header.startswith(b"From: a@example.com")
    assert not of.upstream.sent


async def test_what_an_operator_has_let_go_meanwhile_is_not_returned() -> None:
    of = parts(FakeUpstream(), errors=[LeaseLost("released")])
    await of.delivery.refuse(RECORD, NO_SPF)
    assert not of.spool.results


async def test_the_time_that_an_app_asked_to_wait_does_not_count(tmp_path: Path) -> None:
    """The fault: what is to be sent in a week was given up at its first deferral, with a warning of its delay."""
    of = parts(FakeUpstream(facts=(LATER,)))
    await of.delivery.deliver(lease(age=60_000, asked_later=7 * 86_400_000))
    assert [result.state for result in of.spool.results] == [State.QUEUED]
    assert not of.notified


# Who is really mailed

SANDBOX = 'mode = "sandbox"'


def counted(histogram: metrics.Histogram) -> int:
    return sum(sum(series.counts) for series in histogram.values.values())


KEEP_ONE = '[[upstream.rules]]\nrecipient = "r1@example.org"\naction = "capture"'
TO_ONE_BOX = 'mode = "redirect"\nredirect_to = "box@example.com"'


async def test_in_the_sandbox_nobody_is_told_and_all_is_kept() -> None:
    of = parts(FakeUpstream(), settings=SANDBOX)
    before = metrics.CAPTURED.total(), counted(metrics.ATTEMPT_SECONDS)
    await of.delivery.deliver(lease(2, notify="SUCCESS"))
    assert (metrics.CAPTURED.total(), counted(metrics.ATTEMPT_SECONDS)) == (before[0] + 2, before[1])
    assert not of.upstream.told
    assert [(r.state, r.reply, r.dsn) for r in of.spool.results] == [
        (State.CAPTURED, "not sent: [upstream] mode = sandbox", "")
    ] * 2
    assert not of.notified


async def test_what_is_kept_and_what_is_sent_part() -> None:
    of = parts(FakeUpstream([TAKEN, REFUSED]), settings=KEEP_ONE)
    await of.delivery.deliver(lease(3))
    assert of.upstream.told == [["r0@example.org", "r2@example.org"]]
    assert [result.state for result in of.spool.results] == [State.DELIVERED, State.CAPTURED, State.BOUNCED]
    assert [[status.recipient.address for status in statuses] for statuses, _, _ in of.notified] == [["r2@example.org"]]


async def test_what_is_redirected_is_told_once_and_each_recipient_has_its_result() -> None:
    """NOTIFY=SUCCESS would have told a sender that his customer was mailed."""
    of = parts(FakeUpstream([TAKEN]), settings=TO_ONE_BOX)
    await of.delivery.deliver(lease(3, notify="SUCCESS"))
    assert of.upstream.told == [["box@example.com"]]
    assert [(r.recipient, r.state, r.reply) for r in of.spool.results] == [
        (n, State.DELIVERED, "250 2.0.0 Ok (redirected to box@example.com)") for n in range(3)
    ]
    assert not of.notified


async def test_a_redirected_message_that_is_refused_is_returned_as_ever() -> None:
    of = parts(FakeUpstream([REFUSED]), settings=TO_ONE_BOX)
    await of.delivery.deliver(lease(1))
    [(statuses, _, _)] = of.notified
    assert statuses[0].recipient.address == "r0@example.org"
    assert statuses[0].diagnostic == "550 5.1.1 No such user (redirected to box@example.com)"


async def test_a_shutdown_does_not_undo_what_was_captured() -> None:
    of = parts(FakeUpstream(phase=Phase.DATA), settings=KEEP_ONE)
    task = asyncio.create_task(of.delivery.deliver(lease(2)))
    while not of.upstream.sent:
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [result.state for result in of.spool.results] == [State.QUEUED, State.CAPTURED]


def test_only_what_leaves_counts_for_a_rate() -> None:
    assert parts(FakeUpstream(), settings=KEEP_ONE).delivery.leaving(lease(3)) == 2
    assert parts(FakeUpstream(), settings=TO_ONE_BOX).delivery.leaving(lease(3)) == 1


LI = Suppression("r1@example.org", "1", NOW, source="platform news")


async def test_who_was_suppressed_after_the_message_was_accepted_is_not_sent_to_and_its_sender_is_told() -> None:
    of = parts(FakeUpstream(), suppressed={"r1@example.org": LI})
    before = metrics.SUPPRESSED.values.get(("1",), 0)
    with capture_logs() as entries:
        await of.delivery.deliver(lease(2))
    assert of.upstream.told == [["r0@example.org"]]
    sent, ended = of.spool.results
    assert (sent.state, sent.dsn) == (State.DELIVERED, "")
    assert (ended.state, ended.reason, ended.phase, ended.smarthost) == (State.SUPPRESSED, "1", "routing", "")
    assert ended.reply.startswith("no such mailbox, told by platform news on ")
    assert ended.dsn == "dsn1"
    [([status], _, _)] = of.notified
    assert (status.recipient.address, status.action, status.status) == ("r1@example.org", "failed", "5.1.1")
    assert (status.explanation, status.diagnostic) == (ended.reply, "")
    told = [(entry["status"], entry["dsn"]) for entry in entries if entry["event"] == "attempt"]
    assert told == [("delivered", "2.0.0"), ("suppressed", "5.1.1")]
    assert metrics.SUPPRESSED.values[("1",)] == before + 1


async def test_where_all_are_suppressed_no_smarthost_is_asked() -> None:
    of = parts(FakeUpstream(), suppressed={"r0@example.org": LI})
    await of.delivery.deliver(lease())
    assert not of.upstream.sent
    assert [result.state for result in of.spool.results] == [State.SUPPRESSED]


async def test_where_such_mail_is_discarded_nobody_is_told() -> None:
    of = parts(FakeUpstream(), settings='[suppression]\naction = "discard"', suppressed={"r0@example.org": LI})
    await of.delivery.deliver(lease())
    assert not of.notified
    assert of.spool.results[0].dsn == 'none: [suppression] action is "discard"'


async def test_a_notification_that_ends_suppressed_has_none_itself() -> None:
    of = parts(FakeUpstream(), suppressed={"r0@example.org": LI})
    await of.delivery.deliver(lease(dsn_for="id0"))
    assert not of.notified
    assert of.spool.results[0].dsn == "none: this was a notification itself"


@pytest.mark.parametrize("settings", ['mode = "sandbox"', TO_ONE_BOX])
async def test_what_does_not_go_to_its_recipient_is_not_suppressed(settings: str) -> None:
    of = parts(FakeUpstream(), settings=settings, suppressed={"r0@example.org": LI})
    await of.delivery.deliver(lease())
    assert of.spool.results[0].state in (State.CAPTURED, State.DELIVERED)


async def test_an_address_that_the_smarthost_refuses_as_unknown_is_entered_with_its_result() -> None:
    of = parts(FakeUpstream([TAKEN, REFUSED, LATER, replace(REFUSED, reply=Reply(550, "7.1", "Policy"))]))
    await of.delivery.deliver(lease(4))
    assert of.spool.entered == [
        Suppression("r1@example.org", "1", NOW, 0, "bounce of id1", "550 5.1.1 No such user"),
    ]
    silent = parts(FakeUpstream([REFUSED]), settings="[suppression]\nown_bounces = false")
    await silent.delivery.deliver(lease())
    assert not silent.spool.entered
