"""What a command imports, which is most of the time that it takes: scripts and cron jobs start them over and over."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import UnixStreamServer
from threading import Thread

import pytest

# What takes long to import, and is of use to the daemon, or to other commands.
HEAVY = {
    *("aiosmtpd", "aiosmtplib", "asyncio", "cryptography", "dns", "httpx", "jinja2", "rich", "sqlite3", "starlette"),
    *("structlog", "uvicorn"),
}
SCRIPT = """
import sys
from smtprelay.__main__ import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print(*sys.modules, file=sys.stderr)
"""


def imported_by(*arguments: str) -> set[str]:
    run = subprocess.run([sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return set(run.stderr.split())


class Answers(BaseHTTPRequestHandler):
    """A daemon that has nothing to tell."""

    def do_GET(self) -> None:
        self._answer(b"[]")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(b'{"recipients": 0, "undone": []}')

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass  # it would name the client's address, and a Unix socket has none


@pytest.fixture
def config(tmp_path: Path) -> Iterator[str]:
    """The configuration of a daemon that runs."""
    control = tmp_path / "control.sock"
    (tmp_path / "password").write_text("x")
    (tmp_path / "password").chmod(0o600)
    (tmp_path / "config.toml").write_text(
        f'[status]\ncontrol = "{control}"\n[[domains]]\nname = "example.com"\n[[upstream.credentials]]\n'
        'senders = ["*@example.com"]\nusername = "app@example.com"\npassword_file = "password"\n'
    )
    with UnixStreamServer(str(control), Answers) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield str(tmp_path / "config.toml")
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "command",
    [
        ("queue", "list", "--json"),
        ("queue", "stats", "--json"),
        ("queue", "hold", "--all"),
        ("account", "suspend", "app"),
        ("suppress", "list", "--json"),
    ],
    ids=" ".join,
)
def test_a_command_beside_a_daemon_imports_nothing_that_the_daemon_does(config: str, command: tuple[str, ...]) -> None:
    """The fault: all commands, and the spool, the resolver and the logs for the case that no daemon runs."""
    imported = imported_by(*command, "-c", config)
    assert imported & HEAVY == set()
    assert {name for name in imported if name.startswith("smtprelay.cli.platform")} == set()


def test_the_version_is_told_without_any_command() -> None:
    imported = {name for name in imported_by("--version") if name.startswith("smtprelay.")}
    assert imported == {"smtprelay.__main__", "smtprelay.cli", "smtprelay.cli.app"}


@pytest.mark.parametrize("command", ["send", "queue", "suppress", "hash-password"])
def test_the_help_of_one_command_imports_no_others(command: str) -> None:
    assert imported_by(command, "--help") & HEAVY <= {"rich"}  # which frames it
