"""docs/templates.md: its examples work, and what it quotes is what is said."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from smtprelay.errors import TemplateError
from smtprelay.instructions import read_header, read_instructions
from smtprelay.reply import Reject
from smtprelay.templating.check import check
from smtprelay.templating.examples import examples
from smtprelay.templating.library import Templates
from tests.debian import ROOT
from tests.templates.mails import NOW, body, rendered

PAGE = (ROOT / "docs/templates.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`(welcome/\S+)`[^\n]*:\n\n```\w+\n(.*?)```$", PAGE, re.DOTALL | re.MULTILINE))


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """The page's template beside the examples."""
    directory = tmp_path / "templates"
    shutil.copytree(examples(), directory)
    (directory / "welcome").mkdir()
    for name, text in FILES.items():
        (directory / name).write_text(text, encoding="utf-8")
    for name in ("map.png", "terms.pdf"):
        (directory / "welcome" / name).write_bytes(b"content")
    return directory


def test_its_template(directory: Path) -> None:
    assert [str(finding) for finding in check(Templates(directory), "welcome", "2026-11-24")] == [
        "welcome/body.html.j2: there is no welcome/body.txt.j2: the text part is made from the HTML"
    ]
    message = rendered("welcome", "", {"fullname": "Ann", "points": "101", "area": "北京"}, directory=directory)
    assert message["Subject"] in ("Welcome, Ann", "Ann, good to have you")
    assert message["Reply-To"] == "help@example.com"
    assert message["X-Campaign"] == "welcome-北京"
    assert "You joined on 2026-11-24. You are one of our best customers." in body(message, "plain")
    assert {part.get_filename() for part in message.walk()} == {None, "map.png", "_logo.png", "terms.pdf"}


def test_what_template_check_says(directory: Path) -> None:
    meta, html = directory / "welcome/meta.toml", directory / "welcome/body.html.j2"
    meta.write_text(meta.read_text().replace('map = "map.png"\n', ""))
    html.write_text(html.read_text().replace("You are one", "{{ fulname }}, you are one"))
    findings = check(Templates(directory), "welcome", "2026-11-24")
    said = "".join(f"{finding.level:<8} welcome: {finding}\n" for finding in findings)
    assert f"```\n{said}```" in PAGE


@pytest.mark.parametrize(
    ("template", "variables"), [("receipt", {"order": None}), ("reciept", {}), ("welcome", {"fullname": "Ann"})]
)
def test_what_is_said_of_templates(template: str, variables: dict[str, str | None], directory: Path) -> None:
    if template == "welcome":
        html = directory / "welcome/body.html.j2"
        html.write_text(html.read_text().replace("fullname", "fulname"))
    else:
        shutil.rmtree(directory / "welcome")
    with pytest.raises(TemplateError) as caught:
        rendered(template, "", variables, directory=directory)
    assert f"550 5.6.0 {str(caught.value).partition('defined are')[0]}" in PAGE


def test_what_is_said_of_fields() -> None:
    header = read_header(b'X-SMTPRelay-Template: x\r\nX-SMTPRelay-Vars: {"order": A7}\r\n\r\n')
    with pytest.raises(Reject) as caught:
        read_instructions(header, (), NOW)
    assert str(caught.value) in PAGE


def test_its_fields_are_those_that_are_understood() -> None:
    table = PAGE.split("## By header fields")[1].split("\n\n")[1]
    assert set(re.findall(r"`(X-[\w-]+)`", table)) == set(
        re.findall(r'"(X-[\w-]+)"', (ROOT / "smtprelay/instructions.py").read_text())
    )


def test_its_table_of_examples() -> None:
    templates = Templates(examples())
    for name, needs, may_have in re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|([^|]*)\|$", PAGE, re.MULTILINE):
        declared = templates.meta(name)[0].variables
        assert set(re.findall("`(.*?)`", needs)) == {key for key, one in declared.items() if one.default is None}
        assert set(re.findall("`(.*?)`", may_have)) == {key for key, one in declared.items() if one.default is not None}
