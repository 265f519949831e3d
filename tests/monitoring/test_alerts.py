"""monitoring/alerts.yml: rules that Prometheus takes, each fires when it should, and says what to do."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml

from smtprelay.certificates import EXPIRES_SOON
from smtprelay.metrics import FIGURES
from tests.debian import ROOT, needs

RULES = ROOT / "monitoring/alerts.yml"
TESTS = ROOT / "tests/monitoring/alerts.yml"
ALERTS: list[dict[str, Any]] = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"][0]["rules"]
PAGE = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
ANCHORS = {
    re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
    for heading in re.findall(r"^## (.*)$", PAGE, re.MULTILINE)
}


@needs("promtool")
@pytest.mark.parametrize("arguments", [("check", "rules", RULES), ("test", "rules", TESTS)], ids=["check", "test"])
def test_promtool_finds_nothing_wrong(arguments: tuple[str, ...]) -> None:
    done = subprocess.run(["promtool", *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_seen_to_fire() -> None:
    fired = re.findall(r'alertname="(\w+)"', TESTS.read_text(encoding="utf-8"))
    assert list(dict.fromkeys(fired)) == [alert["alert"] for alert in ALERTS]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_says_what_to_do_and_where_to_read_on(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in ("critical", "warning")
    notes = alert["annotations"]
    assert notes.keys() == {"summary", "description", "runbook"}
    assert notes["description"].endswith(".")
    page, _, anchor = notes["runbook"].partition("#")
    assert page == "docs/troubleshooting.md"
    assert anchor in ANCHORS


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_an_alert_asks_for_figures_that_exist(alert: dict[str, Any]) -> None:
    asked = re.findall(r"smtprelay_\w+", alert["expr"])
    assert {re.sub("_bucket$", "", name) for name in asked} <= {figure.name for figure in FIGURES}
    assert asked or "up{" in alert["expr"]


def test_a_certificate_expires_soon_where_the_relay_says_so() -> None:
    (alert,) = (alert for alert in ALERTS if alert["alert"] == "SmtprelayCertificateExpires")
    days = EXPIRES_SOON // 86_400_000
    assert f"< {days} * 86400" in alert["expr"]
    assert alert["annotations"]["summary"].endswith(f"within {days} days")
