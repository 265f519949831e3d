"""How long a loop lets others wait, seen from outside: NOOP on connections of their own, again and again.

A process of its own: ``python -m benchmarks.stalls PORT…``; when standard input ends it prints, for each port, the
seconds that each NOOP took. One of the ports belongs to a loop that is idle: what the machine itself takes shows there.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

EVERY = 0.005  # seconds
COMMANDS = 90  # on one connection: a session that brings no message may have 100


@dataclass(frozen=True, slots=True)
class Stalls:
    """The longest that a NOOP took, in milliseconds.

    :param busy: at the relay.
    :param idle: at the same time, at a loop that had nothing else to do.
    """

    busy: float
    idle: float


@asynccontextmanager
async def watching(busy: int, idle: int) -> AsyncIterator[list[Stalls]]:
    """Ask both ports while the body runs; at its end the list holds the answer."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.stalls", str(busy), str(idle), stdin=pipe, stdout=pipe
    )
    assert process.stdout
    await process.stdout.readline()  # it has begun
    found: list[Stalls] = []
    try:
        yield found
    finally:
        output, _ = await process.communicate(b"")
    first, second = json.loads(output)
    found.append(Stalls(1000 * max(first), 1000 * max(second)))


async def ask(port: int, took: list[float], end: asyncio.Event) -> None:
    """NOOP until the end."""
    while not end.is_set():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await reader.readline()
        for _ in range(COMMANDS):
            start = time.monotonic()
            writer.write(b"NOOP\r\n")
            assert (await reader.readline()).startswith(b"250")
            took.append(time.monotonic() - start)
            await asyncio.sleep(EVERY)
        writer.close()


async def main() -> None:
    end = asyncio.Event()
    times: list[list[float]] = [[] for _ in sys.argv[1:]]
    asking = [asyncio.create_task(ask(int(port), took, end)) for port, took in zip(sys.argv[1:], times, strict=True)]
    print("begun", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    end.set()
    await asyncio.gather(*asking)
    print(json.dumps(times))


if __name__ == "__main__":
    asyncio.run(main())
