"""SIGKILL and SIGTERM in the midst of everything: what got a 250 is not lost, and never ends in silence.

The short form runs with all tests; ``make torture`` runs the long one.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from tests.process.relay import make_relay
from tests.torture.arrivals import Comparison
from tests.torture.load import Load, Stage
from tests.torture.moments import Moments
from tests.torture.scenario import SHARES, Crashes
from tests.torture.smarthost import Moody, Network
from tests.verifiers import dkimpy_verify

pytestmark = pytest.mark.slow

RESTART = 2.0  # seconds


async def test_crashes(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """After every restart the books balance; at the end they agree with what arrived."""
    kills, seed = pytestconfig.getoption("kills"), pytestconfig.getoption("seed")
    print(f"\n{kills} kills, seed {seed}")
    chance = random.Random(seed)
    moments = Moments(random.Random(chance.random()))
    load = Load(random.Random(chance.random()), moments)
    async with (
        Moody(random.Random(chance.random()), moments) as smarthost,
        Network(random.Random(chance.random()), smarthost.port) as network,
    ):
        relay = make_relay(tmp_path, network.port, retry='give_up_after = "10s"')
        relay.hear = moments.hear
        crashes = Crashes(relay, moments, load, chance)
        try:
            await crashes.run(kills)
            stories = await crashes.settle()
        finally:
            await relay.stop()
    comparison = Comparison(stories, load.sent, smarthost.arrivals, crashes.blows)
    _summarise(crashes, load, stories, smarthost, comparison)
    assert not comparison.problems, "\n".join(comparison.problems[:50])
    assert not load.surprises
    assert crashes.struck == {phase: share * kills // 20 for phase, share in SHARES.items()}
    # Beside other tests, what those keep it waiting for a CPU is not its own; alone, every second counts.
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    assert max(restart.total if alone else restart.net for restart in crashes.restarts) < RESTART
    for content in smarthost.sample:
        assert dkimpy_verify(content, relay.records) == [True]
    assert len(smarthost.sample) > kills, "too few signatures were verified to mean anything"


def _summarise(crashes: Crashes, load: Load, stories: list[Any], smarthost: Moody, comparison: Comparison) -> None:
    stages = Counter(one.stage for one in load.sent.values())
    stored = {story["message_id"] for story in stories}
    doubtful = sum(one.stage is Stage.DOT and one.message_id in stored for one in load.sent.values())
    ends = Counter(f"{r['state']} {r['reason']}".strip() for story in stories for r in story["recipients"])
    dsns = [story for story in stories if story["dsn_for"]]
    print("kills in the midst of:", _listed(crashes.struck), f"and just after the start {crashes.missed}")
    print("messages under way in each phase, over all blows:", _listed(crashes.caught))
    print(f"SIGTERM: {len(crashes.stops)}, the longest stop {max(crashes.stops, default=0):.2f} s")
    print(f"messages: {len(load.sent)} begun, {stages[Stage.ACCEPTED]} got a 250, {stages[Stage.DOT]} got no reply")
    print(f"  (of which {doubtful} were stored), {len(dsns)} DSNs")
    print("recipients:", _listed(ends))
    print(f"arrived: {len(smarthost.arrivals)} messages; arrived more than once: {_listed(comparison.copies)};")
    print(f"  arrived though the books could not know: {comparison.unsure}")
    for name in ("total", "net", "own"):
        seconds = [getattr(restart, name) for restart in crashes.restarts]
        print(f"restart, {name}: median {median(seconds):.2f} s, longest {max(seconds):.2f} s")


def _listed(counts: Counter[Any]) -> str:
    return ", ".join(f"{word} {count}" for word, count in sorted(counts.items())) or "none"
