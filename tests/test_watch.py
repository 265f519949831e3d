"""How the domains stand, over time and over failures of DNS; without sockets, by a clock of our own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from structlog.testing import capture_logs

from smtprelay import watch
from smtprelay.domains.verdict import Finding, Status, Verdict, from_json
from smtprelay.spool import SpoolError
from smtprelay.watch import AGAIN, STALE, VERDICT, Watch

NOW = 1_790_000_000_000
MINUTE = 60_000
HOUR = 60 * MINUTE
FOUND = "v=spf1 include:spf.bestedm.org -all"


@dataclass
class World:
    """DNS, the spool's facts and the clock.

    :ivar statuses: of SPF, MX and, where it stands there, DMARC, for every domain.
    :ivar asked: (domain, fresh) of each look-up.
    :ivar slow: look-ups wait for it.
    """

    now: int = NOW
    statuses: Sequence[Status] = (Status.PASS, Status.PASS)
    asked: list[tuple[str, bool]] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
    slow: asyncio.Event | None = None
    broken: SpoolError | None = None

    async def check(self, domain: str, fresh: bool) -> Verdict:
        self.asked.append((domain, fresh))
        if self.slow:
            await self.slow.wait()
        spf, mx, *dmarc = self.statuses
        findings = [Finding("spf", spf, found=FOUND if spf is Status.PASS else ""), Finding("mx", mx)]
        findings += [Finding("dmarc", status) for status in dmarc]
        return Verdict(domain, True, self.now, self.now + 5 * MINUTE, tuple(findings))

    async def remember(self, key: str, value: str | None) -> None:
        if self.broken:
            raise self.broken
        if value is None:
            del self.facts[key]
        else:
            self.facts[key] = value

    def watch(self, *configured: str, refusing: bool = True) -> Watch:
        made = Watch(
            self.check,
            self.remember,
            required=("spf", "mx"),
            configured=configured,
            refusing=refusing,
            clock=lambda: self.now,
        )
        made.recall(self.facts)
        return made


async def settled(of: Watch) -> None:
    """Whatever runs in the background is done."""
    while of._looking:
        await asyncio.wait(of._looking.values())


async def statuses(of: Watch, domain: str = "example.com") -> list[Status] | None:
    """As the door is told; what that has looked up anew is awaited afterwards."""
    verdict = await of.verdict(domain)
    await settled(of)
    return [finding.status for finding in verdict.findings] if verdict else None


async def test_a_domain_is_looked_up_once_for_all_that_ask_at_once() -> None:
    world = World()
    of = world.watch()
    verdicts = await asyncio.gather(*(of.verdict("example.com") for _ in range(50)))
    assert len(world.asked) == 1
    assert len({id(verdict) for verdict in verdicts}) == 1


async def test_what_is_known_is_told_without_waiting_for_dns() -> None:
    world = World()
    of = world.watch()
    await of.verdict("example.com")
    world.now += HOUR
    world.slow = asyncio.Event()  # DNS does not answer for as long as this lasts
    async with asyncio.timeout(4):  # less than it waits for DNS
        assert (await of.verdict("example.com")) is not None
    assert len(world.asked) == 1, "it is looked up again in the background"
    await asyncio.sleep(0)
    assert len(world.asked) == 2
    world.slow.set()
    await settled(of)


async def test_answers_hold_until_they_expire() -> None:
    world = World()
    of = world.watch()
    await statuses(of)
    world.now += 5 * MINUTE - 1
    await statuses(of)
    assert world.asked == [("example.com", False)]
    world.now += 1
    await statuses(of)
    assert len(world.asked) == 2


async def test_the_first_message_of_a_domain_waits_a_little_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "PATIENCE", 0.01)
    world = World(slow=asyncio.Event())
    of = world.watch()
    assert await of.verdict("example.com") is None
    assert world.slow
    world.slow.set()
    await settled(of)
    assert of.known("example.com") is not None, "it was looked up all the same"


async def test_an_hour_without_dns_changes_nothing() -> None:
    """The fault: DNS is dead for an hour, and more."""
    world = World()
    of = world.watch()
    await statuses(of)
    world.statuses = (Status.TEMPORARY, Status.TEMPORARY)
    for _ in range(60):
        world.now += MINUTE
        assert await statuses(of) in ([Status.PASS, Status.PASS], [Status.STALE, Status.STALE])
    verdict = of.known("example.com")
    assert verdict is not None
    assert verdict.checked_at == NOW, "it is as old as the answers"
    assert verdict.findings[0].found == FOUND
    world.statuses = (Status.PASS, Status.PASS)
    world.now += MINUTE
    await statuses(of)
    assert await statuses(of) == [Status.PASS, Status.PASS]


async def test_after_a_day_without_dns_nothing_is_known() -> None:
    world = World()
    of = world.watch()
    await statuses(of)
    world.statuses = (Status.TEMPORARY, Status.TEMPORARY)
    world.now += STALE
    assert await statuses(of) == [Status.PASS, Status.PASS]
    assert await statuses(of) == [Status.STALE, Status.STALE]
    world.now += 1
    assert await statuses(of) == [Status.TEMPORARY, Status.TEMPORARY]


async def test_where_one_look_up_fails_its_last_answer_stands_beside_the_new_ones() -> None:
    world = World(statuses=(Status.PASS, Status.PASS))
    of = world.watch()
    await statuses(of)
    world.statuses = (Status.TEMPORARY, Status.FAIL)
    world.now += HOUR
    await statuses(of)
    assert await statuses(of) == [Status.STALE, Status.FAIL]


async def test_a_failure_that_dns_told_stands_while_it_fails() -> None:
    world = World(statuses=(Status.FAIL, Status.PASS))
    of = world.watch()
    await statuses(of)
    world.statuses = (Status.TEMPORARY, Status.TEMPORARY)
    world.now += MINUTE
    await statuses(of)
    assert await statuses(of) == [Status.FAIL, Status.STALE]


async def test_what_was_mended_is_noticed_within_seconds() -> None:
    """An answer may hold for an hour; a domain that fails is asked for anew, past our own cache."""
    world = World(statuses=(Status.FAIL, Status.PASS))
    of = world.watch()
    await statuses(of)
    world.statuses = (Status.PASS, Status.PASS)
    world.now += AGAIN
    assert await statuses(of) == [Status.PASS, Status.PASS]
    assert world.asked == [("example.com", False), ("example.com", True)]


async def test_nobody_is_refused_for_what_was_mended_long_ago() -> None:
    """The fault: the record was published while nobody sent, or while the relay was down."""
    world = World(statuses=(Status.FAIL, Status.PASS))
    of = world.watch()
    await statuses(of)
    world.statuses = (Status.PASS, Status.PASS)
    world.now += 10 * HOUR
    assert await statuses(world.watch()) == [Status.PASS, Status.PASS]
    assert await statuses(of) == [Status.PASS, Status.PASS]


async def test_where_nobody_is_refused_nobody_waits() -> None:
    world = World(statuses=(Status.FAIL, Status.PASS))
    of = world.watch(refusing=False)
    await statuses(of)
    world.now += HOUR
    world.slow = asyncio.Event()
    async with asyncio.timeout(4):  # less than it waits for DNS
        assert await of.verdict("example.com") is not None
    await of.close()


async def test_a_message_waits_for_a_look_up_but_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault: at MAIL and after the dot, for what takes longer than both."""
    monkeypatch.setattr(watch, "PATIENCE", 0.01)
    world = World(slow=asyncio.Event())
    of = world.watch()
    assert await of.verdict("example.com") is None
    monkeypatch.setattr(watch, "PATIENCE", 3600.0)
    async with asyncio.timeout(10):
        assert await of.verdict("example.com") is None
    assert len(world.asked) == 1
    await of.close()


