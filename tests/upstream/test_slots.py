"""Slots: never more than there are, first come, first served, whoever is cancelled and however many there are to be."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from smtprelay.upstream.slots import Slots

PATIENCE = 10.0  # seconds


class User:
    """Somebody who wants a slot, and gives it back when told."""

    def __init__(self, slots: Slots, name: int, came: list[int]) -> None:
        self._slots, self._name, self._came = slots, name, came
        self.leave = asyncio.Event()
        self.task = asyncio.create_task(self._use())

    async def _use(self) -> None:
        async with self._slots:
            self._came.append(self._name)
            await self.leave.wait()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_the_first_to_come_is_the_first_served() -> None:
    slots, came = Slots(1), list[int]()
    users = [User(slots, name, came) for name in range(4)]
    for user in users:
        await settle()
        user.leave.set()
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*(user.task for user in users))
    assert came == [0, 1, 2, 3]
    assert slots.taken == 0


async def test_more_slots_let_in_who_waits_and_fewer_are_kept_to() -> None:
    slots, came = Slots(1), list[int]()
    users = [User(slots, name, came) for name in range(5)]
    await settle()
    slots.resize(3)
    await settle()
    assert came == [0, 1, 2]
    slots.resize(1)
    users[0].leave.set()
    users[1].leave.set()
    await settle()
    assert came == [0, 1, 2]
    users[2].leave.set()
    await settle()
    assert came == [0, 1, 2, 3]
    for user in users:
        user.leave.set()
    await asyncio.gather(*(user.task for user in users))


async def test_a_slot_given_to_somebody_who_is_cancelled_at_that_moment_goes_on_to_the_next() -> None:
    slots, came = Slots(1), list[int]()
    first, second, third = (User(slots, name, came) for name in range(3))
    await settle()
    first.leave.set()
    await asyncio.sleep(0)  # the slot has been given to the second, who does not know yet
    second.task.cancel()
    await settle()
    assert came == [0, 2]
    third.leave.set()
    await asyncio.gather(first.task, third.task)
    assert slots.taken == 0


STEPS = st.lists(st.tuples(st.sampled_from(["come", "leave", "cancel", "resize"]), st.integers(0, 20), st.booleans()))


@given(STEPS)
def test_never_more_than_there_are_and_nobody_waits_while_one_is_free(
    steps: list[tuple[str, int, bool]],
) -> None:
    async def check() -> None:
        slots, came, users, number = Slots(2), list[int](), list[User](), 2
        for what, which, pause in steps:
            if what == "come":  # alone: who is let in goes on a moment later, and that is what is seen of the order
                await settle()
                users.append(User(slots, len(users), came))
                await settle()
            elif what == "resize":
                number = which % 5 + 1
                slots.resize(number)
            elif users:
                user = users[which % len(users)]
                user.leave.set() if what == "leave" else user.task.cancel()
            if pause:
                before = slots.taken
                await settle()
                having = [u for u in users if not u.task.done() and u._name in came]
                assert slots.taken == len(having) <= max(number, before)
                assert slots.taken >= min(number, sum(not user.task.done() for user in users))
        slots.resize(100)
        for user in users:
            user.leave.set()
        await asyncio.gather(*(user.task for user in users), return_exceptions=True)
        assert slots.taken == 0
        assert came == sorted(came)

    asyncio.run(check())
