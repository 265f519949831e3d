"""`smtprelay domain`, and what `smtprelay check` says of domains, before a real name server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from typer.testing import CliRunner, Result

from smtprelay.cli import domain, domain_add, domain_setup
from smtprelay.cli.app import app
from smtprelay.cli.configuration import load_config
from smtprelay.config import PlatformAccount
from smtprelay.keyfiles import kept_file, kept_folder, write_secret
from smtprelay.resolver import Resolver
from smtprelay.sandbox.nameserver import Fault, NameServer
from smtprelay.signing import SigningKey, generate_key, load_key
from smtprelay.values import Listen

CONFIG = """\
[upstream]
host = "127.0.0.1"
[[upstream.credentials]]
username = "news@example.com"
password_file = "platform.password"
[spool]
url = "sqlite:///spool.db"
min_free = "1MiB"
[domain_rules]
nameservers = ["{nameserver}"]
{rules}
[[domains]]
name = "example.com"
keys = [{{ selector = "relay1", file = "relay1.pem" }}]
[status]
control = "control.sock"
listen = "127.0.0.1:0"
"""
PLATFORM_SPF = 'spf.bestedm.org. IN TXT "v=spf1 ip4:192.0.2.0/24 -all"'
SPF = 'example.com. IN TXT "v=spf1 include:spf.bestedm.org -all"'
MX = "example.com. IN MX 10 mail.bestedm.org."


@dataclass
class Shell:
    """A folder with a configuration, and DNS."""

    folder: Path
    dns: NameServer
    key: SigningKey

    def configure(self, rules: str = "") -> None:
        (self.folder / "config.toml").write_text(CONFIG.format(nameserver=self.dns.address, rules=rules))

    @property
    def config(self) -> str:
        return str(self.folder / "config.toml")

    async def run(self, *arguments: str, status: int = 0) -> str:
        """What a command prints, of both streams."""
        result = await invoke(*arguments, "-c", self.config)
        assert result.exit_code == status, result.output
        return result.output

    async def json(self, *arguments: str, status: int = 0) -> Any:
        result = await invoke(*arguments, "-c", self.config, "--json")
        assert result.exit_code == status, result.output
        return json.loads(result.stdout)


async def invoke(*arguments: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, arguments)


@pytest.fixture
async def shell(tmp_path: Path) -> AsyncIterator[Shell]:
    pem = generate_key("rsa", 2048)
    (tmp_path / "relay1.pem").write_bytes(pem)
    (tmp_path / "platform.password").write_text("secret\n")
    async with NameServer(PLATFORM_SPF) as dns:
        shell = Shell(tmp_path, dns, load_key(pem, "example.com", "relay1"))
        shell.configure()
        yield shell


def publish(dns: NameServer, *zone_lines: str) -> None:
    for line in zone_lines:
        dns.publish(line)


async def test_a_domain_that_is_right(shell: Shell) -> None:
    publish(shell.dns, SPF, MX)
    text = await shell.run("domain", "check", "example.com")
    assert text.startswith(
        "example.com: all that is required passes\n  expected platform status 3: listed in [[domains]], and"
    )
    assert re.search(r"^  ok     SPF$", text, re.MULTILINE)
    assert re.search(r"^  ok     MX\n +found: 10 mail\.bestedm\.org$", text, re.MULTILINE)
    assert "FAILED" not in text
    # It is told what else there could be, as advice.
    assert re.search(r"^  advice DKIM relay1, not required$", text, re.MULTILINE)
    assert re.search(r"^  advice DMARC, not required$", text, re.MULTILINE)


async def test_a_domain_that_is_wrong_is_told_what_to_type_where(shell: Shell) -> None:
    publish(shell.dns, 'example.com. IN TXT "v=spf1 mx -all"', "example.com. IN MX 10 mx.example.com.")
    text = await shell.run("domain", "check", "example.com", status=os.EX_CONFIG)
    assert text.startswith("example.com: SPF, MX must be mended\n")
    [spf] = re.findall(r"^  FAILED SPF\n(.*?)\n\n", text, re.MULTILINE | re.DOTALL)
    assert "found: v=spf1 mx -all" in spf
    publish_part, _, replaced = spf.partition("In the place of:")
    assert re.search(
        r"^ +name +example\.com\n +type +TXT\n +value +v=spf1 .*include:spf\.bestedm\.org", publish_part, re.MULTILINE
    )
    assert re.search(r'^ +zone line +example\.com\. IN TXT "v=spf1 .*"$', publish_part, re.MULTILINE)
    assert re.search(r"^ +value +v=spf1 mx -all$", replaced, re.MULTILINE)
    [mx] = re.findall(r"^  FAILED MX\n(.*?)\n\n", text, re.MULTILINE | re.DOTALL)
    assert re.search(r"^ +type +MX\n +priority +20\n +value +mail\.bestedm\.org\n", mx, re.MULTILINE)
    assert f"\nTo wait until DNS has it: smtprelay domain check --watch example.com -c {shell.config}\n" in text
    assert "platform status 2" in text


async def test_output_is_plain_and_prose_fits_a_terminal(shell: Shell) -> None:
    publish(shell.dns, "example.com. IN MX 10 mx.example.com.")
    for command, status in (("check", os.EX_CONFIG), ("records", 0)):
        text = await shell.run("domain", command, "example.com", status=status)
        assert "\x1b" not in text
        for line in text.splitlines():
            assert len(line) <= 110 or shell.key.record[:40] in line or shell.config in line


async def test_a_record_is_not_broken(shell: Shell) -> None:
    text = await shell.run("domain", "check", "example.com", status=os.EX_CONFIG)
    assert f"value      {shell.key.record}\n" in text


async def test_what_records_prints_makes_the_domain_pass(shell: Shell) -> None:
    shell.configure('require = ["spf", "mx", "dkim", "dmarc"]')
    publish(
        shell.dns,
        'example.com. IN TXT "v=spf1 ip4:192.0.2.9 -all"',
        "example.com. IN MX 10 mx.example.com.",
        'relay1._domainkey.example.com. IN TXT "k=rsa; p="',
        '_dmarc.example.com. IN TXT "v=DMARC2"',
    )
    text = await shell.run("domain", "records", "example.com")
    replaced = re.findall(r"^; it takes the place of: (\S+)\. IN (\S+)", text, re.MULTILINE)
    assert replaced == [
        ("example.com", "TXT"),
        ("relay1._domainkey.example.com", "TXT"),
        ("_dmarc.example.com", "TXT"),
    ]
    for name, kind in replaced:
        shell.dns.withdraw(name, kind)
    publish(shell.dns, *(line for line in text.splitlines() if line and not line.startswith(";")))
    assert "must be mended" not in await shell.run("domain", "check", "example.com")
    again = await shell.run("domain", "records", "example.com")
    assert again.count("published already") == 4
    assert "ip4:192.0.2.9" in again
    assert "MX 10 mx.example.com." in again


async def test_records_as_json(shell: Shell) -> None:
    publish(shell.dns, SPF)
    lines = {line["rule"]: line for line in await shell.json("domain", "records", "example.com")}
    assert lines["SPF"]["state"] == "published"
    assert [record["zone_line"] for record in lines["SPF"]["records"]] == [SPF]
    assert lines["MX"]["state"] == "missing"
    assert lines["MX"]["records"][0]["value"] == "10 mail.bestedm.org"
    assert "".join(lines["DKIM relay1"]["records"][0]["strings"]) == shell.key.record
    assert lines["DKIM umail (the platform's)"]["records"] == []


async def test_other_records_of_the_same_name_are_not_listed(shell: Shell) -> None:
    publish(shell.dns, SPF, 'example.com. IN TXT "google-site-verification=x"')
    zone = await shell.run("domain", "records", "example.com")
    assert SPF in zone
    assert "google" not in zone


async def test_what_only_has_to_go_takes_nothings_place(shell: Shell) -> None:
    publish(shell.dns, SPF, MX, "example.com. IN MX 0 .")
    text = await shell.run("domain", "check", "example.com")
    assert re.search(r"^ +Remove:\n +name +example\.com\n +type +MX\n +priority +0\n +value +\.$", text, re.MULTILINE)


async def test_a_record_of_the_domain_above_is_named(shell: Shell) -> None:
    publish(shell.dns, '_dmarc.example.com. IN TXT "v=DMARC1; p=reject"')
    text = await shell.run("domain", "records", "mail.example.com")
    assert (
        "; DMARC: published already\n; v=DMARC1; p=reject (at _dmarc.example.com; for mail.example.com: reject)" in text
    )


async def test_check_as_json(shell: Shell) -> None:
    publish(shell.dns, SPF)
    [verdict] = await shell.json("domain", "check", "EXAMPLE.com.", status=os.EX_CONFIG)
    assert (verdict["domain"], verdict["passes"], verdict["platform_status"]) == ("example.com", False, 2)
    assert verdict["required"] == ["spf", "mx"]
    status = {finding["rule"]: finding["status"] for finding in verdict["findings"]}
    assert status == {"spf": "pass", "mx": "fail", "dkim": "fail", "platform_dkim": "fail", "dmarc": "fail"}
    [mx] = [finding for finding in verdict["findings"] if finding["rule"] == "mx"]
    assert mx["publish"][0]["zone_line"] == MX


@pytest.mark.parametrize(
    ("names", "status"),
    [
        (["example.com"], os.EX_OK),
        (["example.com", "broken.example"], os.EX_TEMPFAIL),
        (["example.com", "broken.example", "wrong.example"], os.EX_CONFIG),
    ],
)
async def test_the_worst_of_several_domains_decides(shell: Shell, names: Sequence[str], status: int) -> None:
    publish(shell.dns, SPF, MX)
    shell.dns.faults["broken.example"] = Fault.SERVFAIL
    verdicts = await shell.json("domain", "check", *names, status=status)
    assert [verdict["domain"] for verdict in verdicts] == names


async def test_dns_that_fails_is_said(shell: Shell) -> None:
    shell.dns.fault = Fault.SERVFAIL
    text = await shell.run("domain", "check", "example.com", status=os.EX_TEMPFAIL)
    assert "example.com: DNS does not tell SPF, MX; try again later\n" in text
    assert "FAILED" not in text
    assert "platform status" not in text
    zone = await shell.run("domain", "records", "example.com", status=os.EX_TEMPFAIL)
    assert len(re.findall(r"^; .*: DNS failed$", zone, re.MULTILINE)) == 5
    assert "this is for a domain that has no such record yet" in zone.replace("\n; ", " ")
    assert SPF in zone
    assert MX in zone
    assert '_dmarc.example.com. IN TXT "v=DMARC1; p=none"' in zone


async def test_a_record_that_leads_where_dns_fails_is_not_replaced(shell: Shell) -> None:
    record = 'example.com. IN TXT "v=spf1 include:broken.example include:spf.bestedm.org -all"'
    publish(shell.dns, record)
    shell.dns.faults["broken.example"] = Fault.SERVFAIL
    zone = await shell.run("domain", "records", "example.com", status=os.EX_TEMPFAIL)
    assert f"this is what stands there now\n{record}\n" in zone.replace("\n; ", " ")


@pytest.mark.parametrize(
    "name", ["", "a b", "app@example.com", "192.0.2.1", "example", "x..y", "é" * 70, f"{'a' * 64}.com"]
)
@pytest.mark.parametrize("command", ["check", "records"])
async def test_a_bad_name_is_refused_in_a_sentence(command: str, name: str) -> None:
    result = await invoke("domain", command, name)
    assert result.exit_code == os.EX_USAGE
    assert result.stderr.endswith("is not a domain name: give one such as example.com.\n")
    assert result.stderr.count("\n") == 1


async def test_key_files_that_cannot_be_read_are_said_and_nothing_else_is_lost(shell: Shell) -> None:
    shell.configure('require = ["spf", "mx", "dkim"]')
    publish(shell.dns, SPF, MX)
    (shell.folder / "relay1.pem").unlink()
    result = await invoke("domain", "check", "example.com", "-c", shell.config)
    assert result.exit_code == 0
    told = " ".join(result.stderr.split())
    assert f"selector relay1: {shell.folder}/relay1.pem cannot be read: No such file or directory." in told
    assert "nothing is said of our keys" in result.stderr
    assert "DKIM relay1" not in result.stdout
    assert "keygen" not in result.stdout


@pytest.fixture
async def bare_dns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncIterator[NameServer]:
    """No configuration at all, and DNS where the system's would be."""
    async with NameServer(PLATFORM_SPF) as dns:
        monkeypatch.delenv("SMTPRELAY_CONFIG", raising=False)
        monkeypatch.setattr(domain_setup, "DEFAULT_CONFIG", tmp_path / "none.toml")
        here = [Listen("127.0.0.1", dns.port)]
        monkeypatch.setattr(domain_setup, "Resolver", lambda nameservers, clock: Resolver(here, clock=clock))
        yield dns