@pytest.mark.parametrize("refusing", [True, False])
async def test_a_clock_that_was_set_back_keeps_nothing_for_ever(refusing: bool) -> None:
    """The fault: looked up while the clock was a year ahead."""
    world = World(statuses=(Status.FAIL, Status.PASS), now=NOW + 365 * 24 * HOUR)
    of = world.watch(refusing=refusing)
    await statuses(of)
    world.now, world.statuses = NOW, (Status.PASS, Status.PASS)
    await statuses(of)
    assert await statuses(of) == [Status.PASS, Status.PASS]
    verdict = of.known("example.com")
    assert verdict is not None
    assert verdict.checked_at == NOW
    assert not of._due()


async def test_an_answer_from_the_future_is_as_old_as_the_look_up() -> None:
    world = World(now=NOW + 365 * 24 * HOUR)
    of = world.watch()
    await statuses(of)
    world.now, world.statuses = NOW, (Status.TEMPORARY, Status.TEMPORARY)
    await statuses(of)
    world.now += STALE + 1
    assert await statuses(of) == [Status.TEMPORARY, Status.TEMPORARY]


async def test_a_rule_that_is_not_required_makes_nothing_old() -> None:
    """The fault: once a day, what is known of the domain was forgotten, and its mail was held."""
    world = World(statuses=(Status.PASS, Status.PASS, Status.PASS))
    of = world.watch()
    await statuses(of)
    world.statuses = (Status.PASS, Status.PASS, Status.TEMPORARY)
    world.now += 23 * HOUR
    await statuses(of)
    world.now += 2 * HOUR
    assert await statuses(of) == [Status.PASS, Status.PASS, Status.STALE]


