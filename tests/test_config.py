"""config.toml: what is accepted, and what an operator is told about what is not."""

from __future__ import annotations

import codecs
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from smtprelay.config import Config, ConfigError, Event, parse_config, parse_control
from smtprelay.values import Listen, Rate, parse_network

BASE = Path("/etc/smtprelay")
EXAMPLE = Path(__file__).parent.parent / "config.example.toml"
HASH = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA"
CREDENTIAL = '[[upstream.credentials]]\nusername = "news@example.com"\npassword_env = "P"\n'
DOMAIN = '[[domains]]\nname = "example.com"\nkeys = [{ selector = "relay1", file = "relay1.pem" }]\n'
ACCOUNT = f'[[gateway.accounts]]\nusername = "billing"\npassword_hash = "{HASH}"\n'
LEAST = CREDENTIAL + DOMAIN
OPEN = '[status]\nlisten = "10.0.0.1:80"\ntls_certificate = "c.pem"\ntls_key = "k.pem"\n'
STATUS_ACCOUNT = f'[[status.accounts]]\nusername = "ops"\npassword_hash = "{HASH}"\n'
SANDBOX = '[upstream]\nmode = "sandbox"\n'
RULE = "[[upstream.rules]]\n"
WEBHOOK = '[[webhooks]]\nurl = "{}"\nsecret_file = "s"\n'
PLATFORM = '[[platform.accounts]]\nusername = "example"\npassword_env = "A"\n'
SECOND, MINUTE, HOUR, DAY = 1000, 60_000, 3_600_000, 86_400_000
EXPIRY = {"2": 7 * DAY, **dict.fromkeys(("1", "3", "5", "8", "9", "unsubscribed", "operator"), 0)}


def parse(text: str) -> Config:
    return parse_config(text.encode(), BASE)


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return list(caught.value.problems)


