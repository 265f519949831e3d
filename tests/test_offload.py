"""Messages are prepared in a thread, and under load in a process; nobody can tell the difference."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from smtprelay.config import parse_config
from smtprelay.message import Envelope, Message, Origin, Recipient
from smtprelay.offload import BUSY, LARGE, Offload
from smtprelay.preparation import Preparer, Submission
from smtprelay.preparation_process import Setup
from smtprelay.reply import Reject
from smtprelay.signing import Signer, SigningKey, generate_key, load_key
from smtprelay.worker import parent
from smtprelay.worker.parent import Worker
from tests.verifiers import dkimpy_verify

NOW = 1_700_000_000_000
RSA = load_key(generate_key("rsa", 1024), "example.com", "rsa")
KEYS = [RSA, load_key(generate_key("ed25519"), "example.com", "ed")]
NEW = load_key(generate_key("rsa", 1024), "example.com", "new")
RECORDS = {key.record_name: key.record for key in KEYS}
CONFIG = """
[[upstream.credentials]]
name = "news"
username = "news@example.com"
password_env = "PASSWORD"
[[domains]]
name = "example.com"
keys = [{ selector = "rsa", file = "rsa.pem" }, { selector = "ed", file = "ed.pem" }]
"""


def submission(sender: str = "a@example.com", body: str = "测试") -> Submission:
    content = f"From: {sender}\nSubject: 测试\n\n{body}\n".encode()
    return Submission(
        Origin("127.0.0.1", "app", "ESMTP"), Envelope(sender, (Recipient("b@example.org"),)), content, NOW
    )


PARSED = parse_config(CONFIG.encode(), Path("/nowhere"))
NOW_USED, NEXT = Preparer(PARSED, Signer(KEYS)), Preparer(PARSED, Signer([NEW]))


async def prepare(of: Offload, submission: Submission, by: Preparer = NOW_USED) -> Message:
    return await of.prepare(by, submission)


@asynccontextmanager
async def offloading() -> AsyncIterator[Offload]:
    of = Offload(NOW_USED)
    try:
        yield of
    finally:
        await of.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def busy(of: Offload) -> Worker:
    """As many at once as call for the process; with it, as soon as it works."""
    await asyncio.gather(*(prepare(of, submission()) for _ in range(BUSY)))
    await until(lambda: of._process is not None)
    assert of._process
    return of._process


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def check(message: Message) -> None:
    assert dkimpy_verify(message.content, RECORDS) == [True, True]
    assert (message.subject, message.credential, message.size) == ("测试", "news", len(message.content))
    assert message.repairs


async def test_few_messages_start_no_process() -> None:
    async with offloading() as of:
        for _ in range(BUSY):
            check(await prepare(of, submission()))
        assert of._life is None


async def test_what_the_process_prepares_is_what_the_thread_prepares(monkeypatch: pytest.MonkeyPatch) -> None:
    async with offloading() as of:
        await busy(of)
        monkeypatch.setattr(of, "run", None)  # no thread from here on
        prepared = await asyncio.gather(*(prepare(of, submission(body=str(n))) for n in range(50)))
        for n, message in enumerate(prepared):
            check(message)
            assert message.origin == submission().origin
            assert message.content.endswith(f"{n}\r\n".encode())
        assert len({message.id for message in prepared}) == 50


async def test_a_refusal_of_the_process_is_the_thread_s() -> None:
    async with offloading() as of:
        refusals = []
        for _ in range(2):
            with pytest.raises(Reject) as refusal:
                await prepare(of, submission("a@example.net"))
            refusals.append(refusal.value.reply)
            await busy(of)
        assert refusals[0] == refusals[1]
        assert "dkim keygen example.net" in refusals[0].text


async def test_a_large_message_does_not_go_to_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    async with offloading() as of:
        process = await busy(of)
        monkeypatch.setattr(process, "ask", None)
        check(await prepare(of, submission(body="x" * LARGE)))


async def test_what_the_process_dies_over_is_prepared_in_a_thread() -> None:
    async with offloading() as of:
        process = await busy(of)
        os.kill(process.pid, signal.SIGSTOP)  # so that all of these are with it
        waiting = [asyncio.create_task(prepare(of, submission())) for _ in range(20)]
        await until(lambda: len(process._asked) == 20)
        os.kill(process.pid, signal.SIGKILL)
        for message in await asyncio.gather(*waiting):
            check(message)
        await until(lambda: of._life is None)
        await asyncio.gather(*(prepare(of, submission()) for _ in range(BUSY)))
        assert of._life is None, "one that has died is not tried again at once"


async def test_a_process_that_cannot_be_started_is_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parent.sys, "executable", "/nowhere/python")  # type: ignore[attr-defined]
    async with offloading() as of:
        for _ in range(2):
            for message in await asyncio.gather(*(prepare(of, submission()) for _ in range(BUSY))):
                check(message)
        await until(lambda: of._life is None)


async def test_a_request_that_is_given_up_does_not_shift_the_answers() -> None:
    async with offloading() as of:
        process = await busy(of)
        os.kill(process.pid, signal.SIGSTOP)
        given_up, kept = (asyncio.create_task(prepare(of, submission(body=body))) for body in ("given up", "kept"))
        await until(lambda: len(process._asked) == 2)
        given_up.cancel()
        os.kill(process.pid, signal.SIGCONT)
        assert (await kept).content.endswith(b"kept\r\n")


async def test_it_ends_when_it_has_nothing_to_do_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parent, "REST", 0.3)
    async with offloading() as of:
        first = await busy(of)
        await until(lambda: of._life is None)
        assert not alive(first.pid)
        assert (await busy(of)).pid != first.pid


async def test_signals_that_a_service_manager_sends_to_all_are_the_daemons() -> None:
    async with offloading() as of:
        process = await busy(of)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(process.pid, number)
        check(await prepare(of, submission()))
        assert not process.lost.done()
    assert not alive(process.pid)


def signed_by(message: Message, key: SigningKey) -> bool:
    """By this key, and no other."""
    return dkimpy_verify(message.content, {key.record_name: key.record}) == [True] and message.selectors == (
        key.selector,
    )


@pytest.mark.parametrize("with_process", [False, True])
async def test_each_message_is_signed_with_the_keys_that_it_began_with(with_process: bool) -> None:
    async with offloading() as of:
        if with_process:
            await busy(of)
        of.use(NEXT)
        assert signed_by(await prepare(of, submission(), NEXT), NEW)
        check(await prepare(of, submission()))


async def test_the_process_changes_keys_between_two_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """All are with it at once, and each is signed with the keys of the moment when it was handed in."""
    async with offloading() as of:
        process = await busy(of)
        monkeypatch.setattr(of, "run", None)  # no thread from here on
        os.kill(process.pid, signal.SIGSTOP)
        before = [asyncio.create_task(prepare(of, submission())) for _ in range(20)]
        await until(lambda: len(process._asked) == 20)
        of.use(NEXT)
        after = [asyncio.create_task(prepare(of, submission(), NEXT)) for _ in range(20)]
        await until(lambda: len(process._asked) == 41)
        os.kill(process.pid, signal.SIGCONT)
        for message in await asyncio.gather(*before):
            check(message)
        assert all(signed_by(message, NEW) for message in await asyncio.gather(*after))
        assert not process.lost.done()


async def test_keys_that_change_while_the_process_starts_are_known_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with offloading() as of:
        asking = Worker.ask

        def ask(process: Worker, request: object) -> asyncio.Future[Any]:
            answer = asking(process, request)
            if request == Setup.of(NOW_USED):
                of.use(NEXT)
            return answer

        monkeypatch.setattr(Worker, "ask", ask)
        await busy(of)
        monkeypatch.setattr(of, "run", None)
        assert signed_by(await prepare(of, submission(), NEXT), NEW)
