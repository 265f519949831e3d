"""`smtprelay check`: what it says of a configuration and its files, and of accounts of the platform."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from typer.testing import CliRunner

from smtprelay.cli.app import app
from smtprelay.platform import PlatformClient
from smtprelay.platform.account import SendType, Service, ServiceStatus, ServiceType
from smtprelay.sandbox.nameserver import NameServer
from smtprelay.signing import generate_key, load_key

CONFIG = """\
[spool]
url = "sqlite:///spool.db"
min_free = "0"
[signing]
on_missing_key = "send-unsigned"
[[upstream.credentials]]
name = "news"
[[domains]]
name = "example.com"
[gateway]
hostname = "relay.example.com"
"""
PAIR = 'tls_certificate = "tls.pem"\ntls_key = "tls.pem"\n'
sections = pytest.mark.parametrize(
    ("section", "more"), [("gateway", PAIR), ("status", f"[status]\n{PAIR}")], ids=["gateway", "status"]
)


def found(folder: Path, what: str, more: str = "", status: int = 0, config: str = CONFIG) -> list[tuple[str, str]]:
    """Result and detail of what is said of something."""
    file = folder / "config.toml"
    file.write_text(config + more)
    result = CliRunner().invoke(app, ["check", "--offline", "--json", "-c", str(file)])
    assert result.exit_code == status, result.output
    return [(f["result"], f["detail"]) for f in json.loads(result.stdout) if f["what"] == what]


@pytest.mark.parametrize(
    ("days", "result", "words", "status"),
    [
        (-1, "failed", "has expired", os.EX_CONFIG),
        (3, "warning", "expires in 2d 23h", 0),
        (20, "ok", "/tls.pem", 0),
    ],
)
@sections
def test_a_certificate_is_as_good_as_the_daemon_takes_it(
    tmp_path: Path, days: int, result: str, words: str, status: int, section: str, more: str
) -> None:
    """One that had expired was ok, while the daemon called the same file critical."""
    issued = trustme.CA().issue_cert("relay.example.com", not_after=datetime.now(UTC) + timedelta(days=days))
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "tls.pem")
    [(told, detail)] = found(tmp_path, "TLS", more, status)
    assert told == result
    assert words in detail
    assert f"[{section}]" in detail


@sections
def test_a_certificate_that_is_not_there(tmp_path: Path, section: str, more: str) -> None:
    """That of the page was not looked at."""
    told = f"[{section}] tls_certificate {tmp_path}/tls.pem cannot be read: No such file or directory"
    assert found(tmp_path, "TLS", more, os.EX_CONFIG) == [("failed", told)]


@pytest.mark.parametrize(
    ("hostname", "mode", "warned"),
    [
        ('hostname = "pop-os"', "live", '"pop-os"'),
        ("", "live", '"localhost"'),  # the default
        ('hostname = "relay.example.com"', "live", ""),
        ("", "sandbox", ""),  # nobody hears it
    ],
)
def test_a_hostname_that_the_smarthost_may_refuse(tmp_path: Path, hostname: str, mode: str, warned: str) -> None:
    """Only init told of it: who wrote the configuration by hand heard of it from the smarthost."""
    config = CONFIG.replace('hostname = "relay.example.com"', hostname)
    told = found(tmp_path, "hostname", f'[upstream]\nmode = "{mode}"\n', config=config)
    assert [result for result, _ in told] == (["warning"] if warned else [])
    assert all(f"set [gateway] hostname, now {warned}, to this machine's full name" in detail for _, detail in told)


def test_a_directory_of_templates_that_was_set_has_to_exist(tmp_path: Path) -> None:
    """Nothing was said, and the app heard 550. The default need not be there: most apps name no template."""
    told = f"[templates] directory {tmp_path}/tempaltes does not exist: mail that names a template is refused (550)"
    assert found(tmp_path, "templates", '[templates]\ndirectory = "tempaltes"') == [("warning", told)]
    assert found(tmp_path, "templates") == []


async def test_a_key_of_which_dns_has_another_one(tmp_path: Path) -> None:
    """The fault: it was ok, as the file is, while no receiver could verify what it signs."""
    for name in ("ours", "theirs"):
        (tmp_path / f"{name}.pem").write_bytes(generate_key("ed25519"))
    theirs = load_key((tmp_path / "theirs.pem").read_bytes(), "example.com", "relay1")
    zone = [
        'example.com. IN TXT "v=spf1 include:spf.bestedm.org -all"',
        "example.com. IN MX 10 mail.bestedm.org.",
        f'{theirs.record_name}. IN TXT "{theirs.record}"',
    ]
    async with NameServer(*zone) as dns:
        more = f'''keys = [{{ selector = "relay1", file = "ours.pem" }}]
[upstream]
mode = "sandbox"
[domain_rules]
nameservers = ["{dns.address}"]'''
        config = CONFIG.replace('name = "example.com"', f'name = "example.com"\n{more}')
        (tmp_path / "config.toml").write_text(config)
        command = ["check", "--json", "-c", str(tmp_path / "config.toml")]
        result = await asyncio.to_thread(CliRunner().invoke, app, command)
    assert result.exit_code == 0, result.output
    found = [(f["result"], f["detail"]) for f in json.loads(result.stdout) if f["what"] == "domain"]
    assert [level for level, _ in found] == ["ok", "ok", "warning"]
    assert "DKIM relay1: the key at relay1._domainkey.example.com is another one than our key; publish" in found[-1][1]


ACCOUNT = """
[upstream]
mode = "sandbox"
[domain_rules]
on_failure = "off"
[[platform.accounts]]
username = "example"
password_env = "PLATFORM"
"""
SERVICE = Service(
    7, ServiceStatus.ENABLED, ServiceType.ALL, SendType.LOCAL, date(2026, 1, 1), date(2099, 12, 31), 5000, 9000
)


@pytest.mark.parametrize(
    ("service", "told", "status"),
    [
        ({}, [("ok", "example: enabled, 5,000 left, until 2099-12-31")], os.EX_OK),
        (
            {"available": 5},
            [("ok", "example: enabled, 5 left"), ("warning", "The quota of example runs low")],
            os.EX_OK,
        ),
        ({"available": 0}, [("failed", "The quota of example is used up")], os.EX_UNAVAILABLE),
        ({"status": ServiceStatus.DISABLED}, [("failed", "The platform has disabled")], os.EX_UNAVAILABLE),
        ({"ends": date(2026, 1, 31)}, [("failed", "The service of example at the platform ended")], os.EX_UNAVAILABLE),
    ],
)
def test_an_account_is_as_good_as_the_daemon_takes_it(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    service: dict[str, Any],
    told: list[tuple[str, str]],
    status: int,
) -> None:
    """The fault: one that was disabled or had ended was ok, while /readyz called it critical."""
    monkeypatch.setattr(PlatformClient, "send", lambda client, call: replace(SERVICE, **service))
    monkeypatch.setenv("PLATFORM", "secret")
    (tmp_path / "config.toml").write_text(CONFIG + ACCOUNT)
    result = CliRunner().invoke(app, ["check", "--json", "-c", str(tmp_path / "config.toml")])
    assert result.exit_code == status, result.output
    [_, *found] = [(f["result"], f["detail"]) for f in json.loads(result.stdout) if f["what"] == "platform"]
    assert [(level, detail[: len(begin)]) for (level, detail), (_, begin) in zip(found, told, strict=True)] == told