def test_defaults() -> None:
    """As the design's page on the configuration has them."""
    config = parse(LEAST)
    assert config.model_dump(exclude={"domains": True, "upstream": {"credentials"}}) == {
        "gateway": {
            "listen": tuple({"host": host, "port": 2525, "fd_name": ""} for host in ("127.0.0.1", "::1")),
            "listen_tls": (),
            "hostname": "localhost",
            "max_message_size": 25 * 2**20,
            "max_recipients": 1000,
            "max_connections": 500,
            "max_connections_per_client": 20,
            "trusted_networks": (parse_network("127.0.0.0/8"), parse_network("::1/128")),
            "plaintext_auth_networks": (parse_network("127.0.0.0/8"), parse_network("::1/128")),
            "tls_certificate": None,
            "tls_key": None,
            "client_rate": None,
            "client_recipients_per_day": 0,
            "accounts": (),
        },
        "repair": {"charsets": ("gb18030", "latin-1")},
        "spool": {"url": "sqlite:////var/lib/smtprelay/spool.db", "history": 14 * DAY, "min_free": 2**30},
        "upstream": {
            "mode": "live",
            "redirect_to": "",
            "rules": (),
            "host": ("smtp.bestedm.org",),
            "port": 25,
            "tls": "opportunistic",
            "tls_ca_file": None,
            "connections": 10,
            "messages_per_connection": 500,
            "recipients_per_transaction": 100,
            "rate": None,
            "timeouts": {
                "connect": 30 * SECOND,
                "greeting": 5 * MINUTE,
                "command": 5 * MINUTE,
                "data": 2 * MINUTE,
                "block": 3 * MINUTE,
                "dot": 10 * MINUTE,
            },
        },
        "retry": {
            "schedule": (MINUTE, 5 * MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, HOUR, HOUR, 4 * HOUR),
            "give_up_after": 5 * DAY,
            "ambiguous": "retry",
        },
        "domain_rules": {
            "on_failure": "reject",
            "require": ("spf", "mx"),
            "spf_include": "spf.bestedm.org",
            "mx": "mail.bestedm.org",
            "dkim_selector": "umail",
            "platform_dkim": "",
            "nameservers": (),
            "allow_other_domains": False,
        },
        "signing": {"on_missing_key": "reject", "rotation_overlap": 7 * DAY},
        "bounces": {"send_to": "reverse-path", "envelope": "null", "delay_warning": None},
        "suppression": {
            "action": "reject",
            "own_bounces": True,
            "expiry": EXPIRY,
        },
        "templates": {"directory": BASE / "templates"},
        "status": {
            "listen": ({"host": "127.0.0.1", "port": 8025, "fd_name": ""},),
            "control": Path("/run/smtprelay/control.sock"),
            "tls_certificate": None,
            "tls_key": None,
            "show_bodies": False,
            "accounts": (),
        },
        "platform": {"accounts": ()},
        "webhooks": (),
        "log": {"level": "info", "format": "auto", "addresses": "full"},
    }
    credential = config.upstream.credentials[0]
    assert (credential.key, credential.senders, credential.rewrite_sender) == ("news@example.com", ("*",), "never")
    assert (credential.host, credential.port, credential.tls, credential.rate) == (None, None, None, None)


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        (LEAST + '[gateway]\nlisten = ["fd:smtp"]', "gateway.listen", (Listen(fd_name="smtp"),)),
        (LEAST + '[gateway]\nhostname = "Relay.例子.中国"', "gateway.hostname", "relay.xn--fsqu00a.xn--fiqs8s"),
        (LEAST + "[gateway]\nmax_message_size = 1000", "gateway.max_message_size", 1000),
        (LEAST + '[gateway]\nclient_rate = "100/m"', "gateway.client_rate", Rate(100, MINUTE)),
        (LEAST + '[gateway]\ntls_certificate = "c.pem"\ntls_key = "/k.pem"', "gateway.tls_key", Path("/k.pem")),
        (LEAST + '[gateway]\ntls_certificate = "c.pem"\ntls_key = "/k.pem"', "gateway.tls_certificate", BASE / "c.pem"),
        (LEAST + ACCOUNT + 'rate = "5/s"', "gateway.accounts.0.rate", Rate(5, SECOND)),
        (LEAST + ACCOUNT + 'senders = ["*@Example.com"]', "gateway.accounts.0.senders", ("*@example.com",)),
        (LEAST + ACCOUNT + 'charsets = ["big5"]', "gateway.accounts.0.charsets", ("big5",)),
        (LEAST + '[spool]\nurl = "sqlite:///spool.db"', "spool.path", BASE / "spool.db"),
        (LEAST + '[spool]\nurl = "sqlite:////srv/spool.db"', "spool.path", Path("/srv/spool.db")),
        (LEAST, "spool.path", Path("/var/lib/smtprelay/spool.db")),
        (LEAST + '[upstream]\nhost = "b.example.com"', "upstream.host", ("b.example.com",)),
        (LEAST + '[upstream]\nhost = ["192.0.2.1", "2001:db8::1"]', "upstream.host", ("192.0.2.1", "2001:db8::1")),
        (LEAST + '[upstream.timeouts]\ndot = "1m"', "upstream.timeouts.dot", MINUTE),
        (CREDENTIAL + 'host = "b.example.com"\n' + DOMAIN, "upstream.credentials.0.host", ("b.example.com",)),
        (CREDENTIAL + 'name = "news"\n' + DOMAIN, "upstream.credentials.0.key", "news"),
        (LEAST.replace('env = "P"', 'file = "p"'), "upstream.credentials.0.password_file", BASE / "p"),
        (LEAST.replace('env = "P"', 'credential = "p"'), "upstream.credentials.0.password_credential", "p"),
        (f'[[upstream.credentials]]\nname = "open"\n{DOMAIN}', "upstream.credentials.0.key", "open"),
        (LEAST + '[retry]\nschedule = "1s*2"', "retry.schedule", (SECOND, SECOND)),
        (LEAST + '[bounces]\nsend_to = "Ops@Example.com"', "bounces.send_to", "Ops@example.com"),
        (LEAST + '[bounces]\ndelay_warning = "4h"', "bounces.delay_warning", 4 * HOUR),
        (LEAST + '[bounces]\ndelay_warning = ""', "bounces.delay_warning", None),
        (LEAST + '[suppression]\nexpiry = { 1 = "30d" }', "suppression.expiry", {**EXPIRY, "1": 30 * DAY}),
        (LEAST + '[suppression.expiry]\n2 = "never"', "suppression.expiry", {**EXPIRY, "2": 0}),
        (
            LEAST + '[suppression]\nexpiry = { 5 = "off", 4 = "2d" }',
            "suppression.expiry",
            {**EXPIRY, "5": None, "4": 2 * DAY},
        ),
        (LEAST + '[status]\ncontrol = "c.sock"', "status.control", BASE / "c.sock"),
        (LEAST + '[status]\nlisten = ""', "status.listen", ()),
        (LEAST + '[status]\nlisten = "[::1]:80"', "status.listen", (Listen("::1", 80),)),
        (LEAST + '[status]\nlisten = ["127.0.0.2:80", "localhost:81"]', "status.listen.1", Listen("localhost", 81)),
        (LEAST + OPEN + STATUS_ACCOUNT, "status.accounts.0.username", "ops"),
        (SANDBOX + DOMAIN, "upstream.credentials.0.key", "sandbox"),
        (SANDBOX + CREDENTIAL + DOMAIN, "upstream.credentials.0.key", "news@example.com"),
        (SANDBOX + DOMAIN, "upstream.credentials.0.senders", ("*",)),
        (
            LEAST + '[upstream]\nmode = "redirect"\nredirect_to = "QA@Example.com"',
            "upstream.redirect_to",
            "QA@example.com",
        ),
        (LEAST + RULE + 'recipient = "*@A.test"\naction = "capture"', "upstream.rules.0.recipient", "*@a.test"),
        # Written otherwise, it was nobody's, and the mail of a test system left.
        (LEAST + RULE + 'account = "FD00:0::1"\naction = "capture"', "upstream.rules.0.account", "fd00::1"),
        (LEAST + RULE + 'sender = "*"\naction = "redirect"\nto = "qa@A.test"', "upstream.rules.0.to", "qa@a.test"),
        (LEAST + WEBHOOK.format("https://a.test/x?t=1"), "webhooks.0.url", "https://a.test/x?t=1"),
        (LEAST + WEBHOOK.format("http://127.0.0.1:8/x"), "webhooks.0.secret_file", BASE / "s"),
        (LEAST + WEBHOOK.format("http://[::1]/"), "webhooks.0.events", get_args(Event)),
        (LEAST + PLATFORM, "platform.accounts.0.key", "example"),
        (LEAST + PLATFORM, "platform.accounts.0.base_url", "https://www.bestedm.org/mm-ms/apinew/"),
        (LEAST + PLATFORM, "platform.accounts.0.poll", 5 * MINUTE),
        (LEAST + PLATFORM, "platform.accounts.0.expiry_warning", 14 * DAY),
        (
            LEAST + PLATFORM + 'base_url = "https://edm.test/api"',
            "platform.accounts.0.base_url",
            "https://edm.test/api/",
        ),
        (
            LEAST + PLATFORM + 'base_url = "http://127.0.0.1:8/"\nallow_insecure = true',
            "platform.accounts.0.base_url",
            "http://127.0.0.1:8/",
        ),
        (
            LEAST + PLATFORM + 'credentials = ["news@example.com"]',
            "platform.accounts.0.credentials",
            ("news@example.com",),
        ),
        (LEAST, "domains.0.keys.0.file", BASE / "relay1.pem"),
        (
            CREDENTIAL + '[[domains]]\nname = "Example.com"\n[signing]\non_missing_key = "send-unsigned"',
            "domains.0.name",
            "example.com",
        ),
    ],
)
def test_good(text: str, path: str, value: object) -> None:
    found: Any = parse(text)
    for part in path.split("."):
        found = found[int(part)] if part.isdigit() else getattr(found, part)
    assert found == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (DOMAIN, "upstream: this is needed and missing"),
        (CREDENTIAL, "domains: this is needed and missing"),
        ("domains = []\n" + CREDENTIAL, "domains: at least one is needed"),
        (DOMAIN + "[upstream]\ncredentials = []", "upstream.credentials: at least one is needed"),
        ("gateway = 1\n" + LEAST, "gateway: a table is wanted here"),
        (LEAST + '[gateway]\nlisten = "127.0.0.1:25"', "gateway.listen: a list is wanted"),
        (LEAST + '[gateway]\nlisten = ["127.0.0.1:25", "25"]', "gateway.listen[2]: an address to listen on is"),
        (LEAST + '[gateway]\nhostname = "my host"', "gateway.hostname: a domain name is wanted"),
        (LEAST + '[gateway]\nmax_message_size = "0B"', "gateway.max_message_size: "),
        (LEAST + "[gateway]\nmax_recipients = 0", "gateway.max_recipients: "),
        (LEAST + '[gateway]\nclient_rate = "fast"', "gateway.client_rate: a rate is a count and a unit"),
        (
            LEAST + '[gateway]\ntrusted_networks = ["10.0.0.1/8"]',
            "gateway.trusted_networks[1]: 10.0.0.1/8 has host bits",
        ),
        (LEAST + '[gateway]\ntls_certificate = "c.pem"', "gateway: tls_certificate and tls_key go together"),
        (LEAST + '[gateway]\nlisten_tls = ["[::]:465"]', "gateway: listen_tls needs tls_certificate and tls_key"),
        (LEAST + ACCOUNT + ACCOUNT, "gateway.accounts: billing stands here twice"),
        (
            LEAST + ACCOUNT.replace("$argon2id", "secret"),
            "gateway.accounts[1].password_hash: this is not an argon2 hash",
        ),
        (LEAST + ACCOUNT + 'senders = ["app"]', "gateway.accounts[1].senders[1]: a sender is an address or a pattern"),
        (LEAST + ACCOUNT + 'charsets = ["x"]', "gateway.accounts[1].charsets: 'x' is not a character set"),
        (LEAST + ACCOUNT.replace('"billing"', '""'), "gateway.accounts[1].username: "),
        (LEAST + '[repair]\ncharsets = ["klingon"]', "repair.charsets: 'klingon' is not a character set"),
        (LEAST + '[spool]\nurl = "postgres://x"', "spool.url: url is"),
        (LEAST + '[spool]\nurl = "sqlite://x"', "spool.url: url is"),
        (LEAST + '[spool]\npath = "/x"', "spool.path: this key is not known"),
        (LEAST + '[spool]\nhistory = "14"', "spool.history: a duration is a number and a unit"),
        (LEAST + '[spool]\nmin_free = "x"', "spool.min_free: a size is a number and a unit"),
        (LEAST + '[upstream]\nhost = "smtp.example.com:25"', "upstream.host[1]: a host's name or IP address is wanted"),
        (LEAST + "[upstream]\nhost = []", "upstream.host: at least one is needed"),
        (LEAST + "[upstream]\nport = 65536", "upstream.port: "),
        (LEAST + '[upstream]\ntls = "ssl"', "upstream.tls: "),
        (LEAST + '[upstream.timeouts]\ndot = "0s"', "upstream.timeouts.dot: "),
        (LEAST + CREDENTIAL, "upstream.credentials: news@example.com stands here twice"),
        (CREDENTIAL + 'password_file = "p"\n' + DOMAIN, "upstream.credentials[1]: give exactly one of password_file"),
        (LEAST.replace('password_env = "P"', ""), "upstream.credentials[1]: give exactly one of password_file"),
        (LEAST.replace('username = "news@example.com"', ""), "upstream.credentials[1]: a password needs a username"),
        (
            "[[upstream.credentials]]\n" + DOMAIN,
            "upstream.credentials[1]: a credential without a username needs a name",
        ),
        (
            LEAST.replace("news@example.com", 'news"\nrewrite_sender = "from'),
            "upstream.credentials[1]: rewrite_sender needs a username that is an address",
        ),
        (
            LEAST + '[[webhooks]]\nurl = "https://ops.test/hook/S3CRET?token=1"\nsecret_env = "S"\n' * 2,
            "webhooks: an address at ops.test stands here twice",
        ),
        (LEAST + '[retry]\nschedule = "0s"', "retry.schedule: a delay of 0 would try without end"),
        (LEAST + '[retry]\nambiguous = "drop"', "retry.ambiguous: "),
        (LEAST + DOMAIN, "domains: example.com stands here twice"),
        (LEAST.replace("}]", '}, { selector = "RELAY1", file = "x" }]'), "domains[1].keys: relay1 stands here twice"),
        (LEAST.replace('"relay1.pem"', '""'), "domains[1].keys[1].file: a path is wanted"),
        (LEAST.replace('"relay1.pem"', '"a\\u0000"'), "domains[1].keys[1].file: a path is wanted"),
        (LEAST.replace(', file = "relay1.pem"', ""), "domains[1].keys[1].file: this is needed and missing"),
        (LEAST + '[bounces]\nsend_to = "ops"', 'bounces.send_to: "reverse-path", "none", or an address'),
        (LEAST + '[bounces]\ndelay_warning = "soon"', "bounces.delay_warning: a duration is a number and a unit"),
        (LEAST + '[suppression]\naction = "drop"', "suppression.action: "),
        (LEAST + '[suppression]\nexpiry = "7d"', "suppression.expiry: a table is wanted, by cause"),
        (LEAST + '[suppression]\nexpiry = { full = "7d" }', "suppression.expiry: full is no cause: the number of"),
        (LEAST + '[suppression]\nexpiry = { 04 = "7d" }', "suppression.expiry: 04 is no cause: the number of"),
        (LEAST + "[suppression]\nexpiry = { 2 = 7 }", "suppression.expiry: 2: a duration is a number and a unit"),
        (
            LEAST + '[suppression]\nexpiry = { 1 = "36501d" }',
            "suppression.expiry: 1: that is longer than a hundred years",
        ),
        (LEAST + '[suppression]\nexpiry = { 2 = "0d" }', "suppression.expiry: 2: an entry of no time is none"),
        (LEAST + '[suppression]\nexpiry = { operator = "off" }', "suppression.expiry: operator: what an operator"),
        (LEAST + '[status]\ncontrol = ""', "status.control: a path is wanted"),
        (LEAST + OPEN, "status: others can reach 10.0.0.1:80: set tls_certificate and tls_key, and an account"),
        (LEAST + OPEN.partition("tls")[0] + STATUS_ACCOUNT, "status: others can reach 10.0.0.1:80: set tls_cert"),
        (LEAST + '[status]\nlisten = "fd:page"', "status: others can reach fd:page"),
        (LEAST + '[status]\nlisten = "[::]:80"', "status: others can reach [::]:80"),
        (
            LEAST + STATUS_ACCOUNT.replace(HASH, "secret"),
            "status.accounts[1].password_hash: this is not an argon2 hash",
        ),
        (LEAST + '[upstream]\nmode = "redirect"', 'upstream: mode = "redirect" needs redirect_to'),
        (SANDBOX + 'redirect_to = "a@b.test"\n' + DOMAIN, "upstream: redirect_to belongs to"),
        (LEAST + '[upstream]\nmode = "redirect"\nredirect_to = "qa"', "upstream.redirect_to: an address is wanted"),
        (LEAST + RULE + 'action = "capture"', "upstream.rules[1]: say whose mail is meant"),
        (LEAST + RULE + 'sender = "*"\naction = "redirect"', 'upstream.rules[1]: action = "redirect" needs "to"'),
        (LEAST + RULE + 'sender = "*"\naction = "capture"\nto = "a@b.test"', 'upstream.rules[1]: "to" belongs to'),
        (LEAST + RULE + 'sender = "x"\naction = "deliver"', "upstream.rules[1].sender: a sender is an address or"),
        (LEAST + WEBHOOK.format("http://a.test/"), 'webhooks[1].url: an address such as "https://'),
        (LEAST + WEBHOOK.format("https://a.test:x/"), 'webhooks[1].url: an address such as "https://'),
        (LEAST + WEBHOOK.format("https://u:p@a.test/"), "webhooks[1].url: leave the password out of the address"),
        (LEAST + WEBHOOK.format("https://a.test/") + 'events = ["sent"]', "webhooks[1].events[1]: "),
        (LEAST + '[[webhooks]]\nurl = "https://a.test/"', "webhooks[1]: give exactly one of secret_file"),
        (LEAST + PLATFORM * 2, "platform.accounts: example stands here twice"),
        (LEAST + PLATFORM.replace("password_env", "name"), "platform.accounts[1]: give exactly one of password_file"),
        (LEAST + PLATFORM + 'base_url = "edm.test"', 'platform.accounts[1].base_url: an address such as "https://www.'),
        (LEAST + PLATFORM + 'base_url = "http://127.0.0.1:8/"', 'platform.accounts[1].base_url: "http://" would send'),
        (LEAST + PLATFORM + 'base_url = "https://u:p@edm.test/"', "platform.accounts[1].base_url: leave username"),
        # A reload with one of these was taken, and ended the daemon.
        (LEAST + PLATFORM.replace("example", "shop:1"), "platform.accounts[1].username: a username with a colon in it"),
        (LEAST + PLATFORM + 'base_url = "https://192.0.2.300/"', 'platform.accounts[1].base_url: an address such as "'),
        (LEAST + PLATFORM + 'base_url = "https://\u2603.test/"', 'platform.accounts[1].base_url: an address such as "'),
        (LEAST + PLATFORM + 'poll = "0s"', "platform.accounts[1].poll: "),
        (
            LEAST + PLATFORM + 'credentials = ["news"]',
            "platform.accounts[1].credentials: news is none of [[upstream.credentials]]; there are: news@example.com",
        ),
        (LEAST + '[log]\nlevel = "loud"', "log.level: "),
        (LEAST + "[gatewya]", "gatewya: this key is not known; see config.example.toml"),
        (LEAST + "[log]\ncolour = true", "log.colour: this key is not known"),
        (LEAST + "[log", "TOML: "),
        (LEAST + "[log]\nlevel = " + "9" * 5000, "TOML: "),
    ],
)
def test_bad(text: str, problem: str) -> None:
    found = problems(text)
    assert len(found) == 1
    assert found[0].startswith(problem)
    assert len(found[0]) > len(problem) or not problem.endswith(": ")


