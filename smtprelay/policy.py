"""May this sender, from this client, send? Whose limits does it count for, and with which credential does it leave?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from smtprelay.config import Config, Credential, Gateway
from smtprelay.message import Origin
from smtprelay.reply import Reject
from smtprelay.values import Rate, matches

DAY = 86_400_000


class Policy:
    """The rules about senders, from the configuration."""

    def __init__(self, config: Config) -> None:
        self._upstream = config.upstream
        self._accounts = {account.username: account for account in config.gateway.accounts}

    def check_sender(self, origin: Origin, address: str) -> None:
        """At MAIL for the reverse-path, after the dot for the author in `From:`.

        :raises Reject: 550 5.7.1.
        """
        account = self._accounts.get(origin.account)
        if origin.account and (account is None or not matches(account.senders, address)):
            raise Reject(
                550,
                "7.1",
                f"Account {origin.account} may not send as {address}: use one of its senders, "
                f"or add the address to senders of that account in [[gateway.accounts]]",
            )

    def credential_for(self, address: str) -> Credential:
        """The upstream credential for this sender; the null reverse-path is judged by the author.

        :raises Reject: 550 5.7.1: none is configured for it.
        """
        credential = self._upstream.credential_for(address)
        if credential is None:
            raise Reject(
                550,
                "7.1",
                f"No log-in at the smarthost is configured for {address}: add it to senders of one of "
                "[[upstream.credentials]], or send from an address that has one",
            )
        return credential


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: int


class Limits:
    """Rates and daily recipients, by account or trusted client. What is over them is held, never dropped or refused:
    the app may be compromised, or the limit wrong.

    :param today: recipients accepted since midnight UTC, by `Origin.key`, at start.
    :param suspended: accounts that an operator has stopped.
    """

    def __init__(self, gateway: Gateway, today: Mapping[str, int], suspended: set[str], now: int) -> None:
        self._gateway = gateway
        self._accounts = {account.username: account for account in gateway.accounts}
        self._buckets: dict[str, _Bucket] = {}
        self._day = now // DAY
        self._today = dict(today)
        self.suspended = suspended

    def reason_to_hold(self, origin: Origin, recipients: int, now: int) -> str:
        """Count a message. :returns: ``suspended``, ``recipients_per_day``, ``rate``, or ``""`` where it may go."""
        if origin.key in self.suspended:
            return "suspended"
        account = self._accounts.get(origin.account)
        per_day = account.recipients_per_day if account else self._gateway.client_recipients_per_day
        rate = account.rate if account else self._gateway.client_rate
        if not self._within_day(origin.key, recipients, per_day, now):
            return "recipients_per_day"
        if rate and not self._within_rate(origin.key, rate, now):
            return "rate"
        return ""

    def _within_day(self, key: str, recipients: int, limit: int, now: int) -> bool:
        if now // DAY != self._day:
            self._day = now // DAY
            self._today.clear()
        self._today[key] = self._today.get(key, 0) + recipients
        return not limit or self._today[key] <= limit

    def _within_rate(self, key: str, rate: Rate, now: int) -> bool:
        bucket = self._buckets.setdefault(key, _Bucket(rate.count, now))
        passed = max(now - bucket.at, 0)  # the clock may have been set back
        bucket.tokens = min(rate.count, bucket.tokens + passed * rate.count / rate.period)
        bucket.at = now
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True
