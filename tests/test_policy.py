"""Who may send, with which credential, and how much."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from smtprelay.config import Config, parse_config
from smtprelay.domains.verdict import Finding, Record, Rule, Status, Verdict
from smtprelay.message import Origin
from smtprelay.policy import DAY, Gate, Limits, Policy
from smtprelay.reply import Reject
from tests.gateway.wire import PASSWORD_HASH

CONFIG = f"""
[gateway]
client_rate = "2/m"
client_recipients_per_day = 5
[[gateway.accounts]]
username = "app"
password_hash = "{PASSWORD_HASH}"
senders = ["*@example.com", "boss@example.net"]
rate = "3/m"
recipients_per_day = 10
[[upstream.credentials]]
name = "news"
senders = ["news@example.com"]
username = "news@example.com"
password_env = "X"
[[upstream.credentials]]
name = "rest"
senders = ["*@example.com"]
username = "rest@example.com"
password_env = "X"
[[domains]]
name = "example.com"
[[domains.keys]]
selector = "relay1"
file = "k.pem"
"""
APP, TRUSTED = Origin("10.0.0.1", account="app"), Origin("127.0.0.1")


@pytest.fixture(scope="module")
def config() -> Config:
    return parse_config(CONFIG.encode(), Path("/nowhere"))


@pytest.mark.parametrize("address", ["a@example.com", "A@EXAMPLE.COM", "boss@example.net"])
def test_an_account_may_use_its_senders(config: Config, address: str) -> None:
    Policy(config).check_sender(APP, address)


@pytest.mark.parametrize("address", ["a@sub.example.com", "a@example.org", "x@example.net", "a@example.com.evil.test"])
def test_an_account_may_use_no_other(config: Config, address: str) -> None:
    with pytest.raises(Reject, match=r"550 5\.7\.1 Account app may not send as"):
        Policy(config).check_sender(APP, address)


def test_an_account_that_is_gone_may_use_none(config: Config) -> None:
    with pytest.raises(Reject):
        Policy(config).check_sender(Origin("10.0.0.1", account="gone"), "a@example.com")


@pytest.mark.parametrize(("address", "name"), [("News@example.com", "news"), ("a@example.com", "rest")])
def test_the_first_credential_that_matches_wins(config: Config, address: str, name: str) -> None:
    assert Policy(config).credential_for(address).key == name


def test_without_a_credential_there_is_no_way_out(config: Config) -> None:
    with pytest.raises(Reject, match=r"550 5\.7\.1 .*upstream\.credentials"):
        Policy(config).credential_for("a@example.org")


def limits(config: Config, now: int = 0, **words: Any) -> Limits:
    return Limits(config.gateway, words.get("today", {}), words.get("suspended", set()), now)


def test_over_its_rate_mail_is_held_until_the_rate_allows_more(config: Config) -> None:
    of = limits(config)
    assert [of.reason_to_hold(APP, 1, 0) for _ in range(4)] == ["", "", "", "rate"]
    assert of.reason_to_hold(APP, 1, 19_000) == "rate"
    assert of.reason_to_hold(APP, 1, 20_000) == "", "a third of the minute has passed"


def test_trusted_clients_have_limits_of_their_own(config: Config) -> None:
    of = limits(config)
    assert [of.reason_to_hold(TRUSTED, 1, 0) for _ in range(3)] == ["", "", "rate"]
    assert of.reason_to_hold(Origin("127.0.0.2"), 1, 0) == ""


def test_over_its_daily_recipients_mail_is_held_until_midnight(config: Config) -> None:
    of = limits(config)
    assert of.reason_to_hold(APP, 10, 0) == ""
    assert of.reason_to_hold(APP, 1, DAY - 1) == "recipients_per_day"
    assert of.reason_to_hold(APP, 1, DAY) == ""


def test_a_restart_does_not_give_the_day_anew(config: Config) -> None:
    assert limits(config, today={"app": 10}).reason_to_hold(APP, 1, 0) == "recipients_per_day"


def test_a_clock_that_was_set_back_takes_nothing_away(config: Config) -> None:
    of = limits(config, now=10**9)
    assert of.reason_to_hold(APP, 1, 10**9) == ""
    assert of.reason_to_hold(APP, 1, 10**9 - 30_000) == ""


@pytest.mark.parametrize(("origin", "name"), [(APP, "app"), (TRUSTED, "127.0.0.1")])
def test_what_a_suspended_account_sends_is_held(config: Config, origin: Origin, name: str) -> None:
    assert limits(config, suspended={name}).reason_to_hold(origin, 1, 0) == "suspended"


# The domain rules

SPF = Record("example.com", "TXT", "v=spf1 include:spf.bestedm.org -all")
MX = Record("example.com", "MX", "10 mail.bestedm.org")
NULL_MX = Record("example.com", "MX", "0 ")
NO_SPF = Finding("spf", Status.FAIL, problem="it has no SPF record", publish=(SPF,), code="7.23")
NO_MX = Finding("mx", Status.FAIL, problem="it takes no mail", publish=(MX,), remove=(NULL_MX,), code="7.27")


def gate(config: Config, **rules: Any) -> Gate:
    async def ask(domain: str) -> Verdict | None:
        raise AssertionError("nothing is asked here")

    changed = config.domain_rules.model_copy(update=rules)
    return Gate(config.model_copy(update={"domain_rules": changed}), ask)


def verdict(*findings: Finding) -> Verdict:
    return Verdict("example.com", True, 0, 0, findings)


def standing(rule: Rule, status: Status) -> Finding:
    return Finding(rule, status, problem="" if status in (Status.PASS, Status.STALE) else "wrong")


@pytest.mark.parametrize(
    ("on_failure", "failing", "unknown"),
    [("reject", "550", "dns"), ("hold", "domain", "dns"), ("warn", "", ""), ("off", "", "")],
)
def test_what_becomes_of_mail_by_how_its_domain_stands(
    config: Config, on_failure: str, failing: str, unknown: str
) -> None:
    def outcome(of: Verdict | None) -> str:
        try:
            return gate(config, on_failure=on_failure).judge("example.com", of)
        except Reject as refusal:
            return str(refusal.reply.code)

    for spf in (Status.PASS, Status.STALE):
        assert outcome(verdict(standing("spf", spf), standing("mx", Status.PASS))) == ""
    assert outcome(verdict(standing("spf", Status.PASS), standing("mx", Status.FAIL))) == failing
    assert outcome(verdict(standing("spf", Status.FAIL), standing("mx", Status.TEMPORARY))) == failing
    assert outcome(verdict(standing("spf", Status.PASS), standing("mx", Status.TEMPORARY))) == unknown
    assert outcome(None) == unknown


@pytest.mark.parametrize("rule", ["dkim", "platform_dkim", "dmarc"])
def test_a_rule_decides_only_where_it_is_required(config: Config, rule: Rule) -> None:
    stands = verdict(standing("spf", Status.PASS), standing("mx", Status.PASS), standing(rule, Status.FAIL))
    assert gate(config).judge("example.com", stands) == ""
    if rule != "platform_dkim":
        with pytest.raises(Reject):
            gate(config, require=("spf", rule)).judge("example.com", stands)


def test_a_refusal_has_the_record_to_publish(config: Config) -> None:
    with pytest.raises(Reject) as refusal:
        gate(config).judge("example.com", verdict(NO_SPF))
    assert (refusal.value.reply.code, refusal.value.reply.detail) == (550, "7.23")
    assert SPF.zone_line in refusal.value.reply.text.splitlines()
    one_line = refusal.value.reply.encode(one_line=True)
    assert SPF.zone_line.encode() in one_line
    assert len(one_line) <= 512
    assert b"because it has no SPF record" in one_line


def test_several_failures_are_one_refusal(config: Config) -> None:
    with pytest.raises(Reject) as refusal:
        gate(config).judge("example.com", verdict(NO_SPF, NO_MX))
    assert (refusal.value.reply.code, refusal.value.reply.detail) == (550, "7.26")
    lines = refusal.value.reply.text.splitlines()
    assert {SPF.zone_line, MX.zone_line, NULL_MX.zone_line} <= set(lines)
    assert lines.index("And remove:") < lines.index(NULL_MX.zone_line)


def test_an_address_literal_cannot_be_set_up(config: Config) -> None:
    with pytest.raises(Reject, match="no domain that could be set up"):
        gate(config, allow_other_domains=True).judge("[127.0.0.1]", None)


async def test_where_the_rules_are_off_dns_is_not_asked(config: Config) -> None:
    assert await gate(config, on_failure="off").admit("example.com") == ""


def test_what_was_counted_counts_under_other_limits(config: Config) -> None:
    limits = Limits(config.gateway, {}, set(), 0)
    assert [limits.reason_to_hold(TRUSTED, 1, 0) for _ in range(3)] == ["", "", "rate"]
    limits.use(config.gateway.model_copy(update={"client_rate": None, "client_recipients_per_day": 4}))
    assert [limits.reason_to_hold(TRUSTED, 1, 0) for _ in range(2)] == ["", "recipients_per_day"]
