"""The values that stand in config.toml: their parsers (text in, a value or ValueError out), what is asked of them,
and, at the end, the types that `config` declares its keys with.

The text of each ValueError says what would have been right; `config` puts the key's place before it.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta, timezone
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo

from smtprelay.message import AddressError, normalise_domain, parse_address

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_SECOND = 1000
_UNITS_OF_TIME = {"ms": 1, "s": _SECOND, "m": 60 * _SECOND, "h": 3600 * _SECOND, "d": 86_400 * _SECOND}
_UNITS_OF_SIZE = {"": 1, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "kB": 10**3, "MB": 10**6, "GB": 10**9}
# Nine digits, so that no product overflows the spool's 64-bit integers.
_DURATION = re.compile(r"\s*([0-9]{1,9})\s*(ms|s|m|h|d)\s*")
_SIZE = re.compile(r"\s*([0-9]{1,15})\s*([A-Za-z]*)\s*")
_RATE = re.compile(r"\s*([1-9][0-9]{0,8})\s*/\s*(s|m|h|d)\s*")
_REPETITION = re.compile(r"\s*([1-9][0-9]{0,2})\s*")
MAX_NAME = 253  # octets of a domain name as it is written, RFC 1035 §2.3.4
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")  # RFC 1035 §2.3.4; underscores as in DKIM selectors
_LISTEN = re.compile(r"(?:\[(?P<ipv6>[^]]+)\]|(?P<host>[A-Za-z0-9_.-]+)):(?P<port>[0-9]{1,5})")
_FD = re.compile(r"fd:(?P<name>[!-9;-~]+)")  # sd_listen_fds_with_names(3): any visible character but the colon

# Nobody's own hosts fill more of the internet than this in one block, but for the addresses of local networks …
_WIDEST = {4: 8, 6: 19}
_LOCAL = (ipaddress.IPv6Network("fc00::/7"), ipaddress.IPv6Network("fe80::/10"))  # RFC 4193, RFC 4291 §2.5.6
# … nor a sixteenth of it in many blocks.
_MOST_OF_IPV4 = 2**32 // 16
# Where the whole of IPv4 stands within IPv6: RFC 4291 §2.5.5.2, RFC 6052 §2.1, RFC 4380 §2.6, RFC 3056 §2.
_IPV4_MAPPED = ipaddress.IPv6Network("::ffff:0:0/96")
_IPV4_WITHIN_IPV6 = (_IPV4_MAPPED, *map(ipaddress.IPv6Network, ("64:ff9b::/96", "2001::/32", "2002::/16")))


def parse_duration(text: object) -> int:
    """``"90s"``, ``"5m"``, ``"4h"``, ``"14d"`` → milliseconds."""
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if not match:
        raise ValueError('a duration is a number and a unit: "90s", "5m", "4h", "14d"')
    return int(match[1]) * _UNITS_OF_TIME[match[2]]


def parse_schedule(text: object) -> tuple[int, ...]:
    """``"1m, 5m*2, 4h"`` → delays in milliseconds."""
    problem = 'a schedule is a list of delays, each with an optional repetition: "1m, 5m*2, 15m, 1h*3, 4h"'
    if not isinstance(text, str):
        raise ValueError(problem)
    delays: list[int] = []
    for step in text.split(","):
        duration, star, times = step.partition("*")
        if not _DURATION.fullmatch(duration) or (star and not _REPETITION.fullmatch(times)):
            raise ValueError(problem)
        delays += [parse_duration(duration)] * (int(times) if star else 1)
    if 0 in delays:
        raise ValueError("a delay of 0 would try without end; 1s is the least that makes sense")
    return tuple(delays)


def parse_size(text: object) -> int:
    """``"25MiB"`` → octets; a plain number is octets already."""
    if isinstance(text, int) and not isinstance(text, bool):
        text = str(text)
    match = _SIZE.fullmatch(text) if isinstance(text, str) else None
    if not match or match[2] not in _UNITS_OF_SIZE:
        raise ValueError('a size is a number and a unit: "512KiB", "25MiB", "1GiB"')
    return int(match[1]) * _UNITS_OF_SIZE[match[2]]


@dataclass(frozen=True, slots=True)
class Rate:
    """``"100/m"``: a count in a period of milliseconds."""

    count: int
    period: int

    def __str__(self) -> str:
        unit = next(unit for unit, length in _UNITS_OF_TIME.items() if length == self.period)
        return f"{self.count}/{unit}"


def parse_rate(text: object) -> Rate:
    """``"100/s"``, ``"20000/h"``."""
    match = _RATE.fullmatch(text) if isinstance(text, str) else None
    if not match:
        raise ValueError('a rate is a count and a unit of time: "100/s", "20000/h"; "" is no limit')
    return Rate(int(match[1]), _UNITS_OF_TIME[match[2]])


def parse_domain(text: object) -> str:
    """A domain name, or a selector, as A-labels in lower case.

    :raises ValueError: where DNS could not hold it.
    """
    domain = normalise_domain(text) if isinstance(text, str) else ""
    if len(domain) > MAX_NAME or not all(_LABEL.fullmatch(label) for label in domain.split(".")):
        raise ValueError("a domain name is wanted, such as example.com")
    return domain


def parse_host(text: object) -> str:
    """A host's name, or its IP address without brackets."""
    if isinstance(text, str) and ":" in text:
        try:
            return str(ipaddress.IPv6Address(text))
        except ValueError:
            raise ValueError("a host's name or IP address is wanted; the port has a key of its own") from None
    return parse_domain(text)


