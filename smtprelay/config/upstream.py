"""`[upstream]`: the smarthost, who logs in there, and who is really mailed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from smtprelay.config.section import Section
from smtprelay.message import AddressError, parse_address
from smtprelay.values import (
    Hosts,
    OptionalAddress,
    OptionalPath,
    OptionalRate,
    OptionalSenderPattern,
    Port,
    PositiveDuration,
    SenderPattern,
    client_or_account,
    matches,
    parse_duration,
    unique,
)

TLSMode = Literal["none", "opportunistic", "starttls", "implicit"]


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


class Rule(Section):
    """`[[upstream.rules]]`: what becomes of the mail that matches all that is given, in place of `mode`."""

    account: Annotated[str, AfterValidator(client_or_account)] = ""
    sender: OptionalSenderPattern = ""
    recipient: OptionalSenderPattern = ""
    action: Literal["deliver", "capture", "redirect"]
    to: OptionalAddress = ""

    @model_validator(mode="after")
    def _says_whom_and_where(self) -> Rule:
        if not (self.account or self.sender or self.recipient):
            raise ValueError('say whose mail is meant: account, sender or recipient; "*" is every one')
        if self.action == "redirect" and not self.to:
            raise ValueError('action = "redirect" needs "to", the address that the mail goes to')
        if self.to and self.action != "redirect":
            raise ValueError('"to" belongs to action = "redirect": set that, or take "to" out')
        return self


# What mail leaves through where none of it leaves.
_SANDBOX = ({"name": "sandbox"},)


def _says_send(rules: object) -> bool:
    """Whether there is a rule, as it stands in the file, by which something leaves."""
    return isinstance(rules, list) and any(isinstance(r, dict) and r.get("action") != "capture" for r in rules)


class Upstream(Section):
    """`[upstream]`: the smarthost."""

    mode: Literal["live", "sandbox", "redirect"] = "live"
    redirect_to: OptionalAddress = ""
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
    rules: tuple[Rule, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _sandbox_needs_no_credential(cls, tables: Any) -> Any:
        if isinstance(tables, dict) and tables.get("mode") == "sandbox" and not _says_send(tables.get("rules")):
            return {"credentials": _SANDBOX, **tables}
        return tables

    @model_validator(mode="after")
    def _redirects_somewhere(self) -> Upstream:
        if self.mode == "redirect" and not self.redirect_to:
            raise ValueError('mode = "redirect" needs redirect_to, the address that all mail goes to')
        if self.redirect_to and self.mode != "redirect":
            raise ValueError('redirect_to belongs to mode = "redirect": set that, or take redirect_to out')
        return self

    @property
    def log_ins(self) -> tuple[Credential, ...]:
        """The credentials that something may leave with: none where all mail stays here."""
        leaves = self.mode != "sandbox" or any(rule.action != "capture" for rule in self.rules)
        return self.credentials if leaves else ()

    def credential_for(self, reverse_path: str) -> Credential | None:
        """The first one whose senders match."""
        return next((c for c in self.credentials if matches(c.senders, reverse_path)), None)