async def test_who_has_no_configuration_yet_is_told_too(bare_dns: NameServer) -> None:
    publish(bare_dns, SPF, MX)
    result = await invoke("domain", "check", "example.com")
    assert result.exit_code == 0
    assert "none.toml does not exist" in result.stderr
    assert "smtprelay dkim keygen example.com" in result.stdout
    assert "platform status 1: verified, but not listed" in result.stdout
    assert (await invoke("domain", "records", "example.com")).exit_code == 0


async def test_a_configuration_that_is_named_has_to_exist(bare_dns: NameServer, tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.toml")
    result = await invoke("domain", "check", "example.com", "-c", missing)
    assert result.exit_code == os.EX_CONFIG
    assert bare_dns.questions == []


async def test_watch_ends_when_all_that_is_required_passes(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domain, "INTERVAL", 0.01)
    publish(shell.dns, SPF)
    watching = asyncio.create_task(shell.run("domain", "check", "--watch", "example.com"))
    # It asks again for what has not changed, and does not repeat itself.
    async with asyncio.timeout(10):
        while [question.type for question in shell.dns.questions].count("MX") < 3:
            await shell.dns.wait_for(len(shell.dns.questions) + 1)
    publish(shell.dns, MX)
    text = await watching
    assert re.findall(r"^example\.com: .*$", text, re.MULTILINE) == [
        "example.com: MX must be mended",
        "example.com: all that is required passes",
    ]
    assert "--watch" not in text
    assert text.count("Ctrl-C ends it") == 1


async def test_interrupt_ends_watch_with_what_was_seen(shell: Shell) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "smtprelay", "domain", "check", "--watch", "example.com", "-c", shell.config),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )
    assert process.stdout
    try:
        async with asyncio.timeout(30):
            await process.stdout.readuntil(b"FAILED SPF")
            process.send_signal(signal.SIGINT)
            _, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == os.EX_CONFIG
    assert b"Traceback" not in errors