def parse_sender(text: object) -> str:
    """An address, ``*@domain``, ``*@*.domain`` or ``*``, in the form that `matches` compares with."""
    if text == "*":
        return "*"
    local, at, domain = text.rpartition("@") if isinstance(text, str) else ("", "", "")
    if not (local and at) or local.strip() != local:
        raise ValueError('a sender is an address or a pattern: "app@example.com", "*@example.com", "*"')
    subdomains = "*." if domain.startswith("*.") else ""
    return f"{local.lower()}@{subdomains}{parse_domain(domain.removeprefix('*.'))}"


def matches(patterns: Iterable[str], address: str) -> bool:
    """Whether an address matches one of the patterns of ``senders``; case does not count, and only ``*`` is wild. A
    quoted local part is what it is without its quotes (RFC 5321 §4.1.2)."""
    address = _unquoted(address.lower())
    return any(fnmatchcase(address, _unquoted(p).replace("[", "[[]").replace("?", "[?]")) for p in patterns)


def _unquoted(address: str) -> str:
    local, at, domain = address.rpartition("@")
    if not local.startswith('"'):
        return address
    return re.sub(r"\\(.)", r"\1", local[1:-1]) + at + domain


@dataclass(frozen=True, slots=True)
class Listen:
    """An address to listen on: a host and a port, or a socket that the service manager passed (``fd:NAME``)."""

    host: str = ""
    port: int = 0
    fd_name: str = ""

    def __str__(self) -> str:
        if self.fd_name:
            return f"fd:{self.fd_name}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(text: object) -> Listen:
    """``"127.0.0.1:2525"``, ``"[::1]:2525"``, ``"fd:smtp"``."""
    if isinstance(text, str):
        if match := _FD.fullmatch(text):
            return Listen(fd_name=match["name"])
        match = _LISTEN.fullmatch(text)
        if match and int(match["port"]) <= 65535:
            if match["ipv6"]:
                ipaddress.IPv6Address(match["ipv6"])
            return Listen(match["ipv6"] or match["host"], int(match["port"]))
    raise ValueError('an address to listen on is "127.0.0.1:2525", "[::1]:2525", or "fd:NAME" for a systemd socket')


def is_address(text: str) -> bool:
    """Whether it is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def client_or_account(name: str) -> str:
    """`Origin.key` of whom a person calls so: an IPv6 address can be written in many ways."""
    return str(ipaddress.ip_address(name)) if is_address(name) else name


def is_loopback(host: str) -> bool:
    """Whether what goes to this host stays on this machine. A name other than localhost may be anything."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def parse_http_address(text: object) -> str:
    """``"https://ops.example.com/events"``; plain ``http`` to this machine only."""
    problem = 'an address such as "https://ops.example.com/events" is wanted; "http://" to 127.0.0.1 or [::1] only'
    try:
        parts = urlsplit(text if isinstance(text, str) else "")
        local = parts.hostname in ("127.0.0.1", "::1", "localhost")
        valid = bool(parts.hostname) and parts.port != 0  # a port that is none raises
    except ValueError:
        raise ValueError(problem) from None
    if not valid or parts.scheme not in (("http", "https") if local else ("https",)):
        raise ValueError(problem)
    if parts.username is not None:
        raise ValueError("leave the password out of the address: what is sent is signed with the secret")
    return parts.geturl()