@pytest.mark.parametrize(
    "networks",
    ['"0.0.0.0/0"', '"0.0.0.0/1", "128.0.0.0/1"', '"::/0"', '"::ffff:0:0/96"', '"10.0.0.0/8", "::ffff:0.0.0.0/97"'],
)
def test_open_relay(networks: str) -> None:
    (problem,) = problems(LEAST + f"[gateway]\ntrusted_networks = [{networks}]")
    assert problem.startswith("gateway.trusted_networks: ")
    assert "open relay" in problem
    assert "[[gateway.accounts]]" in problem


def test_every_problem_is_reported_at_once() -> None:
    text = """
        [gateway]
        hostname = "my host"
        listen = ["x"]
        colour = "red"
        [upstream]
        port = 0
        [[upstream.credentials]]
        username = "a"
        port = "x"
        [[domains]]
        name = "example.com"
        [[domains.keys]]
        selector = "s"
        [retry]
        schedule = ""
    """
    assert [problem.partition(":")[0] for problem in problems(text)] == [
        "gateway.listen[1]",
        "gateway.hostname",
        "gateway.colour",
        "upstream.port",
        "upstream.credentials[1].port",
        "retry.schedule",
        "domains[1].keys[1].file",
    ]


def test_secrets_are_not_repeated() -> None:
    assert "hunter2" not in "\n".join(problems(LEAST + ACCOUNT.replace(HASH, "hunter2")))
    assert "hunter2" not in "\n".join(problems(LEAST + '[upstream]\npassword = "hunter2"'))


