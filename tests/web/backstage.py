"""What stands behind the page in its tests: a real spool and operator, and stand-ins for what asks DNS and samples."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from smtprelay.config import Config, parse_config
from smtprelay.control import Operator
from smtprelay.domains.verdict import Finding, Record, Status, Verdict
from smtprelay.health import Smarthosts
from smtprelay.keyring import KeyState, KeyStatus, Publication
from smtprelay.message import Envelope, Message, Origin, Recipient, new_id
from smtprelay.policy import Limits
from smtprelay.pulse import Point
from smtprelay.resolver import TXT, Absent, Answer
from smtprelay.scheduler import Credentials
from smtprelay.signing import SigningKey
from smtprelay.spool import Result, Waiting
from smtprelay.spool.sqlite import SQLiteSpool
from smtprelay.status import Backstage
from smtprelay.suppression_list import SuppressionList
from tests.gateway.wire import PASSWORD_HASH

CONFIG = """\
[gateway]
hostname = "relay.example.com"
[upstream]
{upstream}
[[upstream.credentials]]
name = "news"
username = "news@example.com"
password_env = "NEWS"
[[domains]]
name = "example.com"
[status]
{status}
{accounts}
"""
ACCOUNT = "ops"
ACCOUNTS = f"""\
[[status.accounts]]
username = "{ACCOUNT}"
password_hash = "{PASSWORD_HASH}"
"""
NOW = int(time.time() * 1000)
HOUR = 3_600_000


@dataclass
class StillPulse:
    """In place of `smtprelay.pulse.Pulse`."""

    last_hour: list[Point] = field(default_factory=list)
    now: Waiting = field(default_factory=lambda: Waiting({}))
    measured: int = 0

    def points(self) -> Sequence[Point]:
        return self.last_hour

    def waiting(self) -> Waiting:
        return self.now

    async def measure(self) -> None:
        self.measured += 1


@dataclass
class KnownHealth:
    """In place of `smtprelay.health.Health`."""

    wrong: list[Any] = field(default_factory=list)
    ways: list[Smarthosts] = field(default_factory=lambda: [Smarthosts("news", ("smtp.bestedm.org:25",), (), None)])

    def smarthosts(self) -> list[Smarthosts]:
        return self.ways

    def problems(self) -> list[Any]:
        return self.wrong

    def unready(self) -> list[Any]:
        return [problem for problem in self.wrong if problem.severity == "critical"]


@dataclass
class FewKeys:
    """In place of `smtprelay.keyring.Keyring`."""

    keys: list[KeyStatus] = field(default_factory=list)
    private: list[SigningKey] = field(default_factory=list)
    answers: asyncio.Event = field(default_factory=asyncio.Event)

    async def status(self) -> list[KeyStatus]:
        await self.answers.wait()
        return self.keys

    def signing(self) -> list[SigningKey]:
        return self.private


@dataclass
class OneLook:
    """In place of `smtprelay.watch.Watch`."""

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    looked: list[str] = field(default_factory=list)

    def known(self, domain: str) -> Verdict | None:
        return self.verdicts.get(domain)

    async def look_again(self, domain: str) -> Verdict:
        self.looked.append(domain)
        return self.verdicts[domain]


@dataclass
class Zone:
    """In place of a resolver."""

    txt_records: dict[str, Answer[TXT]] = field(default_factory=dict)

    async def txt(self, name: str) -> Answer[TXT]:
        return self.txt_records.get(name, Absent(False, NOW + HOUR))


@dataclass
class Behind:
    """A backstage, and what its stand-ins are."""

    config: Config
    spool: SQLiteSpool
    operator: Operator
    credentials: Credentials
    limits: Limits
    suppressions: SuppressionList
    pulse: StillPulse = field(default_factory=StillPulse)
    health: KnownHealth = field(default_factory=KnownHealth)
    keyring: FewKeys = field(default_factory=FewKeys)
    watch: OneLook = field(default_factory=OneLook)
    resolver: Zone = field(default_factory=Zone)

    @property
    def stage(self) -> Backstage:
        return cast("Backstage", self)

    async def put(self, *recipients: str, content: bytes = b"Subject: x\r\n\r\n", **parts: Any) -> str:
        """Keep a message. :returns: its id."""
        message = Message(
            id=new_id(NOW),
            envelope=Envelope(parts.pop("reverse_path", "app@example.com"), tuple(map(Recipient, recipients))),
            origin=Origin("127.0.0.1", "php", "ESMTP", parts.pop("account", "")),
            content=content,
            size=len(content),
            received_at=parts.pop("received_at", NOW),
            due_at=NOW,
            credential="news",
        )
        [stored] = await self.spool.put([replace(message, **parts)])
        return stored

    async def attempt(self, *results: Result) -> None:
        """Make an attempt on what is due, with these results for its recipients in their order."""
        [lease] = await self.spool.lease("test", NOW + HOUR, HOUR, 1, ["news"], 100)
        of = zip(lease.recipients, results, strict=True)
        await self.spool.finish(lease, NOW + HOUR, [replace(result, recipient=r.id) for r, result in of])


@asynccontextmanager
async def behind(
    folder: Path, *, accounts: str = ACCOUNTS, status: str = "", upstream: str = ""
) -> AsyncIterator[Behind]:
    """A backstage on a spool in this folder."""
    config = parse_config(CONFIG.format(accounts=accounts, status=status, upstream=upstream).encode(), folder)
    spool = await SQLiteSpool.open(folder / "spool.db", now=NOW)
    try:
        limits = Limits(config.gateway, {}, set(), NOW)
        credentials = Credentials(["news"], lambda: NOW)
        operator = Operator(spool, limits, credentials, lambda: None, lambda: NOW, about=dict)
        suppressions = SuppressionList(
            spool, lambda: config.suppression.expiry, lambda: config.spool.min_free, lambda: NOW
        )
        yield Behind(config, spool, operator, credentials, limits, suppressions)
    finally:
        await spool.close()


def bad_verdict(domain: str = "example.com") -> Verdict:
    """SPF fails."""
    record = Record(domain, "TXT", "v=spf1 include:spf.bestedm.org ~all")
    finding = Finding("spf", Status.FAIL, problem=f"{domain} has no SPF record", publish=(record,))
    return Verdict(domain, True, NOW, NOW + HOUR, (finding, Finding("mx", Status.PASS, found="mail.bestedm.org")))


def key(state: KeyState = KeyState.ACTIVE, domain: str = "example.com") -> KeyStatus:
    name, value = f"relay1._domainkey.{domain}", "k=rsa; p=MIG"
    return KeyStatus(
        domain, "relay1", "rsa", 2048, state, Publication.PUBLISHED, NOW, name, value, "/k.pem", True, 0, 0
    )
