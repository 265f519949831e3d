"""May this sender, from this client, send? Whose limits does it count for, and with which credential does it leave?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from smtprelay.config import Config, Credential, Gateway
from smtprelay.domains.verdict import Finding, Record, Verdict
from smtprelay.message import Message, Origin, domain_of, parse_address
from smtprelay.reply import Reject
from smtprelay.values import Rate, matches

DAY = 86_400_000


class Policy:
    """The rules about senders, from the configuration."""

    def __init__(self, config: Config) -> None:
        self._upstream = config.upstream
        self._accounts = {account.username: account for account in config.gateway.accounts}
        self._credentials = {credential.key: credential for credential in config.upstream.credentials}

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

    def check_template(self, origin: Origin, template: str) -> None:
        """:raises Reject: 550 5.7.1: the account may not use this template."""
        account = self._accounts.get(origin.account)
        if origin.account and not (account and any(fnmatchcase(template, name) for name in account.templates)):
            raise Reject(
                550,
                "7.1",
                f"Account {origin.account} may not use the template {template}: add it to templates of that account "
                "in [[gateway.accounts]]",
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

    def domains_of(self, message: Message) -> tuple[str, ...]:
        """The domains that a message leaves in the name of: of its reverse-path, as its credential has it, and of its
        `From:`."""
        credential = self._credentials.get(message.credential)
        reverse_path = message.envelope.reverse_path
        envelope = leaving_domain(credential, reverse_path) if credential else domain_of(reverse_path)
        return tuple(domain for domain in dict.fromkeys((envelope, message.author_domain)) if domain)


def leaving_domain(credential: Credential, reverse_path: str) -> str:
    """The domain of the reverse-path that the smarthost will see; ``""`` for the null reverse-path."""
    rewritten = reverse_path and credential.rewrite_sender != "never"
    return domain_of(parse_address(credential.username) if rewritten else reverse_path)


class NotSetUp(Reject):
    """A domain does not meet the platform's rules."""


class Gate:
    """The platform's domain rules at the door: no mail is taken that would be lost.

    :param ask: how a domain stands, or None where DNS has not told (`Watch.verdict`).
    """

    def __init__(self, config: Config, ask: Callable[[str], Awaitable[Verdict | None]]) -> None:
        self._rules = config.domain_rules
        self._listed = {domain.name for domain in config.domains}
        self._ask = ask

    async def admit(self, domain: str) -> str:
        """See `judge`; waits for DNS where nothing is known of the domain."""
        self._check_listed(domain)
        return self.judge(domain, None if self._rules.on_failure == "off" else await self._ask(domain))

    def judge(self, domain: str, verdict: Verdict | None) -> str:
        """What becomes of a domain's mail. Never a temporary refusal: these apps do not try again.

        :returns: a reason to hold it: ``dns``, DNS has not told; ``domain``, it is not set up; or ``""``: it may go.
        :raises Reject: the domain may not send, or is not set up; the sentence has the records to publish.
        """
        self._check_listed(domain)
        if self._rules.on_failure == "off":
            return ""
        failing = verdict.failing(self._rules.require) if verdict else ()
        if failing and self._rules.on_failure == "reject":
            raise _refusal(domain, failing)
        if failing:
            return "domain" if self._rules.on_failure == "hold" else ""
        unknown = verdict is None or verdict.unknown(self._rules.require)
        return "dns" if unknown and self._rules.on_failure != "warn" else ""

    def lists(self, domain: str) -> bool:
        """Whether a domain may send at all."""
        return self._rules.allow_other_domains or domain in self._listed

    def _check_listed(self, domain: str) -> None:
        if domain.startswith("["):
            raise Reject(550, "7.1", f"{domain} is no domain that could be set up: send from an address with a domain")
        if not self.lists(domain):
            raise Reject(
                550,
                "7.1",
                f"{domain} is not among the domains that may send here: add it to [[domains]] "
                f"('smtprelay domain check {domain}' tells whether it is set up), or set [domain_rules] "
                "allow_other_domains = true",
            )


def _refusal(domain: str, failing: Sequence[Finding]) -> NotSetUp:
    """The records first: a client that reads one line of 512 octets must see them."""
    lines = []
    for finding in failing:
        if finding.publish:
            lines += [f"Publish in the DNS of {domain}:", *_zone_lines(finding.publish)]
            lines.append(f"because {finding.problem}.")
        else:
            lines.append(f"{finding.problem}.")
        if finding.remove:
            lines += ["And remove:", *_zone_lines(finding.remove)]
        lines += [f"Mind: {warning}." for warning in finding.warnings]
    lines.append(f"See 'smtprelay domain check {domain}', and send again.")
    # RFC 7372 §3.3: several checks that failed have a code of their own.
    code = failing[0].code if len(failing) == 1 else "7.26"
    return NotSetUp(550, code, "\n".join(lines))


def _zone_lines(records: Sequence[Record]) -> list[str]:
    return [line for record in records for line in record.zone_lines]


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
        self._buckets: dict[str, _Bucket] = {}
        self._day = now // DAY
        self._today = dict(today)
        self.suspended = suspended
        self.use(gateway)

    def use(self, gateway: Gateway) -> None:
        """Keep to other limits from now on. What was counted counts."""
        self._gateway = gateway
        self._accounts = {account.username: account for account in gateway.accounts}

    def knows(self, account: str) -> bool:
        """Whether there is such an account."""
        return account in self._accounts

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