@pytest.mark.parametrize("octets", [codecs.BOM_UTF8 + LEAST.encode(), LEAST.replace("\n", "\r\n").encode()])
def test_windows_files_are_read(octets: bytes) -> None:
    assert parse_config(octets, BASE) == parse(LEAST)


@pytest.mark.parametrize(
    ("text", "control"),
    [
        ('spoool = 1\n[status]\ncontrol = "here.sock"\nlisten = 5', BASE / "here.sock"),
        ("[spool]\nurl = 5", Path("/run/smtprelay/control.sock")),
        # Where the name may be misspelt, the default one may be another daemon's.
        ('[stauts]\ncontrol = "here.sock"', None),
        ('[status]\ncontorl = "here.sock"', None),
        ("[status]\ncontrol = 5", None),
        ("status = 5", None),
        ("[status", None),
    ],
)
def test_where_the_daemon_answers_is_told_though_the_rest_is_wrong(text: str, control: Path | None) -> None:
    if control:
        assert parse_control(text.encode(), BASE) == control
    else:
        with pytest.raises(ConfigError):
            parse_control(text.encode(), BASE)


def test_other_encoding_is_told_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"^line 2: this is not UTF-8"):
        parse_config(b"# one\n# t\xe9\n", BASE)


def test_models_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(parse(LEAST).gateway, "hostname", "x")  # noqa: B010


