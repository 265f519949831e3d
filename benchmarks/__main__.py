"""One command, one report: ``python -m benchmarks``. Needs root, Postfix and OpenDKIM (Debian's packages)."""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import signal
import statistics
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from benchmarks import report, waiting
from benchmarks.load import Load
from benchmarks.peers import Peer, SinkProcess, name_server, postfix, postfix_opendkim, smtprelay
from benchmarks.rounds import Figures, measure, median, send
from benchmarks.stalls import Stalls, watching
from smtprelay.sandbox.nameserver import NameServer

LOADS = {
    "Kept connections": Load(0, 0, kept=True),
    "A connection a message": Load(0, 0, kept=False),
    "A connection and a log-in (AUTH LOGIN) a message": Load(0, 0, kept=False, login=True),
}
SHARE = 0.6  # of what Postfix with OpenDKIM takes: the rate of arrival at which latencies are compared
WARM_UP = 200  # messages at most; a short run warms up with no more than it measures
SLOW_DNS = 3.0  # seconds
LARGE = Load(0, messages=4, size=25_000_000, sessions=4)


async def main(rounds: int, messages: int, waiting_recipients: int) -> None:
    print(f"# {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}\n", flush=True)
    print(f"5 KB a message, 20 sessions, RSA-2048; medians of {rounds} rounds of {messages} messages.\n")
    async with SinkProcess.running() as sink, SinkProcess.running() as idle, AsyncExitStack() as stack:
        dns = await stack.enter_async_context(name_server())
        relay, started = await stack.enter_async_context(smtprelay(sink.port, dns))
        await asyncio.sleep(1)
        at_rest = relay.resident()
        base = await stack.enter_async_context(postfix_opendkim(sink.port))
        plain = await stack.enter_async_context(postfix(sink.port))
        tcp = await stack.enter_async_context(postfix_opendkim(sink.port, tcp=True))
        peers = (relay, base, tcp, plain)
        capacity = await _throughput(peers, sink, rounds, messages)
        await _latency(peers, sink, rounds, messages, SHARE * capacity)
        await _slow_dns(relay, dns, sink, rounds, messages)
        stalls = await _stalls(relay, sink, idle, rounds, Load(0, messages))
        loaded = relay.peak()
        await relay.alone()
        after = relay.resident()
        relay.forget_peak()
        large_stalls = await _stalls(relay, sink, idle, rounds, LARGE)
        large = relay.peak()
    print("## Memory of smtprelay (RSS, MiB)\n")
    head = ["", "at the start", "under load, both processes", "at rest again", "four messages of 25 MB at once"]
    print(report.table(head, [["smtprelay", *(f"{value:.1f}" for value in (at_rest, loaded, after, large))]]))
    print("## The longest that the loop let others wait (ms; medians of the rounds)\n")
    rows = [
        [name, f"{s.busy:.0f}", f"{s.idle:.0f}"]
        for name, s in (("5 KB messages", stalls), ("four of 25 MB", large_stalls))
    ]
    print(report.table(["", "smtprelay", "an idle loop, meanwhile"], rows))
    async with SinkProcess.running() as sink:
        print("## Start of smtprelay\n")
        rows = [["0", f"{started:.2f}", f"{at_rest:.0f}"]]
        seconds, memory = await waiting.start(sink, waiting_recipients)
        rows.append([f"{waiting_recipients:,}", f"{seconds:.2f}", f"{memory:.0f}"])
        print(report.table(["recipients waiting", "seconds until ready", "RSS MiB"], rows))


async def _throughput(peers: Sequence[Peer], sink: SinkProcess, rounds: int, messages: int) -> float:
    """:returns: what Postfix with OpenDKIM takes on new connections, in messages a second."""
    _, base, *_ = peers
    capacity = 0.0
    for title, load in LOADS.items():
        medians = await _in_turn(peers, sink, rounds, replace(load, messages=messages))
        print(f"## {title}\n\n{report.throughput(medians, base.name)}", flush=True)
        if not load.kept and not load.login:
            capacity = medians[base.name].accepted
    return capacity


async def _latency(peers: Sequence[Peer], sink: SinkProcess, rounds: int, messages: int, rate: float) -> None:
    medians = await _in_turn(peers, sink, rounds, Load(0, messages, rate=rate))
    print(
        f"## Until the 250, at {rate:.0f} messages a second, each on a new connection\n\n{report.latency(medians)}",
        flush=True,
    )


async def _slow_dns(relay: Peer, dns: NameServer, sink: SinkProcess, rounds: int, messages: int) -> None:
    """The domain is known, and looked up again in the background all the time."""
    kinds = {f"each answer takes {SLOW_DNS:g} s": SLOW_DNS, "DNS answers at once": None}
    figures: dict[str, list[Figures]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name, dns.fault in kinds.items():
            figures[name].append(await measure(relay, sink, Load(relay.port, messages)))
    dns.fault = None
    medians = {name: median(found) for name, found in figures.items()}
    print(f"## Kept connections, by how fast DNS is\n\n{report.throughput(medians, 'DNS answers at once')}", flush=True)


async def _in_turn(peers: Sequence[Peer], sink: SinkProcess, rounds: int, load: Load) -> dict[str, Figures]:
    """The medians, by peer. One round measures all peers, so that what else the machine does meets all of them."""
    figures: dict[str, list[Figures]] = {peer.name: [] for peer in peers}
    for peer in peers:
        warm_up = replace(load, port=peer.port, messages=min(WARM_UP, load.messages))
        await send(warm_up)
        await sink.report(warm_up.messages)
    for number in range(rounds):
        first = number % len(peers)  # nobody always comes after the same one
        for peer in (*peers[first:], *peers[:first]):
            signed = peer.name != "Postfix"
            figures[peer.name].append(await measure(peer, sink, replace(load, port=peer.port), signed=signed))
    return {name: median(found) for name, found in figures.items()}


async def _stalls(relay: Peer, sink: SinkProcess, idle: SinkProcess, rounds: int, load: Load) -> Stalls:
    """The medians, over the rounds, of the longest waits."""
    seen: list[Stalls] = []
    for _ in range(rounds):
        async with watching(relay.port, idle.port) as found:
            await send(replace(load, port=relay.port))
            await sink.report(load.messages)
        seen += found
    return Stalls(statistics.median(s.busy for s in seen), statistics.median(s.idle for s in seen))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="smtprelay beside Postfix and OpenDKIM")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--waiting", type=int, default=1_000_000, help="recipients in the spool at a start")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no server is left behind
    asyncio.run(main(arguments.rounds, arguments.messages, arguments.waiting))
