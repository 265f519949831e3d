"""Every refusal is counted under one of a few words."""

from __future__ import annotations

import ast

import pytest

from smtprelay.gateway.refusals import REASONS, reason_of
from smtprelay.policy import NotSetUp
from smtprelay.reply import Defer, Reject
from tests.test_imports import MODULES


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Reject(550, "7.1", "may not send as"), "not_allowed"),
        (NotSetUp(550, "7.1", "Publish in the DNS"), "domain"),
        (NotSetUp(550, "7.26", "Publish in the DNS"), "domain"),
        (Reject(550, "7.20", "no key"), "domain"),
        (Reject(530, "7.0", "Log in first"), "login_needed"),
        (Reject(535, "7.8", "wrong"), "login_wrong"),
        (Reject(552, "3.4", "larger"), "too_large"),
        (Reject(550, "6.0", "template"), "content"),
        (Reject(553, "6.7", "non-ASCII"), "smtputf8"),
        (Reject(501, "1.3", "bad address"), "syntax"),
        (Reject(503, "5.1", "Send EHLO first"), "syntax"),
        (Defer(452, "3.1", "nearly full"), "disk_full"),
        (Defer(451, "3.0", "could not store"), "failure"),
        (Defer(452, "5.3", "more recipients"), "too_many_recipients"),
        (Reject(554, "0.0", "from elsewhere"), "other"),
    ],
)
def test_reasons(error: Reject | Defer, reason: str) -> None:
    assert reason_of(error) == reason
    assert reason in REASONS


def test_no_refusal_of_ours_is_other() -> None:
    """What is written in the code, as far as code and detail stand there as words."""
    seen = 0
    for name, tree in MODULES.items():
        for node in ast.walk(tree):
            match node:
                case ast.Call(
                    func=ast.Name(id="Reject" | "Defer" as kind),
                    args=[ast.Constant(value=int(code)), ast.Constant(value=str(detail)), *_],
                ):
                    error = Reject(code, detail, "") if kind == "Reject" else Defer(code, detail, "")
                    assert reason_of(error) != "other", f"{name}:{node.lineno}"
                    seen += 1
    assert seen > 30
