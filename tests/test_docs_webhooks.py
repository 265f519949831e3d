"""docs/webhooks.md: its example is what comes, its code accepts what is sent."""

from __future__ import annotations

import base64
import json
import re
import time
from pathlib import Path
from typing import Any, get_args

from smtprelay.config import Event as Kind
from smtprelay.config import parse_config
from smtprelay.events import batch
from smtprelay.spool import Event
from smtprelay.webhooks.http import signed
from smtprelay.webhooks.teller import BATCH, GONE
from smtprelay.webhooks.telling import KEPT, UPKEEP
from tests.test_config import LEAST

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "webhooks.md").read_text("utf-8")
METRICS = (DOCS / "metrics.md").read_text("utf-8")
(EXAMPLE,) = (json.loads(text) for text in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL))
(CODE,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(SETTINGS,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)


def event(described: dict[str, Any]) -> Event:
    fields = {**described, "tags": tuple(described["tags"]), "recipients": tuple(described["recipients"])}
    seq = int(fields.pop("id").rpartition("-")[2])
    return Event(seq=seq, **fields)


def test_the_example_is_what_comes() -> None:
    told = batch([event(described) for described in EXAMPLE["data"]])
    assert json.loads(told.body) == EXAMPLE
    assert list(json.loads(told.body)["data"][0]) == list(EXAMPLE["data"][0])


def test_the_code_accepts_what_is_sent_and_nothing_else() -> None:
    named: dict[str, Any] = {}
    exec(CODE, named)
    is_genuine = named["is_genuine"]
    told = batch([event(EXAMPLE["data"][0])])
    key, other = bytes(range(32)), bytes(32)
    secret = "whsec_" + base64.b64encode(key).decode()
    now = int(time.time())
    assert is_genuine(signed(told, now, [other, key]), told.body, secret)
    assert not is_genuine(signed(told, now, [other]), told.body, secret)
    assert not is_genuine(signed(told, now, [key]), told.body + b" ", secret)
    assert not is_genuine(signed(told, now - 600, [key]), told.body, secret)


def test_the_settings_and_the_events_are_what_there_is() -> None:
    (webhook,) = parse_config(f"{LEAST}{SETTINGS}".encode(), Path("/")).webhooks
    assert webhook.events == ("bounced", "held")
    assert re.findall(r"^\| (\w+) \| [a-z].*$", PAGE.partition("## ")[0], re.MULTILINE)[1:] == list(get_args(Kind))


def test_the_figures_are_those_of_the_code() -> None:
    assert f"up to {BATCH} events" in PAGE
    assert f"{KEPT:,} events or three days" in PAGE
    assert f"`{GONE} Gone`" in PAGE
    assert f"What waits for webhooks is counted every {UPKEEP:g} seconds." in METRICS
