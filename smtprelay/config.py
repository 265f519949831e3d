"""config.toml → validated, frozen models. Bytes in, `Config` or `ConfigError` out; no file is read here.

Every bad key is reported at once, each with its place. Relative paths are relative to the configuration file.
"""

from __future__ import annotations

import codecs
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from smtprelay.errors import SMTPRelayError
from smtprelay.message import AddressError, parse_address
from smtprelay.values import (
    Charsets,
    Domain,
    Duration,
    Hosts,
    Listen,
    ListenAddress,
    Nameserver,
    NetworkRange,
    OptionalDuration,
    OptionalPath,
    OptionalRate,
    Port,
    PositiveDuration,
    PositiveSize,
    RequiredPath,
    Schedule,
    SenderPattern,
    Size,
    SpoolURL,
    TrustedNetworks,
    matches,
    parse_duration,
    parse_network,
    parse_schedule,
    parse_size,
    unique,
)

TLSMode = Literal["none", "opportunistic", "starttls", "implicit"]

LOOPBACK = (parse_network("127.0.0.0/8"), parse_network("::1/128"))


class ConfigError(SMTPRelayError):
    """The configuration cannot be used.

    :ivar problems: one line each: the key's place, and what is wrong and what would be right.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class Section(BaseModel):
    """A table of the configuration: frozen; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Account(Section):
    """`[[gateway.accounts]]`: somebody who logs in to the gateway."""

    username: str = Field(min_length=1)
    password_hash: str
    senders: tuple[SenderPattern, ...] = ()
    templates: tuple[str, ...] = ("*",)
    charsets: Charsets = ()
    rate: OptionalRate = None
    recipients_per_day: int = Field(default=0, ge=0)

    @field_validator("password_hash")
    @classmethod
    def _is_argon2(cls, value: str) -> str:
        if not re.fullmatch(r"\$argon2(?:id|i|d)\$[^\s]+", value):
            raise ValueError("this is not an argon2 hash: make one with 'smtprelay hash-password'")
        return value


class Gateway(Section):
    """`[gateway]`: where apps hand in their mail."""

    listen: tuple[ListenAddress, ...] = (Listen("127.0.0.1", 2525), Listen("::1", 2525))
    listen_tls: tuple[ListenAddress, ...] = ()
    hostname: Domain = "localhost"
    max_message_size: PositiveSize = parse_size("25MiB")
    max_recipients: int = Field(default=1000, ge=1)
    max_connections: int = Field(default=500, ge=1)
    max_connections_per_client: int = Field(default=20, ge=1)
    trusted_networks: TrustedNetworks = LOOPBACK
    plaintext_auth_networks: tuple[NetworkRange, ...] = LOOPBACK
    tls_certificate: OptionalPath = None
    tls_key: OptionalPath = None
    client_rate: OptionalRate = None
    client_recipients_per_day: int = Field(default=0, ge=0)
    accounts: Annotated[tuple[Account, ...], unique("username")] = ()

    @model_validator(mode="after")
    def _has_tls_pair(self) -> Gateway:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key go together: set both or neither")
        if self.listen_tls and not self.tls_certificate:
            raise ValueError("listen_tls needs tls_certificate and tls_key")
        return self


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


class Timeouts(Section):
    """`[upstream.timeouts]`: how long to wait for the smarthost, by phase; RFC 5321 §4.5.3.2 sets the defaults."""

    connect: PositiveDuration = parse_duration("30s")
    greeting: PositiveDuration = parse_duration("5m")
    command: PositiveDuration = parse_duration("5m")
    data: PositiveDuration = parse_duration("2m")
    block: PositiveDuration = parse_duration("3m")
    dot: PositiveDuration = parse_duration("10m")