@asynccontextmanager
async def daemon(shell: Shell, answer: bytes) -> AsyncIterator[list[str]]:
    """Gives the same answer to everybody. :returns: what it was asked so far."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        asked.append(request.partition(b" HTTP/1.1\r\n")[0].decode())
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_unix_server(serve, shell.folder / "control.sock"):
        yield asked


def json_answer(value: Any) -> bytes:
    body = json.dumps(value).encode()
    return b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


async def test_a_running_daemon_is_told_to_look_again(shell: Shell) -> None:
    publish(shell.dns, SPF, MX)
    async with daemon(shell, json_answer([])) as asked:
        await shell.run("domain", "check", "example.com", "mail.example.com", status=os.EX_CONFIG)
    assert asked[1:] == ["POST /v1/domains/example.com/check", "POST /v1/domains/mail.example.com/check"]


@pytest.mark.parametrize(
    ("state", "checked", "recorded"),
    [
        ("active", True, True),
        ("pending", False, True),  # it does not sign yet
        ("retiring", False, True),  # it signs no more, and is on its way still
        ("retired", False, False),
    ],
)
async def test_a_running_daemon_tells_which_keys_sign(shell: Shell, state: str, checked: bool, recorded: bool) -> None:
    kept = kept_file(kept_folder(load_config(Path(shell.config))), "example.com", "relay2")
    write_secret(kept, generate_key("ed25519"))
    keys = [{"domain": "example.com", "selector": "relay2", "state": state}]
    publish(shell.dns, SPF, MX)
    async with daemon(shell, json_answer(keys)):
        text = await shell.run("domain", "check", "example.com")
        zone = await shell.run("domain", "records", "example.com")
        general = (await invoke("check", "-c", shell.config)).output
    assert "DKIM relay1" in text  # the daemon does not know it yet
    assert ("DKIM relay2" in text) is checked
    assert ("relay2._domainkey.example.com. IN TXT" in zone) is recorded
    assert "domain: example.com, MX" in general


@pytest.mark.parametrize("answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"])
async def test_a_daemon_that_does_not_understand_is_nobodys_trouble(shell: Shell, answer: bytes) -> None:
    publish(shell.dns, SPF, MX)
    async with daemon(shell, answer):
        result = await invoke("domain", "check", "example.com", "-c", shell.config)
    assert (result.exit_code, result.stderr) == (0, "")


async def domain_lines(shell: Shell, *options: str, code: int) -> dict[str, str]:
    """What `smtprelay check` says of the domains: by rule, the result and the detail. There is no smarthost.

    :param code: the highest that the domains' lines have.
    """
    result = await invoke("check", "-c", shell.config, "--json", *options)
    findings = [finding for finding in json.loads(result.stdout) if finding["what"] == "domain"]
    assert max((finding["code"] for finding in findings), default=0) == code
    assert result.exit_code >= code
    return {finding["detail"].partition(": ")[0]: f"{finding['result']} {finding['detail']}" for finding in findings}


async def test_a_domain_cannot_be_added_where_nobody_has_an_account(shell: Shell) -> None:
    """`--account` was asked for, of accounts that there were none of."""
    told = await shell.run("domain", "add", "new.example.com", status=78)
    assert told == f"{shell.config} has no [[platform.accounts]]: add one.\n"


async def test_the_general_check_includes_what_is_required(shell: Shell) -> None:
    publish(shell.dns, SPF)
    lines = await domain_lines(shell, code=os.EX_CONFIG)
    assert lines.keys() == {"example.com, SPF", "example.com, MX"}
    assert lines["example.com, SPF"].startswith("ok ")
    assert lines["example.com, MX"] == f"failed example.com, MX: example.com has no MX record; publish {MX}"
    assert await domain_lines(shell, "--offline", code=0) == {}


async def test_the_general_check_fails_by_the_domains_before_all_that_may_pass(shell: Shell) -> None:
    assert (await invoke("check", "-c", shell.config)).exit_code == os.EX_CONFIG
    shell.dns.fault = Fault.SERVFAIL
    lines = await domain_lines(shell, code=os.EX_TEMPFAIL)
    assert lines["example.com, MX"].startswith("warning ")
    assert (await invoke("check", "-c", shell.config)).exit_code == os.EX_TEMPFAIL


async def test_the_general_check_ends_with_what_has_to_be_mended(shell: Shell) -> None:
    publish(shell.dns, 'example.com. IN TXT "v=spf1 include:broken.example include:spf.bestedm.org -all"')
    shell.dns.faults["broken.example"] = Fault.SERVFAIL
    lines = await domain_lines(shell, code=os.EX_CONFIG)
    assert [line.partition(" ")[0] for line in lines.values()] == ["warning", "failed"]
    assert (await invoke("check", "-c", shell.config)).exit_code == os.EX_CONFIG


@pytest.mark.parametrize(
    ("on_failure", "code", "result"), [("hold", os.EX_CONFIG, "failed"), ("warn", 0, "warning"), ("off", 0, "")]
)
async def test_what_the_general_check_makes_of_it_is_configured(
    shell: Shell, on_failure: str, code: int, result: str
) -> None:
    shell.configure(f'on_failure = "{on_failure}"\nrequire = ["mx"]')
    lines = await domain_lines(shell, code=code)
    assert [line.partition(" ")[0] for line in lines.values()] == ([result] if result else [])
    assert bool(shell.dns.questions) is (on_failure != "off")


async def test_the_general_check_warns_of_short_keys(shell: Shell) -> None:
    (shell.folder / "relay1.pem").write_bytes(generate_key("rsa", 1024))
    text = (await invoke("check", "-c", shell.config, "--offline")).output
    assert re.search(r"^warning  key: the DKIM key of example.com, selector relay1, has 1024 bits", text, re.MULTILINE)


def test_add_adds_a_domain_of_which_the_platform_says_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The fault: it said 'not enough values to unpack', and did not add it."""
    platform = MagicMock()
    platform.__enter__.return_value = platform
    platform.domains.check.return_value = []
    monkeypatch.setattr(domain_add, "client_of", lambda account: platform)
    domain_add._add(PlatformAccount(username="u", password_env="X"), "example.com")
    platform.domains.add.assert_called_once_with("example.com")
    assert "example.com is added at the platform" in capsys.readouterr().out
