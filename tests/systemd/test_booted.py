"""The service under systemd itself: docs/operations.md as an operator does it, and what systemd does when it fails."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from tests.debian import ROOT
from tests.gateway.wire import PASSWORD, PASSWORD_HASH
from tests.systemd.boot import run_booted

pytestmark = pytest.mark.slow

TEXT = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
SEND = f"""
import smtplib, sys
port, recipient, *fields = sys.argv[1:]
with smtplib.SMTP("127.0.0.1", int(port)) as smtp:
    if port == "587":
        smtp.login("app", "{PASSWORD}")
    smtp.sendmail("app@example.com", recipient, "\\r\\n".join(["From: app@example.com", *fields, "", "Hello", ""]))
"""
# Beside what `init` writes: the smarthost of this test, and no questions to DNS.
CONFIG = f"""
[upstream]
host = "127.0.0.1"
port = $(cat /run/provider.port)
[domain_rules]
on_failure = "off"
[spool]
min_free = "1MiB"
[templates]
directory = "{ROOT}/templates"
[[gateway.accounts]]
username = "app"
password_hash = "{PASSWORD_HASH.replace("$", chr(92) + "$")}"
senders = ["*@example.com"]
"""
BEGIN = f"""
set -o pipefail
cd {ROOT}
python -m tests.systemd.provider /run/provider.port >/run/taken &
cat >/run/send.py <<'E'
{SEND}
E
send() {{ python /run/send.py "$@"; }}
until_true() {{ for _ in $(seq 300); do if eval "$1"; then return; fi; sleep 0.1; done; echo "never: $1"; return 1; }}
taken() {{ grep -c "$1" /run/taken || true; }}
until_true '[ -s /run/provider.port ]'
"""


def blocks(section: str) -> list[str]:
    """The commands of a section of the document, as they are run here."""
    [text] = re.findall(rf"^## {section}\n(.*?)(?=^## )", TEXT, re.MULTILINE | re.DOTALL)
    found = [block for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if "pip install" not in block]
    return ["\n".join(map(as_run, block.splitlines())) for block in found]


def as_run(line: str) -> str:
    if "/dev/stdin" in line:
        return f"printf 'platform-secret\\n' | {line}"
    if line.startswith("smtprelay init"):
        return f"{line}\ncat >>/etc/smtprelay/config.toml <<E{CONFIG}E"
    if line.startswith("smtprelay check"):
        return "smtprelay check --offline"
    return "" if line.endswith(" -f") else line


def listen_as_told() -> str:
    """The document's configuration for passed sockets, put into ours."""
    [block] = re.findall(r"```toml\n(\[gateway\].*?)```", TEXT, re.DOTALL)
    assert tomllib.loads(block)["gateway"]["listen"][0] == "fd:smtp"
    line = block.splitlines()[1].replace('"', r"\"")
    return f'sed -i "s|^\\[gateway\\]|[gateway]\\n{line}|" /etc/smtprelay/config.toml'


INSTALL = "\n".join(blocks("Install"))
# In short, for what is not about that.
INSTALLED = f"""
smtprelay install-service --write --sockets >/dev/null 2>&1
systemd-sysusers smtprelay.conf
systemd-tmpfiles --create smtprelay.conf
echo platform-secret >/var/lib/smtprelay/platform.password
chown smtprelay: /var/lib/smtprelay/platform.password
cat >/etc/smtprelay/config.toml <<E
[gateway]
listen = ["fd:smtp", "fd:submission"]
[[upstream.credentials]]
username = "news@example.com"
password_file = "/var/lib/smtprelay/platform.password"
[signing]
on_missing_key = "send-unsigned"
[[domains]]
name = "example.com"
{CONFIG}E
systemctl daemon-reload
systemctl start smtprelay-smtp.socket smtprelay-submission.socket smtprelay
"""
SOCKETS = "\n".join([listen_as_told(), *blocks("Ports 25, 587 and 465")])


