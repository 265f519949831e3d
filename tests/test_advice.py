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


@pytest.mark.parametrize(
    ("hosts", "warned"),
    [
        ('host = "mail.example.com"', True),
        ('host = "127.0.0.1"', False),  # it was said to cross the network
        ('host = ["localhost", "::1"]', False),
        ('host = ["127.0.0.1", "mail.example.com"]', True),
    ],
)
def test_a_password_without_tls_is_safe_on_loopback_alone(hosts: str, warned: bool) -> None:
    text = CONFIG.replace('name = "plain"', f'username = "news"\npassword_env = "X"\ntls = "none"\n{hosts}')
    found = list(insecurities(parse_config((text + 'account = "shop"').encode(), Path("/nowhere"))))
    assert any("crosses the network without TLS" in sentence for sentence in found) is warned
