"""What the platform says of sending domains, beside what DNS says here, and why the two may differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from smtprelay.cli.domain_text import prose
from smtprelay.config import PlatformAccount
from smtprelay.credentials import read_platform_password
from smtprelay.domains.verdict import Verdict

if TYPE_CHECKING:
    from smtprelay.platform import PlatformClient


@dataclass(frozen=True, slots=True)
class Told:
    """What the platform says of a domain.

    :param account: the name of the one that asked.
    :param status: 3 added and verified, 2 added, 1 verified, 0 neither; None where it does not tell.
    :param words: what that means, or why it does not tell.
    """

    account: str
    status: int | None
    words: str

    @property
    def is_added(self) -> bool:
        return self.status in (2, 3)

    @property
    def is_verified(self) -> bool:
        return self.status in (1, 3)

    def explanation(self, verdict: Verdict) -> str:
        """Why it differs from what is found here, and what to do; ``""`` where they agree, or one does not tell."""
        if self.status is None or verdict.unknown(("spf", "mx")):
            return ""
        if not self.is_added:
            return f"The platform does not know the domain: 'smtprelay domain add {verdict.domain}' adds it."
        verified_here = verdict.platform_status in (1, 3)
        if verified_here and not self.is_verified:
            return (
                "SPF and MX are right here, and the platform does not see that yet: the records are new, and its name "
                "servers keep the old ones for as long as these allowed; or they are not seen from everywhere."
            )
        if self.is_verified and not verified_here:
            return (
                "The platform sees SPF and MX that are right, and we do not: they were changed a moment ago, or "
                "[domain_rules] asks for another spf_include or mx, or asks nameservers that answer otherwise."
            )
        return ""

    def as_text(self, verdict: Verdict) -> str:
        """On lines, with why it differs."""
        status = "" if self.status is None else f"{self.status}: "
        told = f"{verdict.domain} at the platform ({self.account}): {status}{self.words}"
        return "\n".join(prose(sentence) for sentence in (told, self.explanation(verdict)) if sentence)

    def as_dict(self, verdict: Verdict) -> dict[str, Any]:
        """For ``--json``."""
        told = {"account": self.account, "status": self.status, "words": self.words}
        return {**told, "explanation": self.explanation(verdict)}


def client_of(account: PlatformAccount) -> PlatformClient:
    """:raises ValueError: its password cannot be read."""
    from smtprelay.platform import PlatformClient

    password = read_platform_password(account)
    return PlatformClient(account.username, password, account.base_url, allow_insecure=account.allow_insecure)


def ask_platform(accounts: Sequence[PlatformAccount], domains: Sequence[str]) -> dict[str, Told]:
    """What the platform says, by domain: of several accounts, to the one that knows it best. Nothing where there is no
    account."""
    told: dict[str, Told] = {}
    for account in accounts:
        for domain, new in _ask(account, domains).items():
            before = told.get(domain)
            if before is None or (new.status is not None and new.status > (before.status or -1)):
                told[domain] = new
    return told


def _ask(account: PlatformAccount, domains: Sequence[str]) -> dict[str, Told]:
    from smtprelay.platform import PlatformError

    try:
        with client_of(account) as platform:
            states = {state.domain.lower(): state.status for state in platform.domains.check(*domains)}
    except (PlatformError, ValueError) as error:
        return {domain: Told(account.key, None, f"it does not tell: {error}") for domain in domains}
    return {
        domain: Told(account.key, int(status), status.english)
        if (status := states.get(domain)) is not None and status.is_documented
        else Told(account.key, None, f"it does not tell: {status or 'the domain is not in its answer'}")
        for domain in domains
    }
