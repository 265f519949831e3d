"""config.toml → validated, frozen models. Bytes in, `Config` or `ConfigError` out; no file is read here.

Every bad key is reported at once, each with its place. Relative paths are relative to the configuration file.
"""

from __future__ import annotations

import codecs
import ipaddress
import re
import tomllib
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from smtprelay.message import AddressError, normalise_domain, parse_address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_SECOND = 1000
_UNITS_OF_TIME = {"ms": 1, "s": _SECOND, "m": 60 * _SECOND, "h": 3600 * _SECOND, "d": 86_400 * _SECOND}
_UNITS_OF_SIZE = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "kB": 10**3, "MB": 10**6, "GB": 10**9}
# A public network larger than this trusts strangers: nobody's own hosts fill a tenth of the internet.
_WIDEST_TRUSTED = {4: 8, 6: 16}
_IPV4_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")


class ConfigError(Exception):
    """The configuration cannot be used.

    :ivar problems: one line each: the key's place, and what is wrong and what would be right.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def parse_duration(text: object) -> int:
    """``"90s"``, ``"5m"``, ``"4h"``, ``"14d"`` → milliseconds."""
    match = re.fullmatch(r"\s*(\d+)\s*(ms|s|m|h|d)\s*", text) if isinstance(text, str) else None
    if not match:
        raise ValueError('a duration is a number and a unit: "90s", "5m", "4h", "14d"')
    return int(match[1]) * _UNITS_OF_TIME[match[2]]


def parse_size(text: object) -> int:
    """``"25MiB"`` → octets."""
    match = re.fullmatch(r"\s*(\d+)\s*(\w*)\s*", text) if isinstance(text, str) else None
    if isinstance(text, int) and not isinstance(text, bool) and text >= 0:
        return text
    if not match or match[2] not in _UNITS_OF_SIZE:
        raise ValueError('a size is a number and a unit: "512KiB", "25MiB", "1GiB"')
    return int(match[1]) * _UNITS_OF_SIZE[match[2]]


class Rate(BaseModel):
    """``"100/m"``: a count in a period of milliseconds."""

    model_config = ConfigDict(frozen=True)

    count: int
    period: int

    def __str__(self) -> str:
        unit = next(unit for unit, length in _UNITS_OF_TIME.items() if length == self.period)
        return f"{self.count}/{unit}"


def parse_rate(text: object) -> Rate | None:
    """``"100/s"``, ``"20000/h"``; ``""`` is no limit."""
    if text == "":
        return None
    match = re.fullmatch(r"\s*([1-9]\d*)\s*/\s*(s|m|h|d)\s*", text) if isinstance(text, str) else None
    if not match:
        raise ValueError('a rate is a count and a unit of time: "100/s", "20000/h"; "" is no limit')
    return Rate(count=int(match[1]), period=_UNITS_OF_TIME[match[2]])


def parse_schedule(text: object) -> tuple[int, ...]:
    """``"1m, 5m*2, 4h"`` → delays in milliseconds."""
    problem = 'a schedule is a list of delays, each with an optional repetition: "1m, 5m*2, 15m, 1h*3, 4h"'
    if not isinstance(text, str) or not text.strip():
        raise ValueError(problem)
    delays: list[int] = []
    for step in text.split(","):
        duration, star, times = step.partition("*")
        if star and not re.fullmatch(r"\s*[1-9]\d{0,2}\s*", times):
            raise ValueError(problem)
        delays += [parse_duration(duration)] * (int(times) if star else 1)
    return tuple(delays)


def _parse_domain(text: object) -> str:
    if not isinstance(text, str) or "@" in text or not re.fullmatch(r"\S+", text):
        raise ValueError("a domain name is wanted, such as example.com")
    return normalise_domain(text)


def _parse_senders(text: object) -> str:
    """An address, ``*@domain``, ``*@*.domain`` or ``*``, in the form `matches` compares with."""
    if not isinstance(text, str) or (text != "*" and "@" not in text):
        raise ValueError('a sender is an address or a pattern: "app@example.com", "*@example.com", "*"')
    local, at, domain = text.rpartition("@")
    return f"{local}{at}{normalise_domain(domain)}".lower()


def matches(patterns: Sequence[str], address: str) -> bool:
    """Whether an address matches one of the patterns of ``senders``; case does not count."""
    return any(fnmatchcase(address.lower(), pattern) for pattern in patterns)


class Listen(BaseModel):
    """An address to listen on: a host and a port, or a socket that the service manager passed (``fd:NAME``)."""

    model_config = ConfigDict(frozen=True)

    host: str = ""
    port: int = 0
    fd_name: str = ""

    def __str__(self) -> str:
        if self.fd_name:
            return f"fd:{self.fd_name}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(text: object) -> Listen:
    """``"127.0.0.1:2525"``, ``"[::1]:2525"``, ``"fd:smtp"``."""
    if isinstance(text, str) and text.startswith("fd:") and len(text) > 3:
        return Listen(fd_name=text[3:])
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%\w]+)\]|([\w.-]+)):(\d{1,5})", text) if isinstance(text, str) else None
    if not match or int(match[3]) > 65535:
        raise ValueError('an address to listen on is "127.0.0.1:2525", "[::1]:2525", or "fd:NAME" for a systemd socket')
    return Listen(host=match[1] or match[2], port=int(match[3]))


def parse_network(text: object) -> Network:
    """``"10.0.0.0/8"``; host bits must be zero."""
    if not isinstance(text, str):
        raise ValueError('a network is text, such as "10.0.0.0/8"')
    return ipaddress.ip_network(text)


Duration = Annotated[int, BeforeValidator(parse_duration)]
Size = Annotated[int, BeforeValidator(parse_size)]
OptionalRate = Annotated[Rate | None, BeforeValidator(parse_rate)]
Schedule = Annotated[tuple[int, ...], BeforeValidator(parse_schedule)]
Domain = Annotated[str, BeforeValidator(_parse_domain)]
SenderPattern = Annotated[str, BeforeValidator(_parse_senders)]
ListenAddress = Annotated[Listen, BeforeValidator(parse_listen)]
NetworkRange = Annotated[Network, BeforeValidator(parse_network)]


def _path(value: object, info: ValidationInfo) -> Path | None:
    if value == "":
        return None
    if not isinstance(value, str):
        raise ValueError("a path is text")
    return _base(info) / value


def _base(info: ValidationInfo) -> Path:
    assert info.context is not None
    base: Path = info.context["base"]
    return base


OptionalPath = Annotated[Path | None, BeforeValidator(_path)]


def _no_control_characters(text: str) -> str:
    if not text.isprintable():
        raise ValueError("control characters are not allowed here")
    return text


class Section(BaseModel):
    """A table of the configuration: frozen; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, arbitrary_types_allowed=True)


