"""Memory for messages under way."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from smtprelay.gateway.limits import FIRST_BLOCK, MemoryBudget

LARGEST = 10 * FIRST_BLOCK


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_message_waits_for_its_354_while_memory_is_taken() -> None:
    budget = MemoryBudget(2 * LARGEST, LARGEST)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            room = await stack.enter_async_context(budget.reserve(LARGEST))
            await room.cover(LARGEST)
        waiting = asyncio.create_task(stack.enter_async_context(budget.reserve(LARGEST)))
        await settled()
        assert not waiting.done()
        await stack.aclose()
        await waiting
        await stack.aclose()


async def test_messages_that_all_outgrow_their_first_block_all_get_through() -> None:
    """First blocks that took all memory would wait for each other for ever."""
    budget = MemoryBudget(2 * LARGEST, LARGEST)
    done = 0

    async def message() -> None:
        nonlocal done
        async with budget.reserve(LARGEST) as room:
            await settled()
            await room.cover(FIRST_BLOCK + 1)
            await settled()
            done += 1

    async with asyncio.timeout(10):
        await asyncio.gather(*(message() for _ in range(200)))
    assert done == 200


async def test_who_gives_up_waiting_gives_back_what_it_had() -> None:
    budget = MemoryBudget(2 * LARGEST, LARGEST)

    async def message() -> None:
        async with budget.reserve(LARGEST) as room:
            await room.cover(LARGEST)
            await asyncio.Event().wait()

    tasks = [asyncio.create_task(message()) for _ in range(5)]
    await settled()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with asyncio.timeout(10), budget.reserve(LARGEST) as first, budget.reserve(LARGEST) as second:
        await first.cover(LARGEST)
        await second.cover(LARGEST)


async def test_who_waits_for_a_first_block_hears_that_another_has_grown() -> None:
    """It looked while that one still waited, and then slept until a message was done."""
    budget = MemoryBudget(3 * LARGEST, LARGEST)
    async with AsyncExitStack() as stack, AsyncExitStack() as leaving:
        large = await leaving.enter_async_context(budget.reserve(LARGEST))
        await large.cover(LARGEST)
        small = [await stack.enter_async_context(budget.reserve(LARGEST)) for _ in range(2 * LARGEST // FIRST_BLOCK)]
        waiting = asyncio.create_task(stack.enter_async_context(budget.reserve(LARGEST)))
        await settled()
        growing = asyncio.create_task(small[0].cover(LARGEST))
        await settled()
        await leaving.aclose()
        await growing
        await asyncio.wait_for(waiting, 10)


async def test_messages_under_way_keep_the_room_that_they_were_promised() -> None:
    """All have their first block when the largest message becomes a small one, and then all of them grow."""
    budget = MemoryBudget(4 * LARGEST, 2 * LARGEST)
    async with asyncio.timeout(10), AsyncExitStack() as stack:
        rooms = [
            await stack.enter_async_context(budget.reserve(2 * LARGEST)) for _ in range(2 * LARGEST // FIRST_BLOCK)
        ]
        budget.use(LARGEST, LARGEST // 2)

        assert {room.largest for room in rooms} == {2 * LARGEST}
        await rooms[0].cover(2 * LARGEST)
        await stack.aclose()
        first = await stack.enter_async_context(budget.reserve(LARGEST // 2))
        await first.cover(LARGEST // 2)
        second = await stack.enter_async_context(budget.reserve(LARGEST // 2))
        await second.cover(LARGEST // 2)
        third = asyncio.create_task(stack.enter_async_context(budget.reserve(LARGEST // 2)))
        await settled()
        assert not third.done(), "two of the largest fit, and no more: all that was promised is given back"
        third.cancel()