def test_credential_is_picked_by_reverse_path() -> None:
    first = CREDENTIAL.replace('"P"', '"P"\nsenders = ["*@a.test"]')
    second = CREDENTIAL.replace("news", "rest").replace('"P"', '"P"\nsenders = ["*@b.test", "*@*.a.test"]')
    upstream = parse(first + second + DOMAIN).upstream
    picked = {path: upstream.credential_for(path) for path in ("x@a.test", "X@B.Test", "x@c.a.test", "x@c.test", "")}
    assert {path: credential and credential.key for path, credential in picked.items()} == {
        "x@a.test": "news@example.com",
        "X@B.Test": "rest@example.com",
        "x@c.a.test": "rest@example.com",
        "x@c.test": None,
        "": None,
    }


@given(st.binary() | st.text().map(str.encode) | st.text('[]=".,{}\n# abgatewyupsrmdoin01').map(str.encode))
def test_nothing_but_config_error(octets: bytes) -> None:
    with pytest.raises(ConfigError):
        parse_config(octets, BASE)


# config.example.toml: every key, with its default.

# Shown by an example, as a default would make no sense there.
EXAMPLES = {
    "gateway.accounts": {"username", "password_hash", "senders"},
    "upstream.credentials": {"senders", "username", "password_file"},
    "upstream.rules": {"recipient", "action"},
    "domains": {"name"},
    "domains.keys": {"selector", "file"},
    "status.accounts": {"username", "password_hash"},
    "platform.accounts": {"username", "password_file"},
    "webhooks": {"url", "secret_file"},
}
_LINE = re.compile(r"(?:# )?(?:\[+(?P<section>[\w.]+)\]+|(?P<key>\w+) = (?P<value>.+))")


