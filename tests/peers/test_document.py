"""What docs/smarthosts.md quotes is what the other tests use and see."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from smtprelay.config import parse_config
from tests.peers.test_smarthosts import PUT_OFF, REFUSAL, TOO_MANY
from tests.peers.test_smarthosts_login import VERIFIED

TEXT = (Path(__file__).parents[2] / "docs/smarthosts.md").read_text(encoding="utf-8")


def test_the_servers_words() -> None:
    quoted = re.findall(r"`(\d{3} [^`]+)`", TEXT)
    seen = {reply for replies in (REFUSAL, PUT_OFF, TOO_MANY) for reply in replies.values()}
    assert quoted
    assert set(quoted) <= seen


def test_the_settings() -> None:
    [block] = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
    rest = '[[domains]]\nname = "example.com"\n[signing]\non_missing_key = "send-unsigned"\n'
    config = parse_config((block + rest).encode(), Path("/etc/smtprelay"))
    assert tomllib.loads(VERIFIED).items() <= tomllib.loads(block)["upstream"].items()
    assert config.upstream.tls == "starttls"