def test_an_operator_does_what_the_document_says(tmp_path: Path) -> None:
    [restore] = blocks("Backup, and restoring it")[1:]
    output = run_booted(
        tmp_path,
        f"""{BEGIN}
{INSTALL}
send 2525 installed@example.org
until_true '[ "$(taken installed@)" = 1 ]'
echo "== sockets"
{SOCKETS}
for port in 25 587 2525; do send $port port$port@example.org; done
until_true '[ "$(taken port)" = 3 ]'
systemctl restart smtprelay & send 25 restarting@example.org; wait %2
until_true '[ "$(taken restarting@)" = 1 ]'
echo "== reload"
{blocks("Start, stop, reload")[0]}
{blocks("The provider's password")[0]}
{blocks("Upgrade")[0]}
systemctl is-active smtprelay
echo "== backup"
send 25 later@example.org
until_true 'smtprelay queue list --to later@example.org | grep -q 451'
{blocks("Backup, and restoring it")[0]}
smtprelay queue retry --all
until_true '[ "$(taken later@)" = 1 ]'
echo "== restore"
{restore}
sleep 1
echo "later@ was taken $(taken later@) time(s)"
smtprelay queue list --to later@example.org
echo "== logs"
id=$(smtprelay queue list --to installed@example.org --json | jq -r '.[0].id')
{blocks("Logs")[0].replace("38gf9sknmhgd1psr", "$id")}
{blocks("Memory")[0]}
systemctl show -p MemoryMax smtprelay
""",
    )
    assert "Active: active (running)" in output
    assert 'Status: "Listening on 127.0.0.1:2525 [::1]:2525' in output
    assert "later@ was taken 1 time(s)" in output
    restored, logs = output.partition("== restore")[2].split("== logs")
    assert re.search(r"later@example\.org +cancelled", restored)
    assert logs.count('"recipient": "installed@example.org"') == 1
    assert re.search(r'^\["\w+","later@example\.org","451 4\.7\.1 Later"\]$', logs, re.MULTILINE)
    assert "MemoryMax=1610612736" in logs


def test_the_hardened_service_does_all_its_work(tmp_path: Path) -> None:
    """Its filters refuse nothing that it needs: hashes of passwords, the processes that render and prepare messages."""
    output = run_booted(
        tmp_path,
        f"""{BEGIN}
{INSTALLED}
send 587 rendered@example.org 'X-SMTPRelay-Template: notice' 'X-SMTPRelay-Vars: {{"title": "Hi", "text": "there"}}'
python - <<'E'
import asyncio
from benchmarks.load import Load, send
asyncio.run(send(Load(25, messages=400)))
E
until_true '[ "$(wc -l </run/taken)" -ge 401 ]'
journalctl -t smtprelay -o cat -p warning
grep -E 'NoNewPrivs|CapEff|Seccomp:' /proc/$(systemctl show -p MainPID --value smtprelay)/status
until_true 'journalctl -t smtprelay -o cat --grep "a process of their own"'
""",
    )
    assert re.findall(r"^(\w+):\s+(\d+)$", output, re.MULTILINE)[-3:] == [
        ("CapEff", "0000000000000000"),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
    ]
    assert "messages are prepared in a process of their own" in output


def test_systemd_ends_what_stands_still_and_not_what_is_wrong(tmp_path: Path) -> None:
    output = run_booted(
        tmp_path,
        f"""{BEGIN}
{INSTALLED}
echo "== watchdog"
printf '[Service]\\nWatchdogSec=5\\nRestartSec=1\\n' >/etc/systemd/system/smtprelay.service.d/haste.conf
systemctl daemon-reload
systemctl restart smtprelay
systemctl kill --signal=STOP --kill-whom=main smtprelay
until_true '[ "$(systemctl show -p NRestarts --value smtprelay)" -gt 0 ]'
send 25 again@example.org
until_true '[ "$(taken again@)" = 1 ]'
journalctl -t smtprelay | grep -c 'Fatal Python error: Aborted'
echo "== configuration"
printf '[Unit]\\nStartLimitBurst=3\\n' >/etc/systemd/system/smtprelay.service.d/haste.conf
systemctl daemon-reload
echo nonsense >>/etc/smtprelay/config.toml
systemctl restart smtprelay || systemctl show -p ExecMainStatus smtprelay
until_true '! send 25 refused@example.org 2>/run/why && grep -q ConnectionRefusedError /run/why'
systemctl show -p Result smtprelay-smtp.socket
sed -i '/^nonsense/d' /etc/smtprelay/config.toml
{blocks("Start, stop, reload")[1]}
send 25 mended@example.org
until_true '[ "$(taken mended@)" = 1 ]'
""",
    )
    watchdog, configuration = output.partition("== watchdog")[2].split("== configuration")
    assert int(watchdog) > 0
    assert "ExecMainStatus=78" in configuration
    assert "Result=service-start-limit-hit" in configuration
