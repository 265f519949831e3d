"""`smtprelay template`."""

from __future__ import annotations

import faulthandler
import json
import os
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from smtprelay.cli import template
from smtprelay.cli.app import app

CONFIG = """\
[[upstream.credentials]]
name = "smarthost"
[[domains]]
name = "example.com"
[templates]
directory = "mails"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "config.toml").write_text(CONFIG)
    monkeypatch.setenv("SMTPRELAY_CONFIG", str(tmp_path / "config.toml"))
    folder = tmp_path / "mails"
    folder.mkdir()
    (folder / "hello.subject.j2").write_text("Hello {{ name }}")
    (folder / "hello.body.html.j2").write_text("<p>Hello {{ name }}</p>")
    (folder / "hello.body.txt.j2").write_text("Hello {{ name }}\n")
    (folder / "hello.body.zh.txt.j2").write_text("{{ name }}，你好\n", encoding="utf-8")
    (folder / "hello.meta.toml").write_text('from = "shop@example.com"\nattachments = ["a.csv"]\n[variables.name]\n')
    (folder / "a.csv").write_text("1,2\n")
    return folder


def run(*arguments: str, status: int = 0) -> Result:
    result = CliRunner().invoke(app, ["template", *arguments])
    assert result.exit_code == status, result.output
    return result


def test_list(folder: Path) -> None:
    assert run("list").stdout == "hello (zh)\n"
    assert json.loads(run("list", "--json").stdout) == [{"name": "hello", "languages": ["zh"]}]
    assert run("list", "-d", str(folder.parent)).stdout == "mails/hello (zh)\n"
    assert "is not a directory" in run("list", "-d", str(folder / "none"), status=os.EX_CONFIG).stderr


def test_check(folder: Path) -> None:
    assert run("check").stdout == "ok       hello\n"
    (folder / "bad.body.txt.j2").write_text("{{ forgotten }}")
    output = run("check", status=os.EX_CONFIG).stdout
    assert "failed   bad: bad.body.txt.j2, line 1: 'forgotten' may be undefined" in output
    assert "ok       hello\n" in output
    run("check", "hello")
    assert "There are: bad, hello." in run("check", "none", status=os.EX_USAGE).stderr
    [bad, hello] = json.loads(run("check", "--json", status=os.EX_CONFIG).stdout)
    assert hello == {"name": "hello", "findings": []}
    assert bad["findings"][-1]["variable"] == "forgotten"


def test_a_warning_is_no_failure(folder: Path) -> None:
    (folder / "hello.body.txt.j2").unlink()
    assert run("check").stdout.startswith("warning  hello: hello.body.html.j2: there is no hello.body.txt.j2")


def test_render(folder: Path) -> None:
    name = ("--var", "name=王<小>明", "--to", "a@example.com")
    shown = "To: a@example.com\nFrom: shop@example.com\nSubject: Hello 王<小>明\n\nHello 王<小>明\n"
    assert run("render", "hello", *name).stdout == shown
    assert "<p>Hello 王&lt;小&gt;明</p>" in run("render", "hello", *name, "--html").stdout
    assert run("render", "hello", *name, "--text").stdout == "Hello 王<小>明\n"
    assert run("render", "hello", *name, "--var", "language=zh", "--text").stdout == "王<小>明，你好\n"
    source = run("render", "hello", *name, "--source").stdout_bytes
    assert b"\r\nSubject: =?utf-8?b?" in source
    found = json.loads(run("render", "hello", *name, "--json").stdout)
    assert found["headers"]["Subject"] == "Hello 王<小>明"
    assert found["text"] == "Hello 王<小>明\n"
    assert found["attachments"] == [{"filename": "a.csv", "type": "text/csv", "content_id": "", "octets": 4}]


def test_variables_from_a_file(folder: Path, tmp_path: Path) -> None:
    variables = tmp_path / "vars.json"
    variables.write_bytes(b"\xef\xbb\xbf" + '{"name": "明", "language": "zh"}'.encode())
    assert run("render", "hello", "--text", "--vars-file", str(variables)).stdout == "明，你好\n"
    assert run("render", "hello", "--text", "--vars-file", str(variables), "--var", "name=A=B").stdout == "A=B，你好\n"
    variables.write_text("[1]")
    assert (
        "a JSON object is wanted" in run("render", "hello", "--vars-file", str(variables), status=os.EX_DATAERR).stderr
    )
    variables.write_text("[" * 100_000)
    run("render", "hello", "--vars-file", str(variables), status=os.EX_DATAERR)
    run("render", "hello", "--vars-file", str(tmp_path / "none"), status=os.EX_NOINPUT)


def test_what_is_wrong(folder: Path) -> None:
    assert "it needs name (string)" in run("render", "hello", status=os.EX_CONFIG).stderr
    assert "there is none of this name; there are hello" in run("render", "none", status=os.EX_CONFIG).stderr
    run("render", "hello", "--var", "name", status=os.EX_USAGE)
    run("render", "hello", "--to", "nobody", status=os.EX_USAGE)
    run("render", "hello", "--html", "--text", status=os.EX_USAGE)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (
            "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
            "it takes more than 0.3 seconds",
        ),
        ("{{ 10 ** (10 ** 9) }}", "it takes more than 0.3 seconds"),
        ("{{ '%0999999999d'|format(1) }}", "it takes more than 512 MiB of memory"),
        ("{{ 'a' * 10 ** 10 }}", "it takes more than 512 MiB of memory"),
    ],
)
def test_a_template_without_end(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str, problem: str) -> None:
    monkeypatch.setattr(template, "SECONDS", 0.3)
    (folder / "hello.body.txt.j2").write_text(source)
    began = time.monotonic()
    assert problem in run("render", "hello", "--var", "name=x", status=os.EX_CONFIG).stderr
    assert problem in run("check", "hello", status=os.EX_CONFIG).stdout
    assert time.monotonic() - began < 30


def test_a_template_that_crashes_what_renders_it(folder: Path) -> None:
    """Elements that seem to be closed: css-inline's stack overflows, and its process ends."""
    (folder / "hello.body.html.j2").write_text("<div></b>" * 20_000)
    faulthandler.disable()  # a crash is what is wanted; it would be shown
    try:
        assert "crashed" in run("render", "hello", "--var", "name=x", status=os.EX_CONFIG).stderr
        assert "failed   hello: the process that renders it crashed" in run("check", status=os.EX_CONFIG).stdout
    finally:
        faulthandler.enable()
