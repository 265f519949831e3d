"""A shell, and a platform that answers what it is told to."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from smtprelay.cli.app import app
from smtprelay.platform import PlatformClient
from smtprelay.platform.answer import Answer
from smtprelay.platform.call import Call


@dataclass
class Platform:
    """What the commands talk to.

    :ivar answers: by the number of the call: a body, several in turn, or what is raised.
    :ivar calls: those that were made.
    :ivar sent: the octets of their uploads.
    :ivar clients: those that made them.
    """

    answers: dict[str, Any] = field(default_factory=dict)
    calls: list[Call[Any]] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)
    clients: list[PlatformClient] = field(default_factory=list)

    def send(self, client: PlatformClient, call: Call[Any]) -> Any:
        self.clients.append(client)
        self.calls.append(call)
        for upload in call.uploads:
            self.sent.append(upload.source if isinstance(upload.source, bytes) else upload.source.read_bytes())
        answer = self.answers.get(call.number, done())
        if isinstance(answer, list):
            answer = answer.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return call.read(Answer(answer.encode()))

    @property
    def last(self) -> Call[Any]:
        return self.calls[-1]

    @property
    def numbers(self) -> list[str]:
        return [call.number for call in self.calls]


def done(id_: int | str = "", status: str = "success") -> str:
    return f"<result><status>{status}</status><data><![CDATA[{id_}]]></data></result>"


@pytest.fixture
def platform(monkeypatch: pytest.MonkeyPatch) -> Platform:
    platform = Platform()
    monkeypatch.setattr(PlatformClient, "send", lambda client, call: platform.send(client, call))
    return platform


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `smtprelay platform …`, logged in without a configuration."""
    for name in ("CONFIG", "PLATFORM_URL", "PLATFORM_PASSWORD"):
        monkeypatch.delenv(f"SMTPRELAY_{name}", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_text("p4ssword\n")
    login = {"SMTPRELAY_PLATFORM_USERNAME": "example", "SMTPRELAY_PLATFORM_PASSWORD": "p4ssword"}

    def run(*words: str, env: Mapping[str, str] = login, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, ["platform", *words], env=dict(env), input=stdin)

    return run


def lines_of_json(result: Result) -> list[Any]:
    return [json.loads(line) for line in result.stdout.splitlines()]
