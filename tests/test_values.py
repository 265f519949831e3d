"""The values that stand in config.toml."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtprelay.values import (
    Listen,
    Rate,
    contains,
    known_charsets,
    matches,
    parse_domain,
    parse_duration,
    parse_host,
    parse_listen,
    parse_network,
    parse_rate,
    parse_schedule,
    parse_sender,
    parse_size,
    refuse_open_relay,
)

MINUTE = 60_000
GOOD = [
    (parse_duration, "250ms", 250),
    (parse_duration, "90s", 90_000),
    (parse_duration, " 5 m ", 5 * MINUTE),
    (parse_duration, "4h", 240 * MINUTE),
    (parse_duration, "14d", 14 * 1440 * MINUTE),
    (parse_duration, "0s", 0),
    (parse_schedule, "1m", (MINUTE,)),
    (parse_schedule, "1m, 5m*2 , 1h * 3", (MINUTE, *[5 * MINUTE] * 2, *[60 * MINUTE] * 3)),
    (parse_size, "25MiB", 25 * 2**20),
    (parse_size, "1 GB", 10**9),
    (parse_size, "1024", 1024),
    (parse_size, 1024, 1024),
    (parse_rate, "100/s", Rate(100, 1000)),
    (parse_rate, "20000 / h", Rate(20_000, 60 * MINUTE)),
    (parse_domain, "Example.COM.", "example.com"),
    (parse_domain, "例子.中国", "xn--fsqu00a.xn--fiqs8s"),
    (parse_domain, "_dmarc.example.com", "_dmarc.example.com"),
    (parse_domain, "localhost", "localhost"),
    (parse_host, "smtp.bestedm.org", "smtp.bestedm.org"),
    (parse_host, "192.0.2.1", "192.0.2.1"),
    (parse_host, "2001:DB8::1", "2001:db8::1"),
    (parse_sender, "*", "*"),
    (parse_sender, "App@Example.com", "app@example.com"),
    (parse_sender, "*@例子.中国", "*@xn--fsqu00a.xn--fiqs8s"),
    (parse_sender, "*@*.Example.com", "*@*.example.com"),
    (parse_listen, "127.0.0.1:2525", Listen("127.0.0.1", 2525)),
    (parse_listen, "[::1]:25", Listen("::1", 25)),
    (parse_listen, "[fe80::1%eth0]:25", Listen("fe80::1%eth0", 25)),
    (parse_listen, "localhost:0", Listen("localhost", 0)),
    (parse_listen, "fd:smtp", Listen(fd_name="smtp")),
    (parse_network, "10.0.0.0/8", ipaddress.ip_network("10.0.0.0/8")),
    (parse_network, "192.0.2.1", ipaddress.ip_network("192.0.2.1/32")),
    (parse_network, "::ffff:10.0.0.0/104", ipaddress.ip_network("10.0.0.0/8")),
]
BAD: list[tuple[Callable[[object], object], list[object]]] = [
    (parse_duration, ["", "5", "m", "5 minutes", "-5m", "1.5h", "٣m", "9" * 10 + "d", 5, None, True]),
    (parse_schedule, ["", " ", ",", "1m,", "1m*0", "1m*x", "1m*1000", "m", "0s", "1m, 0s*2", 5, None]),
    (parse_size, ["", "MiB", "25 megabytes", "25mib", "-1", "1.5GiB", -1, True, 1.5, None]),
    (parse_rate, ["", "100", "0/s", "100/w", "/s", "-1/s", "1.5/s", 100, None]),
    (
        parse_domain,
        ["", ".", "a..b", "exa mple.com", "a@b.com", "-a.com", "a-.com", "a" * 64, "a." * 127 + "a", "a/b", 5],
    ),
    (parse_host, ["", "smtp.example.com:25", "[::1]", "smtp example", "::g", 5]),
    (parse_sender, ["", "app", "@example.com", "app@", "app@exa mple.com", " app@example.com", "app@*", "*@*", 5]),
    (
        parse_listen,
        ["", "2525", ":2525", "127.0.0.1", "::1:2525", "[::g]:25", "[::1]", "h:65536", "h:٣", "fd:", "fd:a b", 25],
    ),
    (parse_network, ["", "10.0.0.1/8", "10.0.0.0/33", "hosts", 10, None]),
]


@pytest.mark.parametrize(("parse", "text", "value"), GOOD)
def test_good(parse: Callable[[object], object], text: object, value: object) -> None:
    assert parse(text) == value


@pytest.mark.parametrize(("parse", "text"), [(parse, text) for parse, texts in BAD for text in texts])
def test_bad(parse: Callable[[object], object], text: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        parse(text)


LIKELY = st.text("0123456789 smhd,*/:.[]KMGiB@-x%\n٣", max_size=30)


@pytest.mark.parametrize("parse", [parse for parse, _ in BAD])
@given(text=LIKELY | st.text(st.characters()) | st.integers() | st.none() | st.lists(st.integers()))
def test_nothing_but_value_error(parse: Callable[[object], object], text: object) -> None:
    try:
        value = parse(text)
    except ValueError:
        return
    assert value == parse(text)


@given(st.integers(1, 10**9 - 1), st.sampled_from("smhd"))
def test_rate_as_text(count: int, unit: str) -> None:
    assert str(parse_rate(f"{count}/{unit}")) == f"{count}/{unit}"


@pytest.mark.parametrize("text", ["127.0.0.1:2525", "[::1]:25", "fd:smtp"])
def test_listen_as_text(text: str) -> None:
    assert str(parse_listen(text)) == text


@pytest.mark.parametrize(
    ("pattern", "address", "expected"),
    [
        ("*", "", True),
        ("*", "anyone@example.com", True),
        ("*@example.com", "App@Example.com", True),
        ("*@example.com", "app@mail.example.com", False),
        ("*@example.com", "app@example.com.evil.test", False),
        ("*@example.com", "", False),
        ("*@*.example.com", "app@mail.example.com", True),
        ("*@*.example.com", "app@example.com", False),
        ("app@example.com", "app@example.com", True),
        ("app?@example.com", "app1@example.com", False),
        ("app?@example.com", "app?@example.com", True),
        ("[a]@example.com", "a@example.com", False),
    ],
)
def test_matches(pattern: str, address: str, expected: bool) -> None:
    assert matches([parse_sender(pattern)], address) is expected
    assert not matches([], address)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("::ffff:127.0.0.1", True),
        ("fe80::1%eth0", True),
        ("192.0.2.1", False),
        ("::1", False),
        ("local", False),
        ("", False),
    ],
)
def test_contains(address: str, expected: bool) -> None:
    assert contains((parse_network("::ffff:127.0.0.0/104"), parse_network("fe80::/10")), address) is expected


@pytest.mark.parametrize(
    "networks",
    [
        ["0.0.0.0/0"],
        ["0.0.0.0/1", "128.0.0.0/1"],
        ["10.0.0.0/7"],
        [f"{n}.0.0.0/8" for n in range(0, 256, 2)],
        ["::/0"],
        ["::/1", "8000::/1"],
        ["2000::/3"],
        ["::ffff:0:0/96"],
        ["::ffff:0.0.0.0/97", "::ffff:128.0.0.0/97"],
        ["::/64"],
        ["64:ff9b::/96"],
        ["64:ff9b::/97"],
        ["2002::/16"],
        ["2002::/17"],
        ["2001::/32"],
        ["127.0.0.0/8", "0.0.0.0/0"],
    ],
)
def test_open_relay_in_any_disguise(networks: list[str]) -> None:
    with pytest.raises(ValueError, match="open relay"):
        refuse_open_relay(tuple(map(parse_network, networks)))


def test_own_networks() -> None:
    texts = [
        "127.0.0.0/8",
        "10.0.0.0/8",
        "11.0.0.0/8",
        "172.16.0.0/12",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
        "2001:db8::/32",
    ]
    networks = tuple(map(parse_network, texts))
    assert refuse_open_relay(networks) == networks
    assert refuse_open_relay(()) == ()


@pytest.mark.parametrize("name", ["gb18030", "GBK", "latin-1", "utf-16", "big5"])
def test_known_charset(name: str) -> None:
    assert known_charsets((name,)) == (name,)


@pytest.mark.parametrize("name", ["", "klingon", "base64", "rot13", "a\0b", "张"])
def test_unknown_charset(name: str) -> None:
    with pytest.raises(ValueError, match="not a character set"):
        known_charsets(("utf-8", name))