BASE_URL = "https://www.bestedm.org/mm-ms/apinew/"  # of the platform's HTTP API
SHANGHAI = timezone(timedelta(hours=8), "Asia/Shanghai")  # the platform's days; no summer time there since 1991


def check_base_url(url: str, *, allow_insecure: bool) -> str:
    """The address with a slash at its end. :raises ValueError: it cannot be used; the text says what would be right."""
    problem = f'an address such as "{BASE_URL}" is wanted'
    try:
        parts = urlsplit(url)
        host = parse_host(parts.hostname)
        valid = parts.port != 0 and (is_address(host) or not host.rpartition(".")[2].isdecimal())
    except ValueError:
        raise ValueError(problem) from None
    if not valid or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise ValueError(problem)
    if " " in url or not url.isprintable():
        raise ValueError(problem)
    if parts.username is not None:
        raise ValueError("leave username and password out of the address: they have keys of their own")
    if parts.scheme == "http" and not allow_insecure:
        raise ValueError('"http://" would send the password readable: use "https://", or set allow_insecure = true')
    return parts.geturl().rstrip("/") + "/"  # a scheme in lower case, no lone "?" or "#"


def check_platform_username(username: str) -> str:
    """:raises ValueError: it cannot be used; the text says what would be right."""
    if ":" in username:
        raise ValueError("a username with a colon in it cannot log in (RFC 7617 §2): give the one that has none")
    return username


def place_of(http_address: str) -> str:
    """Host and port, for people to read: the path and the query of an address are often secret."""
    return urlsplit(http_address).netloc.lower()


def _address(text: object) -> str:
    try:
        return parse_address(text if isinstance(text, str) else "")
    except AddressError as error:
        raise ValueError("an address is wanted, such as ops@example.com") from error


_NAMESERVER_PORT = 53


def parse_nameserver(text: object) -> Listen:
    """``"127.0.0.1"``, ``"127.0.0.1:5353"``, ``"::1"``, ``"[::1]:5353"``: an IP address, and port 53 or another."""
    if isinstance(text, str):
        match = _LISTEN.fullmatch(text)
        address, port = (match["ipv6"] or match["host"], int(match["port"])) if match else (text, _NAMESERVER_PORT)
        try:
            ipaddress.ip_address(address)
        except ValueError:
            port = 0
        if 1 <= port <= 65535:
            return Listen(address, port)
    raise ValueError('a name server is an IP address, with its port where that is not 53: "127.0.0.1:5353", "[::1]:53"')


def parse_network(text: object) -> Network:
    """``"10.0.0.0/8"``; host bits must be zero. IPv4-mapped IPv6 becomes IPv4, as in `contains`."""
    if not isinstance(text, str):
        raise ValueError('a network is text, such as "10.0.0.0/8"')
    network = ipaddress.ip_network(text)
    if isinstance(network, ipaddress.IPv6Network) and network.subnet_of(_IPV4_MAPPED):
        return ipaddress.IPv4Network((network.network_address.packed[-4:], network.prefixlen - 96))
    return network


@lru_cache(maxsize=1024)
def contains(networks: tuple[Network, ...], address: str) -> bool:
    """Whether an IP address lies in one of the networks; IPv4-mapped IPv6 addresses count as IPv4."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return any(ip in network for network in networks if network.version == ip.version)


def refuse_open_relay(networks: tuple[Network, ...]) -> tuple[Network, ...]:
    """The networks themselves. :raises ValueError: where to trust them is to trust strangers."""
    advice = "Name your own networks, and give everyone else an account in [[gateway.accounts]]"
    for network in networks:
        if _holds_strangers(network):
            raise ValueError(
                f"{network} would make this an open relay: anyone there could send without logging in. {advice}"
            )
    ipv4 = ipaddress.collapse_addresses(n for n in networks if isinstance(n, ipaddress.IPv4Network))
    if sum(network.num_addresses for network in ipv4) > _MOST_OF_IPV4:
        raise ValueError(f"together these networks would make this an open relay. {advice}")
    return networks


def _holds_strangers(network: Network) -> bool:
    if isinstance(network, ipaddress.IPv4Network):
        return network.prefixlen < _WIDEST[4]
    if any(network.subnet_of(local) for local in _LOCAL):
        return False
    if network.prefixlen < _WIDEST[6] or any(network.supernet_of(whole) for whole in _IPV4_WITHIN_IPV6):
        return True
    return any(network.subnet_of(w) and network.prefixlen < w.prefixlen + _WIDEST[4] for w in _IPV4_WITHIN_IPV6)


def known_charsets(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names themselves. :raises ValueError: where Python cannot decode from one of them."""
    for name in names:
        try:
            b"    ".decode(name, "replace")
        except (LookupError, ValueError):  # "base64" is no character set, "a\0" no name
            raise ValueError(f"{name!r} is not a character set that Python knows") from None
    return names


