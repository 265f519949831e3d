"""The spool in a process of its own: killed at work, and with a million recipients waiting."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from smtprelay.message import first_id
from smtprelay.spool import State
from tests.spool.support import NOW, execute, message, opened, read_body

PUT_FOR_EVER = """
import asyncio, os, sys
from pathlib import Path
from smtprelay.spool.sqlite import SQLiteSpool
from tests.spool.support import NOW, message

async def put_for_ever(spool):
    while True:
        (id,) = await spool.put([message(content=os.urandom(1000) * 5)])
        os.write(1, f"{id}\\n".encode())

async def main():
    spool = await SQLiteSpool.open(Path(sys.argv[1]), now=NOW)
    await asyncio.gather(*(put_for_ever(spool) for _ in range(20)))

asyncio.run(main())
"""

MAKE = """
import asyncio, sys
from pathlib import Path
from smtprelay.spool.sqlite import SQLiteSpool

print("now", flush=True)
asyncio.run(SQLiteSpool.open(Path(sys.argv[1]), now=1))
"""

LEASE_ONE = """
import asyncio, json, resource, sys, time
from pathlib import Path
from smtprelay.spool.sqlite import SQLiteSpool
from tests.spool.support import CREDENTIAL, NOW, TTL

def memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

async def main():
    before, start = memory(), time.perf_counter()
    spool = await SQLiteSpool.open(Path(sys.argv[1]), now=NOW)
    due = await spool.next_due([CREDENTIAL])
    leases = await spool.lease("test", NOW, TTL, 10, [CREDENTIAL], 100)
    seconds, mebibytes = time.perf_counter() - start, memory() - before
    await spool.close()
    print(json.dumps({"due": due, "leases": len(leases), "seconds": seconds, "mebibytes": mebibytes}))

asyncio.run(main())
"""


@pytest.mark.slow
async def test_what_put_returned_is_there_after_kill_9(path: Path) -> None:
    """The fault: the process dies at work, without a chance to do anything about it."""
    command = [sys.executable, "-c", PUT_FOR_EVER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        promised = [process.stdout.readline().strip() for _ in range(500)]
        process.kill()
        promised += process.stdout.read().split()
    async with opened(path) as spool:
        for message_id in promised:
            assert len(await read_body(spool, message_id)) == 5000
        assert (await spool.stats()).recipients[State.QUEUED] >= len(promised) >= 500


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 0.001, 0.002, 0.004, 0.006, 0.008, 0.012, 0.016])
async def test_a_spool_that_was_killed_while_it_was_made_opens(path: Path, after: float) -> None:
    with subprocess.Popen([sys.executable, "-c", MAKE, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(after)
        process.kill()
    async with opened(path) as spool:
        await spool.put([message()])
        assert (await spool.stats()).recipients[State.QUEUED] == 1
    assert execute(path, "PRAGMA auto_vacuum") == [(2,)]  # INCREMENTAL


@pytest.mark.slow
async def test_a_million_waiting_recipients_cost_no_start_up_time_and_no_memory(path: Path) -> None:
    async with opened(path) as spool:
        await spool.put([message()])
    multiply(path, 1_000_000)
    run = subprocess.run([sys.executable, "-c", LEASE_ONE, str(path)], capture_output=True, text=True, check=True)
    figures = json.loads(run.stdout)
    assert (figures["due"], figures["leases"]) == (NOW - 1_000_000, 10)
    assert figures["seconds"] < 1
    assert figures["mebibytes"] < 20


def multiply(path: Path, copies: int) -> None:
    """Copies of the one message in the spool, each due at a time of its own; no bodies."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        for table, key in (("messages", "id"), ("recipients", "message")):
            (names,) = connection.execute(f"SELECT group_concat(name) FROM pragma_table_info('{table}')").fetchone()
            values = names.replace(key, f"substr('{first_id(NOW)}', 1, 9) || printf('%07d', value)", 1)
            values = values.replace("next_at", "next_at - value")
            connection.execute(
                f"""
                WITH RECURSIVE series(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM series WHERE value < {copies})
                INSERT INTO {table} ({names}) SELECT {values} FROM series, (SELECT * FROM {table} LIMIT 1)
                """
            )
        connection.execute("COMMIT")