class Account(Section):
    """Somebody who logs in to the gateway."""

    username: str = Field(min_length=1)
    password_hash: str
    senders: tuple[SenderPattern, ...] = ()
    charsets: tuple[str, ...] = ()
    rate: OptionalRate = Field(default="", validate_default=True)
    recipients_per_day: int = Field(default=0, ge=0)

    @field_validator("password_hash")
    @classmethod
    def _is_argon2(cls, value: str) -> str:
        if not re.fullmatch(r"\$argon2(?:id|i|d)\$[^\s]+", value):
            raise ValueError("this is not an argon2 hash: make one with 'smtprelay hash-password'")
        return value

    @field_validator("charsets")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _known_charsets(value)


class Gateway(Section):
    """`[gateway]`: where apps hand in their mail."""

    listen: tuple[ListenAddress, ...] = ("127.0.0.1:2525", "[::1]:2525")  # type: ignore[assignment]
    listen_tls: tuple[ListenAddress, ...] = ()
    hostname: str = "localhost"
    max_message_size: Size = "25MiB"  # type: ignore[assignment]
    max_recipients: int = Field(default=1000, ge=1)
    max_connections: int = Field(default=500, ge=1)
    max_connections_per_client: int = Field(default=20, ge=1)
    trusted_networks: tuple[NetworkRange, ...] = ("127.0.0.0/8", "::1/128")  # type: ignore[assignment]
    plaintext_auth_networks: tuple[NetworkRange, ...] = ("127.0.0.0/8", "::1/128")  # type: ignore[assignment]
    tls_certificate: OptionalPath = Field(default="", validate_default=True)
    tls_key: OptionalPath = Field(default="", validate_default=True)
    client_rate: OptionalRate = Field(default="", validate_default=True)
    client_recipients_per_day: int = Field(default=0, ge=0)
    accounts: tuple[Account, ...] = ()

    @field_validator("hostname")
    @classmethod
    def _is_hostname(cls, value: str) -> str:
        return _parse_domain(value)

    @field_validator("trusted_networks")
    @classmethod
    def _is_no_open_relay(cls, value: tuple[Network, ...]) -> tuple[Network, ...]:
        for network in value:
            if network.prefixlen < _WIDEST_TRUSTED[network.version] or _covers_ipv4(network):
                raise ValueError(
                    f"{network} would make this an open relay: anyone there could send without logging in. "
                    "Name your own networks, and give everyone else an account in [[gateway.accounts]]"
                )
        return value

    @field_validator("accounts")
    @classmethod
    def _are_unique(cls, value: tuple[Account, ...]) -> tuple[Account, ...]:
        _unique("username", [account.username for account in value])
        return value

    @model_validator(mode="after")
    def _has_tls_pair(self) -> Gateway:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key go together: set both or neither")
        if self.listen_tls and not self.tls_certificate:
            raise ValueError("listen_tls needs tls_certificate and tls_key")
        return self