def documented() -> dict[str, dict[str, Any]]:
    """Section → key → value, of the lines in comments too."""
    sections: dict[str, dict[str, Any]] = {}
    section = ""
    for line in EXAMPLE.read_text("utf-8").splitlines():
        match = _LINE.fullmatch(line)
        if match and match["section"]:
            section = match["section"]
            sections[section] = {}
        elif match:
            assert match["key"] not in sections[section]
            sections[section] |= tomllib.loads(f"{match['key']} = {match['value']}")
    return sections


def model_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(model_of, get_args(annotation))), None)


def models(model: type[BaseModel] = Config, path: str = "") -> Iterator[tuple[str, type[BaseModel], set[str]]]:
    """Section, its model, and those of its keys that are not sections themselves."""
    inner = {name: model_of(field.annotation) for name, field in model.model_fields.items()}
    own = {name for name, section in inner.items() if section is None}
    if path and own:
        yield path, model, own
    for name, section in inner.items():
        if section:
            yield from models(section, f"{path}.{name}".lstrip("."))


def test_example_is_valid() -> None:
    config = parse_config(EXAMPLE.read_bytes(), BASE)
    assert config.gateway == parse(LEAST).gateway
    assert config.domains[0].keys


def test_example_knows_every_key_and_no_other() -> None:
    assert {section: set(keys) for section, keys in documented().items()} == {path: keys for path, _, keys in models()}


@pytest.mark.parametrize(("section", "model"), [(path, model) for path, model, _ in models()])
def test_example_shows_the_defaults(section: str, model: type[BaseModel]) -> None:
    shown = documented()[section]
    if section == "upstream.credentials":  # where these are left out, those of [upstream] count
        for key in ("host", "port", "tls"):
            assert shown.pop(key) == documented()["upstream"][key]
    tables = {"credentials": [{"name": "any"}]} if section == "upstream" else {}
    read = model.model_validate(shown | tables, context={"base": BASE})
    for key in shown.keys() - EXAMPLES.get(section, set()):
        field = model.model_fields[key]
        default = BASE / field.default if field.validate_default else field.default  # a relative path
        assert getattr(read, key) == default, key
