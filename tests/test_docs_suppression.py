"""docs/suppression.md: its table, its reply and its settings are what there is."""

from __future__ import annotations

import re
from datetime import date

from smtprelay.config import SuppressionSection
from smtprelay.spool import Suppression
from smtprelay.suppression import CAUSES, beginning_of, cause_of, refusal, status_of
from tests.debian import ROOT
from tests.test_config import LEAST, parse
from tests.test_suppression import refused

PAGE = (ROOT / "docs/suppression.md").read_text("utf-8")
STAYS = {0: "never expires", 7 * 86_400_000: "7 days"}


def test_every_cause_is_in_the_table() -> None:
    expiry = SuppressionSection().expiry
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)
    assert rows == [
        (cause, found.words, f"550 {status_of(cause)}", STAYS[expiry[cause] or 0]) for cause, found in CAUSES.items()
    ]


def test_the_reply_is_what_an_app_hears() -> None:
    entry = Suppression("li@example.org", "1", beginning_of(date(2026, 11, 29)), source="platform news")
    assert f"\n{refusal(entry).reply}\n" in PAGE


def test_the_settings_can_be_read() -> None:
    (settings,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert parse(LEAST + settings).suppression.expiry["5"] is None


def test_the_codes_that_enter_an_address_are_those() -> None:
    told = PAGE.split("that speaks of the address: ")[1].split("It stands")[0]
    for codes, cause in re.findall(r"((?:5\.\d+\.\d+(?:, | and\s+)?)+) as `(\d)`", " ".join(told.split())):
        for code in re.findall(r"5\.(\d+\.\d+)", codes):
            assert cause_of(refused(550, code)) == cause
    assert len(re.findall(r"5\.\d+\.\d+", told)) == 5
