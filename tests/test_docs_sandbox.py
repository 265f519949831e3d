"""What docs/sandbox.md shows works; its configurations alone, or with what they leave out."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest

from smtprelay.config import parse_config
from smtprelay.routing import Capture, Deliver, Redirect, Route, Routing
from smtprelay.sandbox.platform import Platform
from smtprelay.sandbox.platform.batches import FAILURES

DOCUMENT = Path(__file__).parent.parent / "docs" / "sandbox.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")
TRIAL, STAGING, PILOT, BESIDE_THE_DEMO = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
[IN_A_TEST] = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
DOMAINS = '[[domains]]\nname = "example.com"\n'
CREDENTIALS = '[[upstream.credentials]]\nusername = "x"\npassword_env = "X"\n'


def test_the_trial_needs_nothing_else() -> None:
    config = parse_config(TRIAL.encode(), Path("/"))
    assert config.upstream.log_ins == ()
    assert config.domain_rules.on_failure == "off"


@pytest.mark.parametrize(
    ("text", "account", "recipient", "route"),
    [
        (STAGING, "shop", "ann@example.com", Deliver()),
        (STAGING, "shop", "ann@customer.test", Redirect("test-box@example.com")),
        (STAGING, "crm", "ann@customer.test", Capture("[upstream] mode = sandbox")),
        (CREDENTIALS + PILOT, "shop", "ann@customer.test", Capture("[[upstream.rules]] number 1")),
        (CREDENTIALS + PILOT, "shop", "ann@example.org", Deliver()),
    ],
)
def test_the_rules_do_what_is_said(text: str, account: str, recipient: str, route: Route) -> None:
    config = parse_config((text + DOMAINS).encode(), Path("/"))
    assert Routing(config.upstream).route(account, "orders@example.com", recipient) == route


async def test_the_stand_in_of_the_api_is_used_as_shown() -> None:
    names: dict[str, Any] = {}
    exec(f"async def shown():\n{textwrap.indent(IN_A_TEST, '    ')}    return platform", names)
    platform: Platform = await names["shown"]()
    assert platform.state.service.available == 0
    [batch] = platform.state.batches
    assert [(one.address, one.failure) for one in batch.recipients] == [("ann@example.org", "1")]


def test_the_table_of_local_parts_is_that_of_the_code() -> None:
    assert dict(re.findall(r"^\| `(\w+)` \| (?:it fails later: )?(\d),", TEXT, re.MULTILINE)) == FAILURES
