"""Who is really mailed: a table, and what holds whatever the rules are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtprelay.config import ConfigError, Upstream, parse_config
from smtprelay.message import Envelope, Message, Origin, Recipient, Suppressed
from smtprelay.outcome import Fact, Phase
from smtprelay.reply import Reply
from smtprelay.routing import Capture, Deliver, Redirect, Route, Routing

CREDENTIALS = [{"name": "plain"}]
BOX = "box@example.com"
RULES = [
    {"account": "crm", "action": "capture"},
    {"recipient": "*@ours.test", "action": "deliver"},
    {"sender": "*@news.test", "recipient": "*@customer.test", "action": "redirect", "to": BOX},
    {"sender": "alarm@example.com", "action": "deliver"},
]


def upstream(mode: str, *rules: object) -> Upstream:
    to = BOX if mode == "redirect" else ""
    return Upstream.model_validate({"mode": mode, "redirect_to": to, "rules": rules, "credentials": CREDENTIALS})


def rule(number: int) -> Capture:
    return Capture(f"[[upstream.rules]] number {number}")


SANDBOX = Capture("[upstream] mode = sandbox")


@pytest.mark.parametrize(
    ("account", "sender", "recipient", "live", "sandbox", "redirect"),
    [
        ("app", "a@example.com", "b@else.test", Deliver(), SANDBOX, Redirect(BOX)),
        ("", "", "b@else.test", Deliver(), SANDBOX, Redirect(BOX)),
        ("crm", "a@example.com", "b@ours.test", rule(1), rule(1), rule(1)),
        ("app", "a@example.com", "B@OURS.TEST", Deliver(), Deliver(), Deliver()),
        ("local", "", "b@ours.test", Deliver(), Deliver(), Deliver()),
        ("app", "x@news.test", "b@customer.test", Redirect(BOX), Redirect(BOX), Redirect(BOX)),
        ("app", "x@news.test", "b@else.test", Deliver(), SANDBOX, Redirect(BOX)),
        ("app", "a@example.com", "b@customer.test", Deliver(), SANDBOX, Redirect(BOX)),
        ("app", "alarm@example.com", "b@else.test", Deliver(), Deliver(), Deliver()),
        ("app", "alarm@example.com.evil.test", "b@else.test", Deliver(), SANDBOX, Redirect(BOX)),
        ("app", "a@example.com", "b@ours.test.evil.test", Deliver(), SANDBOX, Redirect(BOX)),
    ],
)
def test_routes(account: str, sender: str, recipient: str, live: Route, sandbox: Route, redirect: Route) -> None:
    for mode, expected in (("live", live), ("sandbox", sandbox), ("redirect", redirect)):
        assert Routing(upstream(mode, *RULES)).route(account, sender, recipient) == expected, mode


@pytest.mark.parametrize("spelled", ['"ceo"@customer.test', '"c\\eo"@customer.test', '"CEO"@CUSTOMER.test'])
def test_an_address_in_quotes_is_the_same_address(spelled: str) -> None:
    """RFC 5321 §4.1.2: whom a rule keeps from being mailed is not mailed by another spelling."""
    live = upstream("live", {"recipient": "ceo@customer.test", "action": "capture"})
    assert Routing(live).route("app", "a@example.com", spelled) == rule(1)
    quoted = upstream("live", {"recipient": '"ceo"@customer.test', "action": "capture"})
    assert Routing(quoted).route("app", "a@example.com", "ceo@customer.test") == rule(1)


def test_in_doubt_nobody_is_mailed() -> None:
    """Settings that no file can have, should a check of them ever be lost."""
    live = upstream("live")
    for mode in ("redirect", "staging"):
        assert isinstance(Routing(live.model_copy(update={"mode": mode})).route("", "", "b@else.test"), Capture)


ADDRESSES = st.sampled_from(["a@one.test", "b@one.test", "a@two.test", '"odd *"@one.test', BOX])
PATTERNS = st.sampled_from(["", "*", "*@one.test", "a@two.test", "*@*.test"])
CAPTURES = st.builds(
    lambda account, sender, recipient: {
        "account": account, "sender": sender, "recipient": recipient or "*", "action": "capture"
    },
    st.sampled_from(["", "app", "*"]), PATTERNS, PATTERNS,
)  # fmt: skip


@given(st.lists(CAPTURES, max_size=3), st.sampled_from(["app", "10.0.0.1", "local"]), ADDRESSES, st.lists(ADDRESSES))
def test_without_a_rule_that_says_so_nothing_leaves_the_sandbox(
    rules: list[dict[str, str]], account: str, sender: str, recipients: list[str]
) -> None:
    settings = upstream("sandbox", *rules)
    message = Message("1", Envelope(sender, ()), Origin("local", account=account), b"", 0, 0, 0, "plain")
    parted = Routing(settings).parted(message, [Recipient(address) for address in recipients])
    assert parted.sent == ()
    assert {fact.phase for fact in parted.facts(())} <= {Phase.ROUTING}
    assert settings.log_ins == (), "no password is read, no connection can be made"


ACTIONS = st.sampled_from(["deliver", "capture", "redirect"])


@given(st.lists(st.tuples(PATTERNS, ACTIONS), max_size=4), ADDRESSES, st.lists(ADDRESSES, max_size=6, unique=True))
def test_each_recipient_has_one_fact_and_is_mailed_by_its_route_alone(
    rules: list[tuple[str, str]], sender: str, recipients: list[str]
) -> None:
    written = [
        {"recipient": pattern or "*", "action": action, "to": BOX if action == "redirect" else ""}
        for pattern, action in rules
    ]
    routing = Routing(upstream("sandbox", *written))
    message = Message("1", Envelope(sender, ()), Origin("10.0.0.1"), b"", 0, 0, 0, "plain")
    parted = routing.parted(message, [Recipient(address, "SUCCESS") for address in recipients])
    routes = [routing.route("10.0.0.1", sender, recipient) for recipient in recipients]
    delivered = {r for r, route in zip(recipients, routes, strict=True) if isinstance(route, Deliver)}
    redirected = {route.to for route in routes if isinstance(route, Redirect)}
    assert sorted(recipient.address for recipient in parted.sent) == sorted(delivered | redirected)
    assert {r.notify for r in parted.sent if r.address in redirected - delivered} <= {"NEVER"}
    of_sent = [Fact(Phase.DOT, Reply(250, "0.0", f"told {recipient.address}")) for recipient in parted.sent]
    for recipient, route, fact in zip(recipients, routes, parted.facts(of_sent), strict=True):
        match route:
            case Deliver():
                assert str(fact) == f"250 2.0.0 told {recipient}"
            case Redirect(to):
                assert str(fact) == f"250 2.0.0 told {to} (redirected to {to})"
            case Capture():
                assert fact.phase is Phase.ROUTING


def test_of_those_who_would_be_mailed_the_suppressed_are_not() -> None:
    routing = Routing(upstream("live", {"recipient": "a@two.test", "action": "capture"}))
    message = Message("1", Envelope("a@example.com", ()), Origin("10.0.0.1"), b"", 0, 0, 0, "plain")
    recipients = [Recipient(address) for address in ("a@one.test", "b@one.test", "a@two.test")]
    why = Suppressed("1", "no such mailbox")
    parted = routing.parted(message, recipients, {"b@one.test": why, "a@two.test": why})
    assert parted.sent == (recipients[0],)
    taken = Fact(Phase.DOT, Reply(250, "0.0", "Ok"))
    assert parted.facts([taken]) == (
        taken,
        Fact(Phase.ROUTING, error="no such mailbox", suppressed=why),
        Fact(Phase.ROUTING, error="not sent: [[upstream.rules]] number 1"),
    )


def test_whom_mail_is_redirected_to_and_who_is_mailed_anyway_is_told_once() -> None:
    """The smarthost was given the address twice: it got two copies, or the second was refused."""
    routing = Routing(upstream("redirect", {"recipient": BOX, "action": "deliver"}))
    message = Message("1", Envelope("a@example.com", ()), Origin("10.0.0.1"), b"", 0, 0, 0, "plain")
    own = Recipient(BOX, "SUCCESS", "rfc822;box")
    parted = routing.parted(message, [Recipient("b@else.test", "FAILURE"), own])
    assert parted.sent == (own,)
    told = Fact(Phase.DOT, Reply(250, "0.0", "Ok"))
    assert parted.facts([told]) == (replace(told, redirected_to=BOX), told)


@pytest.mark.parametrize(
    ("mode", "rules", "words"),
    [
        ("live", [], ""),
        ("live", RULES[:1], "some mail does not go to its recipients: see [[upstream.rules]]"),
        ("sandbox", [], "mode = sandbox: nobody is mailed; what would have left is kept here"),
        ("redirect", [], f"mode = redirect: all mail goes to {BOX}"),
        ("redirect", RULES, f"mode = redirect: all mail goes to {BOX}; but [[upstream.rules]] make exceptions"),
    ],
)
def test_the_mode_in_words(mode: str, rules: list[object], words: str) -> None:
    assert Routing(upstream(mode, *rules)).told() == words


@pytest.mark.parametrize(("action", "fails"), [("capture", False), ("deliver", True)])
def test_what_a_sandbox_lets_go_needs_a_credential(action: str, fails: bool) -> None:
    """It would have left for the default smarthost, without a log-in."""
    text = f"""
        [upstream]
        mode = "sandbox"
        rules = [{{ recipient = "*@ours.test", action = "{action}" }}]
        [[domains]]
        name = "example.com"
    """
    if fails:
        with pytest.raises(ConfigError, match=r"upstream\.credentials: this is needed"):
            parse_config(text.encode(), Path("/"))
    else:
        assert parse_config(text.encode(), Path("/")).upstream.log_ins == ()