class Credential(Section):
    """`[[upstream.credentials]]`: a log-in at a smarthost, and who sends through it.

    `host`, `port` and `tls` are None where they do not stand here: those of `[upstream]` count then.
    """

    name: str = ""
    senders: tuple[SenderPattern, ...] = ("*",)
    username: str = ""
    password_file: OptionalPath = None
    password_env: str = ""
    password_credential: str = ""
    rewrite_sender: Literal["never", "envelope", "from"] = "never"
    host: Hosts | None = None
    port: Port | None = None
    tls: TLSMode | None = None
    rate: OptionalRate = None

    @model_validator(mode="after")
    def _has_one_password(self) -> Credential:
        sources = [self.password_file, self.password_env, self.password_credential]
        if self.username and sum(map(bool, sources)) != 1:
            raise ValueError("give exactly one of password_file, password_env, password_credential")
        if not self.username and any(sources):
            raise ValueError("a password needs a username")
        if not self.username and not self.name:
            raise ValueError("a credential without a username needs a name")
        if self.rewrite_sender != "never":
            try:
                parse_address(self.username)
            except AddressError as error:
                raise ValueError("rewrite_sender needs a username that is an address") from error
        return self

    @property
    def key(self) -> str:
        """The name that messages carry."""
        return self.name or self.username


class Upstream(Section):
    """`[upstream]`: the smarthost."""

    host: Hosts = ("smtp.bestedm.org",)
    port: Port = 25
    tls: TLSMode = "opportunistic"
    tls_ca_file: OptionalPath = None
    connections: int = Field(default=10, ge=1, le=1000)
    messages_per_connection: int = Field(default=500, ge=1)
    recipients_per_transaction: int = Field(default=100, ge=1)
    rate: OptionalRate = None
    timeouts: Timeouts = Timeouts()
    credentials: Annotated[tuple[Credential, ...], unique("key")] = Field(min_length=1)

    def credential_for(self, reverse_path: str) -> Credential | None:
        """The first one whose senders match."""
        return next((c for c in self.credentials if matches(c.senders, reverse_path)), None)


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


class Status(Section):
    """`[status]`: how an operator reaches the daemon."""

    control: RequiredPath = Path("/run/smtprelay/control.sock")


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
    templates: TemplatesSection
    status: Status = Status()
    log: Log = Log()


# Pydantic's words where they would puzzle an operator, by the type of error.
_WORDS: Mapping[str, str] = {
    "extra_forbidden": "this key is not known; see config.example.toml for those that are",
    "missing": "this is needed and missing",
    "model_type": "a table is wanted here",
    "too_short": "at least one is needed",
    "tuple_type": "a list is wanted",
}


def parse_config(data: bytes, base: Path) -> Config:
    """The configuration from the octets of its file.

    :param base: the folder of the file; relative paths start there.
    :raises ConfigError: with every problem that was found.
    """
    tables = parse_toml(data)
    try:
        # The default of [templates] is a relative path too.
        return Config.model_validate({"templates": {}, **tables}, context={"base": base})
    except ValidationError as error:
        raise ConfigError(problems(error)) from None  # the original shows values, and a value may be a secret


def parse_toml(data: bytes) -> dict[str, Any]:
    """The tables of a TOML file from its octets; a byte order mark does no harm.

    :raises ConfigError: where it is none.
    """
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"line {line}: this is not UTF-8; save the file as UTF-8"]) from error
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # or what the interpreter says of 5,000 digits or brackets
        raise ConfigError([f"TOML: {error}"]) from error


def problems(error: ValidationError, words: Mapping[str, str] = _WORDS) -> list[str]:
    """One line for each cause: where an item is bad, nothing is said of the list that it leaves too short.

    :param words: for people, in place of pydantic's, by the type of error.
    """
    details = error.errors(include_url=False, include_input=False)
    within = {detail["loc"][:depth] for detail in details for depth in range(len(detail["loc"]))}
    return [_problem(detail, words) for detail in details if not detail["loc"] or detail["loc"] not in within]


def _problem(detail: Any, words: Mapping[str, str]) -> str:
    place = ""
    for part in detail["loc"]:
        place += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if place else str(part)
    reason = words.get(detail["type"]) or detail["msg"].removeprefix("Value error, ")
    return f"{place}: {reason}" if place else reason
