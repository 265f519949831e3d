"""The configurations in docs/sandbox.md work, alone or with what they leave out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from smtprelay.config import parse_config
from smtprelay.routing import Capture, Deliver, Redirect, Route, Routing

DOCUMENT = Path(__file__).parent.parent / "docs" / "sandbox.md"
TRIAL, STAGING, PILOT, BESIDE_THE_DEMO = re.findall(
    r"```toml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL
)
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
