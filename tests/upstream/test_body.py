"""The body: dots, blocks, and what may end it early."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from smtprelay.outcome import Fact, Phase
from smtprelay.sandbox.smarthost import SILENCE, Rule, Smarthost
from tests.upstream.support import (
    ACCOUNT,
    LINE,
    LONG,
    SHORT,
    TWO,
    USER,
    code,
    message,
    relay_to,
    streamed,
)

lines = st.lists(st.binary(max_size=20).map(lambda b: b.replace(b"\r", b".").replace(b"\n", b".")) | st.just(b"."))


@given(content=lines.map(lambda ls: b"".join(line + b"\r\n" for line in ls)), cuts=st.lists(st.integers(0, 200)))
@hypothesis_settings(max_examples=200)
def test_any_content_in_any_chunks_arrives_as_it_is(content: bytes, cuts: list[int]) -> None:
    bounds = sorted({0, len(content), *(cut for cut in cuts if cut < len(content))})
    chunks = [content[start:end] for start, end in pairwise(bounds)]

    async def send() -> bytes:
        async with Smarthost() as host, relay_to(host, credentials=[{"name": USER}]) as relay:
            assert code((await relay.report(body=streamed(*chunks))).facts[0]) == 250
            return host.messages[0].content

    assert asyncio.run(send()) == content


@pytest.mark.parametrize("after", [0, 1, 20])
async def test_a_body_that_cannot_be_read_is_not_sent(after: int) -> None:
    async def body() -> AsyncIterator[bytes]:
        for _ in range(after):
            yield LINE * 1000
        raise RuntimeError("chunk 3 is not what was written")

    rule = Rule("RCPT", "550 5.1.1 no such user", match="bob")
    async with Smarthost(rule, credentials=ACCOUNT) as host, relay_to(host) as relay:
        facts = (await relay.report(message(*TWO), body)).facts
        assert facts == (Fact(Phase.DATA, error="chunk 3 is not what was written", corrupt=True),) * 2
        assert code(await relay.send_one()) == 250
        assert len(host.messages) == 1
        assert host.connections == 2


@pytest.mark.parametrize("reply", ["552 5.3.4 too large", "421 4.3.1 disk full", "250 2.0.0 already?"])
async def test_a_reply_before_the_dot(reply: str) -> None:
    async with Smarthost(Rule("BODY", reply, times=1), credentials=ACCOUNT) as host, relay_to(host) as relay:
        [fact] = (await relay.report(body=LONG)).facts
        assert (fact.phase, str(fact), fact.ambiguous) == (Phase.DATA, reply, False)
        assert code(await relay.send_one()) == 250
        assert host.connections == 2


async def test_a_smarthost_that_stops_reading() -> None:
    body = streamed(*[LINE * 1000] * 300)
    rule = Rule("BODY", SILENCE, times=1)
    async with Smarthost(rule, credentials=ACCOUNT) as host, relay_to(host, timeouts={"block": SHORT}) as relay:
        [fact] = (await relay.report(body=body)).facts
        assert (fact.phase, fact.ambiguous) == (Phase.DATA, False)
        assert "no answer within 0.1 s" in fact.error


@pytest.mark.slow
async def test_25_megabytes_stall_nothing_and_take_no_memory() -> None:
    chunk = (b"." + LINE) * (256 * 1024 // 79)

    async def body() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield chunk

    gaps = []

    async def tick() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0)
            gaps.append(time.perf_counter() - before)

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """As little of a smarthost as will do, so that what is measured is ours."""
        writer.write(b"220 x\r\n")
        for reply in (b"250 x", b"250 ok", b"250 ok", b"354 go"):
            await reader.readline()
            writer.write(reply + b"\r\n")
        tail = b""
        while not tail.endswith(b"\r\n.\r\n"):
            tail = (tail + await reader.read(65536))[-5:]
        writer.write(b"250 ok\r\n")
        await reader.readline()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    async with server, relay_to(server.sockets[0].getsockname()[1], credentials=[{"name": USER}]) as relay:
        ticking = asyncio.create_task(tick())
        tracemalloc.start()
        report = await relay.report(body=body)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        ticking.cancel()
    assert code(report.facts[0]) == 250
    assert max(gaps) < 0.1
    assert peak < 4 * 2**20