# The types of keys: what a model's field is declared as.


def _base(info: ValidationInfo) -> Path:
    """The folder of the configuration file; the working directory for models that no file made."""
    return Path(info.context["base"]) if info.context else Path()


def _path(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("a path is wanted")
    return _base(info) / value


def _optional_path(value: object, info: ValidationInfo) -> Path | None:
    return None if value in ("", None) else _path(value, info)


def _spool_url(url: str, info: ValidationInfo) -> str:
    match = re.fullmatch(r"sqlite:///(.+)", url)
    if not match:
        raise ValueError('url is "sqlite:///FILE" (relative) or "sqlite:////FILE" (absolute)')
    return f"sqlite:///{_base(info) / match[1]}"


def _optional(parse: Callable[[object], object]) -> BeforeValidator:
    return BeforeValidator(lambda value: None if value in ("", None) else parse(value))


def _optional_text(parse: Callable[[object], object]) -> BeforeValidator:
    return BeforeValidator(lambda value: "" if value == "" else parse(value))


def unique(attribute: str, shown: Callable[[str], str] = str) -> AfterValidator:
    """For lists of models: no two with the same attribute.

    :param shown: what may be told of a value.
    """

    def check(items: tuple[object, ...]) -> tuple[object, ...]:
        doubles = [value for value, count in Counter(getattr(item, attribute) for item in items).items() if count > 1]
        if doubles:
            raise ValueError(f"{', '.join(map(shown, doubles))} stands here twice")
        return items

    return AfterValidator(check)


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _as_list(value: object) -> object:
    return () if value == "" else _as_tuple(value)


Duration = Annotated[int, BeforeValidator(parse_duration)]
PositiveDuration = Annotated[Duration, Field(gt=0)]
OptionalDuration = Annotated[int | None, _optional(parse_duration)]
Schedule = Annotated[tuple[int, ...], BeforeValidator(parse_schedule)]
Size = Annotated[int, BeforeValidator(parse_size)]
PositiveSize = Annotated[Size, Field(gt=0)]
OptionalRate = Annotated[Rate | None, _optional(parse_rate)]
Domain = Annotated[str, BeforeValidator(parse_domain)]
Host = Annotated[str, BeforeValidator(parse_host)]
Hosts = Annotated[tuple[Host, ...], Field(min_length=1), BeforeValidator(_as_tuple)]
Port = Annotated[int, Field(ge=1, le=65535)]
SenderPattern = Annotated[str, BeforeValidator(parse_sender)]
OptionalSenderPattern = Annotated[str, _optional_text(parse_sender)]
OptionalAddress = Annotated[str, _optional_text(_address)]
HTTPAddress = Annotated[str, BeforeValidator(parse_http_address)]
ListenAddress = Annotated[Listen, BeforeValidator(parse_listen)]
Listens = Annotated[tuple[ListenAddress, ...], BeforeValidator(_as_list)]
Nameserver = Annotated[Listen, BeforeValidator(parse_nameserver)]
NetworkRange = Annotated[Network, BeforeValidator(parse_network)]
Charsets = Annotated[tuple[str, ...], AfterValidator(known_charsets)]
RequiredPath = Annotated[Path, BeforeValidator(_path)]
OptionalPath = Annotated[Path | None, BeforeValidator(_optional_path)]
TrustedNetworks = Annotated[tuple[NetworkRange, ...], AfterValidator(refuse_open_relay)]
SpoolURL = Annotated[str, AfterValidator(_spool_url)]
