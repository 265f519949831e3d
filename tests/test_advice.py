"""What a valid configuration is warned about."""

from __future__ import annotations

from pathlib import Path

import pytest

from smtprelay.advice import insecurities
from smtprelay.config import parse_config

CONFIG = """
[[upstream.credentials]]
name = "plain"
[[domains]]
name = "example.com"
keys = [{ selector = "s", file = "f" }]
[[gateway.accounts]]
username = "shop"
password_hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$YWJj"
senders = ["*@example.com"]
[[upstream.rules]]
action = "capture"
"""


@pytest.mark.parametrize(
    ("rule", "warned"),
    [
        ('account = "shpo"', True),  # its mail would leave, and nobody would know why
        ('account = "shop"', False),
        ('account = "*"', False),
        ('account = "local"', False),
        ('account = "10.0.0.1"', False),
        ('account = "2001:db8::1"', False),
        ('recipient = "*@customer.test"', False),
    ],
)
def test_a_rule_about_an_account_that_there_is_not(rule: str, warned: bool) -> None:
    found = list(insecurities(parse_config((CONFIG + rule).encode(), Path("/nowhere"))))
    assert any("[[upstream.rules]] number 1 is about account" in sentence for sentence in found) is warned