async def test_it_can_be_looked_up_at_once() -> None:
    world = World(statuses=(Status.FAIL, Status.PASS))
    of = world.watch()
    await statuses(of)
    world.statuses = (Status.PASS, Status.PASS)
    assert [finding.status for finding in (await of.look_again("example.com")).findings] == [Status.PASS] * 2
    assert world.asked[-1] == ("example.com", True)


async def test_to_look_again_means_after_what_runs_already() -> None:
    """The fault: what runs has asked before the record was published."""
    world = World(statuses=(Status.FAIL, Status.PASS), slow=asyncio.Event())
    of = world.watch()
    first = asyncio.create_task(of.verdict("example.com"))
    await asyncio.sleep(0)
    again = asyncio.create_task(of.look_again("example.com"))
    await asyncio.sleep(0)
    assert world.slow
    world.slow.set()
    await asyncio.gather(first, again)
    assert world.asked == [("example.com", False), ("example.com", True)]


async def test_to_look_again_is_to_ask_anew_also_where_a_message_is_faster() -> None:
    """The fault: a message has its domain looked up in the moment between, and our own cache answers."""
    world = World(slow=asyncio.Event())
    of = world.watch()
    of._look("example.com").add_done_callback(lambda _: bool(of._look("example.com")))
    again = asyncio.create_task(of.look_again("example.com"))
    await asyncio.sleep(0)
    assert world.slow
    world.slow.set()
    await again
    assert world.asked == [("example.com", False), ("example.com", False), ("example.com", True)]


async def test_verdicts_outlive_the_process() -> None:
    """The fault: the relay is started again while DNS is dead."""
    world = World()
    await statuses(world.watch())
    world.statuses = (Status.TEMPORARY, Status.TEMPORARY)
    world.now += HOUR
    of = world.watch()
    assert await statuses(of) == [Status.PASS, Status.PASS]
    assert await statuses(of) == [Status.STALE, Status.STALE]
    of = world.watch()
    assert await statuses(of) == [Status.STALE, Status.STALE]
    world.now = NOW + STALE + 1
    assert await statuses(world.watch()) == [Status.TEMPORARY, Status.TEMPORARY]


