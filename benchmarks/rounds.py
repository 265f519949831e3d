"""One measurement: a load sent through a peer, from the first connection to the last message at the sink."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from benchmarks.load import Load, Sent
from benchmarks.peers import Peer, SinkProcess


@dataclass(frozen=True, slots=True)
class Figures:
    """What one round showed.

    :param end_to_end: messages a second, from the first connection to the last message at the sink.
    :param accepted: messages a second, until the last 250.
    :param cpu: milliseconds of processor time a message, over all processes of the peer.
    :param memory: MiB at the end of the load, over all processes of the peer.
    :param p50: seconds until a 250, the median.
    :param p99: the same for the slowest but one in a hundred.
    """

    end_to_end: float
    accepted: float
    cpu: float
    memory: float
    p50: float
    p99: float


async def measure(peer: Peer, sink: SinkProcess, load: Load, *, signed: bool = True) -> Figures:
    """:raises AssertionError: not every message arrived once, signed where it should be."""
    before = peer.cpu()
    sent = await send(load)
    seen = await sink.report(load.messages)
    cpu = peer.cpu() - before
    assert seen.messages == load.messages, f"{peer.name}: {load.messages} were sent, {seen.messages} arrived"
    assert seen.signed == signed * load.messages, f"{peer.name}: {seen.signed} arrived signed"
    latencies = statistics.quantiles(sent.latencies, n=100)
    return Figures(
        end_to_end=load.messages / (seen.last - sent.began),
        accepted=load.messages / (sent.accepted - sent.began),
        cpu=1000 * cpu / load.messages,
        memory=peer.memory(),
        p50=latencies[49],
        p99=latencies[98],
    )


async def send(load: Load) -> Sent:
    """The load, from a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.load", json.dumps(asdict(load)), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, "the load was not taken; see above"
    return Sent(**json.loads(output))


def median(rounds: Sequence[Figures]) -> Figures:
    """The median of each figure."""
    values = ([asdict(figures)[name] for figures in rounds] for name in Figures.__slots__)
    return Figures(*map(statistics.median, values))
