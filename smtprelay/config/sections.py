"""The other sections, and the whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from smtprelay.config.gateway import Gateway
from smtprelay.config.platform import Platform
from smtprelay.config.section import Section
from smtprelay.config.status import Status, Webhook
from smtprelay.config.suppression import SuppressionSection
from smtprelay.config.upstream import Upstream
from smtprelay.message import AddressError, parse_address
from smtprelay.values import (
    Charsets,
    Domain,
    Duration,
    Nameserver,
    OptionalDuration,
    RequiredPath,
    Schedule,
    Size,
    SpoolURL,
    parse_duration,
    parse_schedule,
    parse_size,
    place_of,
    unique,
)


class Repair(Section):
    """`[repair]`: how bytes without a declared character set are read."""

    charsets: Charsets = ("gb18030", "latin-1")


class SpoolSection(Section):
    """`[spool]`: where messages wait; the path in `url` is absolute once it is read."""

    url: SpoolURL = "sqlite:////var/lib/smtprelay/spool.db"
    history: Duration = parse_duration("14d")
    min_free: Size = parse_size("1GiB")

    @property
    def path(self) -> Path:
        """The file that `url` names."""
        return Path(self.url.removeprefix("sqlite:///"))


class Retry(Section):
    """`[retry]`: when a recipient is tried again, and for how long."""

    schedule: Schedule = parse_schedule("1m, 5m*2, 15m, 1h*3, 4h")
    give_up_after: Duration = parse_duration("5d")
    ambiguous: Literal["retry", "hold"] = "retry"


class DomainRules(Section):
    """`[domain_rules]`: what DNS must say of a domain that sends, and what becomes of its mail where it does not."""

    on_failure: Literal["reject", "hold", "warn", "off"] = "reject"
    require: tuple[Literal["spf", "mx", "dkim", "dmarc"], ...] = ("spf", "mx")
    spf_include: Domain = "spf.bestedm.org"
    mx: Domain = "mail.bestedm.org"
    dkim_selector: Domain = "umail"
    platform_dkim: str = ""
    nameservers: tuple[Nameserver, ...] = ()
    allow_other_domains: bool = False


class DomainKey(Section):
    """`[[domains.keys]]`: a private key of ours and the selector under which its public half is published."""

    selector: Domain
    file: RequiredPath


class DomainSection(Section):
    """`[[domains]]`: a sending domain."""

    name: Domain
    keys: Annotated[tuple[DomainKey, ...], unique("selector")] = ()


class Signing(Section):
    """`[signing]`: what becomes of mail from a domain without a key, and how long a key that was replaced is kept."""

    on_missing_key: Literal["reject", "send-unsigned"] = "reject"
    rotation_overlap: Duration = parse_duration("7d")


class Bounces(Section):
    """`[bounces]`: where delivery status notifications go, and from whom."""

    send_to: str = "reverse-path"
    envelope: Literal["null", "credential"] = "null"
    delay_warning: OptionalDuration = None

    @field_validator("send_to")
    @classmethod
    def _is_place(cls, value: str) -> str:
        if value in ("reverse-path", "none"):
            return value
        try:
            return parse_address(value)
        except AddressError as error:
            raise ValueError('"reverse-path", "none", or an address that a person reads') from error


class TemplatesSection(Section):
    """`[templates]`: where mail templates are."""

    directory: RequiredPath = Field(default="templates", validate_default=True)


class Log(Section):
    """`[log]`: what is written to standard output."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"
    addresses: Literal["full", "masked"] = "full"


class Config(Section):
    """The whole configuration."""

    gateway: Gateway = Gateway()
    repair: Repair = Repair()
    spool: SpoolSection = SpoolSection()
    upstream: Upstream
    retry: Retry = Retry()
    domain_rules: DomainRules = DomainRules()
    domains: Annotated[tuple[DomainSection, ...], unique("name")] = Field(min_length=1)
    signing: Signing = Signing()
    bounces: Bounces = Bounces()
    suppression: SuppressionSection = SuppressionSection()
    templates: TemplatesSection
    status: Status = Status()
    platform: Platform = Platform()
    webhooks: Annotated[tuple[Webhook, ...], unique("url", lambda url: f"an address at {place_of(url)}")] = ()
    log: Log = Log()

    @model_validator(mode="after")
    def _platform_knows_the_credentials(self) -> Config:
        known = [credential.key for credential in self.upstream.credentials]
        for number, account in enumerate(self.platform.accounts, 1):
            if unknown := [key for key in account.credentials if key not in known]:
                raise ValueError(
                    f"platform.accounts[{number}].credentials: {unknown[0]} is none of [[upstream.credentials]]; there "
                    f"are: {', '.join(known)}"
                )
        return self
