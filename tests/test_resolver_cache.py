"""What the resolver keeps, without sockets."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from smtprelay.resolver import TXT, Absent, Answer, Failed, Found, cache
from smtprelay.resolver.answers import Question
from smtprelay.resolver.cache import Cache

START = 1_700_000_000_000
SECOND = 1000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
EXAMPLE = Question("example.com", "TXT")
SERVFAIL = Failed("SERVFAIL")
PATIENCE = 10.0  # seconds


class Clock:
    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> int:
        return self.now


class World:
    """DNS without sockets.

    :ivar answer: to every question.
    :ivar gate: which answers wait for.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.answer: Answer[Any] = found()
        self.asked: list[Question] = []
        self.gate: asyncio.Event | None = None
        self.cache = Cache(self.ask, self.clock)

    async def ask(self, question: Question) -> Answer[Any]:
        self.asked.append(question)
        answer = self.answer
        if self.gate:
            await self.gate.wait()
        return answer


def found(text: bytes = b"v=spf1 -all", ttl: int = MINUTE) -> Found[TXT]:
    return Found(((text,),), "example.com", START + ttl)


async def settle() -> None:
    """Let all tasks go on until each waits."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def world() -> World:
    return World()


async def test_an_answer_is_kept_for_its_ttl(world: World) -> None:
    assert await world.cache.txt("example.com") == found()
    world.clock.now += MINUTE - 1
    assert await world.cache.txt("example.com") == found()
    assert len(world.asked) == 1
    world.clock.now += 1
    world.answer = found(b"new", 2 * MINUTE)
    assert await world.cache.txt("example.com") == world.answer
    assert world.asked == [EXAMPLE, EXAMPLE]


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (found(ttl=0), 5 * SECOND),
        (found(ttl=DAY), HOUR),
        (Absent(name_exists=True, expires_at=START), 5 * SECOND),
        (Absent(name_exists=False, expires_at=START + DAY), 5 * MINUTE),
        (Failed("SERVFAIL"), 5 * SECOND),
    ],
)
async def test_how_long_answers_are_kept_is_bounded(world: World, answer: Answer[TXT], kept: int) -> None:
    world.answer = answer
    first = await world.cache.txt("example.com")
    assert isinstance(first, Failed) or first.expires_at == START + kept
    world.clock.now += kept - 1
    assert await world.cache.txt("example.com") == first
    assert len(world.asked) == 1
    world.clock.now += 1
    await world.cache.txt("example.com")
    assert len(world.asked) == 2


async def test_what_is_one_question(world: World) -> None:
    await world.cache.txt("example.com")
    await world.cache.txt("Example.COM.")
    assert world.asked == [EXAMPLE]
    await world.cache.mx("example.com")
    await world.cache.addresses("example.com", 4)
    await world.cache.addresses("example.com", 6)
    await world.cache.ptr("192.0.2.1")
    assert [question.type for question in world.asked] == ["TXT", "MX", "A", "AAAA", "PTR"]
    assert world.asked[-1].name == "1.2.0.192.in-addr.arpa"


async def test_the_least_recently_used_go_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_ANSWERS", 2)
    for name in ("a", "b", "a", "c"):
        await world.cache.txt(name)
    world.asked.clear()
    for name in ("a", "c", "b"):
        await world.cache.txt(name)
    assert [question.name for question in world.asked] == ["b"]


async def test_answers_have_a_limit_together(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MAX_SIZE", 3 * 1064)
    world.answer = found(b"x" * 1000)
    for name in ("a", "b", "a", "c", "d"):
        await world.cache.txt(name)
    assert len(world.asked) == 4
    await world.cache.txt("a")
    assert len(world.asked) == 4
    world.clock.now += MINUTE
    world.answer = SERVFAIL  # the last answers are kept, and count
    for name in ("a", "c", "d"):
        assert isinstance(await world.cache.txt(name), Found)
    world.clock.now += MINUTE
    world.answer = found(b"")
    for name in ("a", "c", "d", *"efghijklmnop"):
        await world.cache.txt(name)
    world.asked.clear()
    await world.cache.txt("a")
    assert not world.asked


async def test_a_clock_that_was_set_back_keeps_nothing_longer(world: World) -> None:
    await world.cache.txt("example.com")
    world.clock.now -= DAY
    await world.cache.txt("example.com")
    assert len(world.asked) == 2


async def test_equal_questions_are_asked_once(world: World) -> None:
    world.gate = asyncio.Event()
    askers = [asyncio.create_task(world.cache.txt("example.com")) for _ in range(50)]
    other = asyncio.create_task(world.cache.mx("example.com"))
    await settle()
    assert world.asked == [EXAMPLE, Question("example.com", "MX")]
    world.gate.set()
    assert set(await asyncio.gather(*askers)) == {found()}
    await other


async def test_who_gives_up_takes_the_answer_from_nobody(world: World) -> None:
    world.gate = asyncio.Event()
    first, second = (asyncio.create_task(world.cache.txt("example.com")) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    assert first.cancelled()
    second.cancel()
    await settle()
    third = asyncio.create_task(world.cache.txt("example.com"))
    world.gate.set()
    assert await third == found()
    assert len(world.asked) == 1


@pytest.mark.parametrize("last", [found(), Absent(name_exists=False, expires_at=START + MINUTE)])
async def test_while_dns_fails_the_last_answer_serves_for_a_day(world: World, last: Found[TXT] | Absent) -> None:
    world.answer = last
    assert await world.cache.txt("example.com") == last
    world.answer = SERVFAIL
    world.clock.now += DAY - SECOND
    for _ in range(2):  # DNS is asked, and is not
        stale = await world.cache.txt("example.com")
        again_at = world.clock.now + 5 * SECOND
        assert stale == replace(last, stale=True, expires_at=again_at)
    assert len(world.asked) == 2
    world.clock.now += SECOND
    assert await world.cache.txt("example.com") == SERVFAIL


async def test_dns_that_is_back_is_believed(world: World) -> None:
    await world.cache.txt("example.com")
    world.answer = SERVFAIL
    world.clock.now += HOUR
    assert (await world.cache.txt("example.com")) != SERVFAIL
    world.clock.now += 5 * SECOND
    world.answer = Absent(name_exists=True, expires_at=world.clock.now + MINUTE)
    assert await world.cache.txt("example.com") == world.answer


async def test_a_fresh_view_takes_nothing_from_before(world: World) -> None:
    await world.cache.txt("example.com")
    fresh = world.cache.fresh()
    world.answer = found(b"new")
    assert await fresh.txt("example.com") == found(b"new")
    assert await world.cache.txt("example.com") == found(b"new")
    assert await fresh.txt("example.com") == found(b"new")
    assert len(world.asked) == 2


async def test_a_fresh_view_has_no_stale_answers(world: World) -> None:
    await world.cache.txt("example.com")
    world.answer = SERVFAIL
    fresh = world.cache.fresh()
    assert await fresh.txt("example.com") == SERVFAIL
    stale = await world.cache.txt("example.com")
    assert isinstance(stale, Found)
    assert stale.stale
    assert await fresh.txt("example.com") == SERVFAIL
    assert len(world.asked) == 2


async def test_a_fresh_view_shares_questions_that_began_after_it(world: World) -> None:
    world.gate = asyncio.Event()
    fresh = world.cache.fresh()
    askers = [asyncio.create_task(view.txt("example.com")) for view in (world.cache, fresh, world.cache)]
    await settle()
    world.gate.set()
    assert set(await asyncio.gather(*askers)) == {found()}
    assert len(world.asked) == 1


async def test_a_fresh_view_does_not_join_a_question_that_began_before_it(world: World) -> None:
    world.gate = late = asyncio.Event()
    old = asyncio.create_task(world.cache.txt("example.com"))
    await settle()
    world.gate, world.answer = None, found(b"new")
    async with asyncio.timeout(PATIENCE):
        assert await world.cache.fresh().txt("example.com") == found(b"new")
    late.set()
    assert await old == found()
    assert await world.cache.txt("example.com") == found(b"new")  # the old answer came last, and is not kept
    assert len(world.asked) == 2


async def test_a_fresh_view_joins_another(world: World) -> None:
    gates = world.gate, later = asyncio.Event(), asyncio.Event()
    old = asyncio.create_task(world.cache.txt("example.com"))
    await settle()
    world.gate, world.answer = later, found(b"new")
    first, second = world.cache.fresh(), world.cache.fresh()
    askers = [asyncio.create_task(second.txt("example.com"))]
    await settle()
    gates[0].set()
    assert await old == found()
    askers.append(asyncio.create_task(first.txt("example.com")))
    await settle()
    later.set()
    assert set(await asyncio.gather(*askers)) == {found(b"new")}
    assert len(world.asked) == 2


async def test_close_ends_what_is_under_way(world: World) -> None:
    await world.cache.mx("example.com")
    world.gate = asyncio.Event()
    asker = asyncio.create_task(world.cache.txt("example.com"))
    await settle()
    await world.cache.close()
    async with asyncio.timeout(PATIENCE):
        assert await asker == Failed("the resolver is closed")
        assert await world.cache.txt("example.org") == Failed("the resolver is closed")
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert len(world.asked) == 2


async def test_what_was_told_before_others_were_asked_counts_no_more(world: World) -> None:
    await world.cache.txt("example.com")
    world.cache.forget()
    world.answer = found(b"another")
    assert await world.cache.txt("example.com") == found(b"another")