@pytest.mark.parametrize(
    "text",
    [
        '{"domain": "example.com"}',
        "{",
        '{"domain": "example.com", "known": true, "checked_at": null, "expires_at": 0, "findings": []}',
    ],
)
async def test_a_verdict_that_cannot_be_read_is_none(text: str) -> None:
    """The fault: one without a time had every look at its domain fail within smtprelay."""
    world = World(facts={VERDICT + "example.com": text, "tls/x": "1"})
    with capture_logs() as logs:
        made = world.watch()
    assert [line["fact"] for line in logs] == [VERDICT + "example.com"]
    assert await statuses(made) == [Status.PASS, Status.PASS]


async def test_a_verdict_is_written_when_it_changes_and_now_and_then() -> None:
    world = World()
    of = world.watch()
    await statuses(of)
    written = world.facts[VERDICT + "example.com"]
    world.now += 5 * MINUTE
    await statuses(of)
    assert world.facts[VERDICT + "example.com"] == written, "not at each look"
    world.now += 5 * MINUTE
    await statuses(of)
    kept = from_json(world.facts[VERDICT + "example.com"])
    assert kept.checked_at == world.now
    world.statuses = (Status.FAIL, Status.PASS)
    world.now += 5 * MINUTE
    await statuses(of)
    kept = from_json(world.facts[VERDICT + "example.com"])
    assert kept.findings[0].status is Status.FAIL


async def test_a_full_disk_does_not_stand_in_the_way() -> None:
    world = World(broken=SpoolError("full"))
    assert await statuses(world.watch()) == [Status.PASS, Status.PASS]


async def test_strangers_do_not_fill_the_memory_or_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "MAX_DOMAINS", 3)
    world = World()
    of = world.watch()
    for i in range(10):
        await statuses(of, f"d{i}.example")
    assert set(world.facts) == {f"{VERDICT}d{i}.example" for i in (7, 8, 9)}
    assert of.known("d6.example") is None


async def test_what_is_configured_or_waited_for_is_looked_up_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "LOOK", 0.001)
    world = World()
    of = world.watch("example.com")
    of.waiting.add("example.net")
    heard: asyncio.Queue[str] = asyncio.Queue()
    of.answered = lambda verdict: heard.put_nowait(verdict.domain)
    running = asyncio.create_task(of.run())
    async with asyncio.timeout(10):
        assert {await heard.get(), await heard.get()} == {"example.com", "example.net"}
        world.now += 5 * MINUTE
        assert {await heard.get(), await heard.get()} == {"example.com", "example.net"}
    running.cancel()
    await asyncio.wait([running])
    await of.close()


async def test_many_domains_are_looked_up_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fault: five thousand at once stopped the loop for a second."""
    monkeypatch.setattr(watch, "MAX_LOOKING", 3)
    world = World(slow=asyncio.Event())
    of = world.watch(*(f"d{i}.example" for i in range(10)))
    running = asyncio.create_task(of.run())
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(of._looking) == 3
    assert world.slow
    world.slow.set()
    async with asyncio.timeout(10):
        while len(of._verdicts) < 10:
            await asyncio.sleep(0)
    assert len(world.asked) == 10
    running.cancel()
    await asyncio.wait([running])
    await of.close()


async def test_what_is_known_by_other_rules_is_looked_up_again() -> None:
    world = World()
    of = world.watch("example.com")
    await of.verdict("example.com")
    of.use(required=("mx",), configured=("example.com", "example.net"), refusing=True)
    assert set(of._due()) == {"example.net", "example.com"}
    assert await of.verdict("example.com"), "until DNS has told, what is known stands"
    await settled(of)
    assert len(world.asked) == 2
    world.statuses = (Status.FAIL, Status.PASS)
    verdict = await of.look_again("example.com")
    assert not verdict.failing(("mx",))