class Repair(Section):
    """`[repair]`."""

    charsets: tuple[str, ...] = ("gb18030", "latin-1")

    @field_validator("charsets")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _known_charsets(value)


class SpoolSection(Section):
    """`[spool]`: `path` is where the url points."""

    url: str = "sqlite:////var/lib/smtprelay/spool.db"
    history: Duration = "14d"  # type: ignore[assignment]
    min_free: Size = "1GiB"  # type: ignore[assignment]
    path: Path = Field(default=Path(), init=False, exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _find_path(cls, data: Any, info: ValidationInfo) -> Any:
        if not isinstance(data, dict) or "path" in data:
            raise ValueError("the spool's place is given by url")
        url = data.get("url", cls.model_fields["url"].default)
        match = re.fullmatch(r"sqlite:///(.+)", url) if isinstance(url, str) else None
        if not match:
            raise ValueError('url is "sqlite:///FILE" (relative) or "sqlite:////FILE" (absolute)')
        return {**data, "path": _base(info) / match[1]}


class Timeouts(Section):
    """`[upstream.timeouts]`: how long to wait for the smarthost, by phase; RFC 5321 §4.5.3.2 sets the defaults."""

    connect: Duration = "30s"  # type: ignore[assignment]
    greeting: Duration = "5m"  # type: ignore[assignment]
    command: Duration = "5m"  # type: ignore[assignment]
    data: Duration = "2m"  # type: ignore[assignment]
    block: Duration = "3m"  # type: ignore[assignment]
    dot: Duration = "10m"  # type: ignore[assignment]


TLSMode = Literal["none", "opportunistic", "starttls", "implicit"]


class Credential(Section):
    """`[[upstream.credentials]]`: a log-in at a smarthost, and who sends through it.

    What may stand in `[upstream]` too is None where it does not stand here; `Upstream` fills it in.
    """

    name: Annotated[str, BeforeValidator(str)] = ""
    senders: tuple[SenderPattern, ...] = ("*",)
    username: str = ""
    password_file: OptionalPath = Field(default="", validate_default=True)
    password_env: str = ""
    password_credential: str = ""
    rewrite_sender: Literal["never", "envelope", "from"] = "never"
    host: str | tuple[str, ...] | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    tls: TLSMode | None = None
    rate: OptionalRate = Field(default="", validate_default=True)

    @model_validator(mode="after")
    def _has_one_password(self) -> Credential:
        sources = [self.password_file, self.password_env, self.password_credential]
        if self.username and sum(map(bool, sources)) != 1:
            raise ValueError("give exactly one of password_file, password_env, password_credential")
        if not self.username and any(sources):
            raise ValueError("a password needs a username")
        if not self.username and not self.name:
            raise ValueError("a credential without a username needs a name")
        if self.rewrite_sender != "never" and "@" not in self.username:
            raise ValueError("rewrite_sender needs a username that is an address")
        return self

    @property
    def key(self) -> str:
        """The name that messages carry."""
        return self.name or self.username


class Upstream(Section):
    """`[upstream]`: the smarthost."""

    host: str | tuple[str, ...] = "smtp.bestedm.org"
    port: int = Field(default=25, ge=1, le=65535)
    tls: TLSMode = "opportunistic"
    tls_ca_file: OptionalPath = Field(default="", validate_default=True)
    connections: int = Field(default=10, ge=1, le=1000)
    messages_per_connection: int = Field(default=500, ge=1)
    recipients_per_transaction: int = Field(default=100, ge=1)
    rate: OptionalRate = Field(default="", validate_default=True)
    timeouts: Timeouts = Timeouts()
    credentials: tuple[Credential, ...] = Field(min_length=1)

    @field_validator("credentials")
    @classmethod
    def _are_unique(cls, value: tuple[Credential, ...]) -> tuple[Credential, ...]:
        _unique("name", [credential.key for credential in value])
        return value

    def credential_for(self, reverse_path: str) -> Credential | None:
        """The first one whose senders match."""
        return next((c for c in self.credentials if matches(c.senders, reverse_path)), None)


class Retry(Section):
    """`[retry]`."""

    schedule: Schedule = "1m, 5m*2, 15m, 1h*3, 4h"  # type: ignore[assignment]
    give_up_after: Duration = "5d"  # type: ignore[assignment]
    ambiguous: Literal["retry", "hold"] = "retry"


class DomainKey(Section):
    """`[[domains.keys]]`: a private key of ours and the selector under which its public half is published."""

    selector: Domain
    file: Annotated[Path, BeforeValidator(_path)]


class DomainSection(Section):
    """`[[domains]]`: a sending domain."""

    name: Domain
    keys: tuple[DomainKey, ...] = ()

    @field_validator("keys")
    @classmethod
    def _are_unique(cls, value: tuple[DomainKey, ...]) -> tuple[DomainKey, ...]:
        _unique("selector", [key.selector for key in value])
        return value


class Signing(Section):
    """`[signing]`."""

    on_missing_key: Literal["reject", "send-unsigned"] = "reject"


class Bounces(Section):
    """`[bounces]`: where delivery status notifications go, and from whom."""

    send_to: str = "reverse-path"
    envelope: Literal["null", "credential"] = "null"
    delay_warning: int | None = Field(default=None)

    @field_validator("send_to")
    @classmethod
    def _is_place(cls, value: str) -> str:
        if value in ("reverse-path", "none"):
            return value
        try:
            return parse_address(value)
        except AddressError as error:
            raise ValueError('"reverse-path", "none", or an address that a person reads') from error

    @field_validator("delay_warning", mode="before")
    @classmethod
    def _is_duration(cls, value: object) -> int | None:
        return None if value in (None, "") else parse_duration(value)


class Status(Section):
    """`[status]`."""

    control: Annotated[Path, BeforeValidator(_path)] = "/run/smtprelay/control.sock"  # type: ignore[assignment]


class Log(Section):
    """`[log]`."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"
    addresses: Literal["full", "masked"] = "full"


class Config(Section):
    """The whole configuration."""

    gateway: Gateway = Field(default_factory=dict, validate_default=True)
    repair: Repair = Field(default_factory=dict, validate_default=True)
    spool: SpoolSection = Field(default_factory=dict, validate_default=True)
    upstream: Upstream
    retry: Retry = Field(default_factory=dict, validate_default=True)
    domains: tuple[DomainSection, ...] = Field(min_length=1)
    signing: Signing = Field(default_factory=dict, validate_default=True)
    bounces: Bounces = Field(default_factory=dict, validate_default=True)
    status: Status = Field(default_factory=dict, validate_default=True)
    log: Log = Field(default_factory=dict, validate_default=True)

    @field_validator("domains")
    @classmethod
    def _are_unique(cls, value: tuple[DomainSection, ...]) -> tuple[DomainSection, ...]:
        _unique("name", [domain.name for domain in value])
        return value

    @model_validator(mode="after")
    def _has_keys(self) -> Config:
        keyless = [domain.name for domain in self.domains if not domain.keys]
        if keyless and self.signing.on_missing_key == "reject":
            raise ValueError(
                f"domains without [[domains.keys]]: {', '.join(keyless)}. Make a key with "
                "'smtprelay dkim keygen DOMAIN', or allow mail without a signature: "
                '[signing] on_missing_key = "send-unsigned"'
            )
        return self


def parse_config(data: bytes, base: Path) -> Config:
    """The configuration from the octets of its file.

    :param base: the folder of the file; relative paths start there.
    :raises ConfigError: with every problem that was found.
    """
    try:
        text = data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError([f"line {line}: this is not UTF-8; save the file as UTF-8"]) from error
    try:
        tables = tomllib.loads(text.replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"TOML: {error}"]) from error
    try:
        return Config.model_validate(tables, context={"base": base})
    except ValidationError as error:
        raise ConfigError([_problem(detail) for detail in error.errors(include_url=False)]) from None


def _problem(detail: Any) -> str:
    place = ""
    for part in detail["loc"]:
        place += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if place else str(part)
    words = {
        "extra_forbidden": "this key is not known; see config.example.toml for those that are",
        "missing": "this is needed and missing",
    }
    reason = words.get(detail["type"]) or detail["msg"].removeprefix("Value error, ")
    return f"{place}: {reason}" if place else reason


def _unique(key: str, values: Sequence[str]) -> None:
    doubles = {value for value in values if values.count(value) > 1}
    if doubles:
        raise ValueError(f"{key} stands twice: {', '.join(sorted(doubles))}")


def _known_charsets(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        try:
            codecs.lookup(name)
        except LookupError:
            raise ValueError(f"{name!r} is not a character set that Python knows") from None
    return names


def _covers_ipv4(network: Network) -> bool:
    """Whether an IPv6 network holds most of the IPv4-mapped addresses (RFC 4291 §2.5.5.2)."""
    if not isinstance(network, ipaddress.IPv6Network):
        return False
    return network.supernet_of(_IPV4_MAPPED) or (network.subnet_of(_IPV4_MAPPED) and network.prefixlen < 96 + 8)


def contains(networks: Sequence[Network], address: str) -> bool:
    """Whether an IP address lies in one of the networks; IPv4-mapped IPv6 addresses count as IPv4."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return any(ip in network for network in networks if network.version == ip.version)
