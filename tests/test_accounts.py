"""Accounts: argon2 off the loop, successes remembered."""

from __future__ import annotations

import pytest

from smtprelay import accounts as auth
from smtprelay.accounts import REMEMBERED, Accounts
from smtprelay.config import Account
from tests.gateway.wire import PASSWORD, PASSWORD_HASH


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes that argon2 was asked about."""
    asked: list[str] = []
    really = auth._matches

    def counting(password_hash: str, password: str) -> bool:
        asked.append(password_hash)
        return really(password_hash, password)

    monkeypatch.setattr(auth, "_matches", counting)
    return asked


@pytest.fixture
def now() -> list[float]:
    return [0.0]


@pytest.fixture
def accounts(now: list[float]) -> Accounts[Account]:
    return Accounts([Account(username="app", password_hash=PASSWORD_HASH)], clock=lambda: now[0])


async def test_a_success_is_remembered_for_ten_minutes(
    accounts: Accounts[Account], now: list[float], verifications: list[str]
) -> None:
    """Old apps log in for every message, and argon2 takes 30 ms."""
    for _ in range(3):
        assert await accounts.verify("app", PASSWORD)
    assert len(verifications) == 1
    now[0] = REMEMBERED + 1
    assert await accounts.verify("app", PASSWORD)
    assert len(verifications) == 2


async def test_a_wrong_password_is_not_helped_by_a_remembered_one(
    accounts: Accounts[Account], verifications: list[str]
) -> None:
    assert await accounts.verify("app", PASSWORD)
    assert await accounts.verify("app", PASSWORD + "x") is None
    assert await accounts.verify("app", "") is None
    assert len(verifications) == 3


async def test_an_unknown_name_takes_as_long_as_a_wrong_password(
    accounts: Accounts[Account], verifications: list[str]
) -> None:
    assert await accounts.verify("nobody", PASSWORD) is None
    assert len(verifications) == 1


def test_the_parameters_are_those_of_the_design() -> None:
    assert "$argon2id$v=19$m=19456,t=2,p=1$" in auth.hash_password("x")


async def test_other_accounts_and_nobody_is_remembered(accounts: Accounts[Account], verifications: list[str]) -> None:
    app = await accounts.verify("app", PASSWORD)
    assert app
    same = Account(username="app", password_hash=PASSWORD_HASH, senders=("*",))
    accounts.use([same])
    assert await accounts.verify("app", PASSWORD) is same
    assert len(verifications) == 2
    assert accounts.current(app) is same
    accounts.use([Account(username="app", password_hash=auth.hash_password("another"))])
    assert accounts.current(app) is None
    assert await accounts.verify("app", PASSWORD) is None
    accounts.use([])
    assert accounts.current(app) is None
    assert not accounts


async def test_a_log_in_that_is_verified_while_its_account_goes_is_none(
    accounts: Accounts[Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    def matches(_hash: str, _password: str) -> bool:
        accounts.use([])
        return True

    monkeypatch.setattr(auth, "_matches", matches)
    assert await accounts.verify("app", PASSWORD) is None
