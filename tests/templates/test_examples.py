"""The example templates: what is in their mails, where they look like anything."""

from __future__ import annotations

import re
import tomllib

import pytest

from smtprelay.errors import TemplateError
from smtprelay.templating.check import check
from smtprelay.templating.examples import examples
from smtprelay.templating.library import Templates
from tests.debian import ROOT
from tests.templates.mails import MAILS, SHOWN, body, rendered, rendered_in_turn

GMAIL_CLIPS = 102 * 1024  # octets of HTML
GMAIL_STYLE = 8192  # octets of <style>; a larger one does not count there


def test_these_there_are() -> None:
    assert Templates(examples()).names() == ["newsletter", "notice", "receipt"]


@pytest.mark.parametrize("template", ["receipt", "newsletter", "notice"])
def test_template_check_finds_nothing(template: str) -> None:
    assert check(Templates(examples()), template, "2026-11-24") == []


def test_the_package_has_them() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert examples() == ROOT / "templates"
    assert "templates" in wheel["only-include"]
    assert wheel["sources"]["templates"] == "smtprelay/templates"


@pytest.mark.parametrize(("template", "language"), SHOWN, ids="-".join)
def test_what_every_mail_program_gets(template: str, language: str) -> None:
    message = rendered(template, language, MAILS[template, language])
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
    ]
    html = body(message, "html")
    assert re.search(r'<html lang="([^"]*)"', html)[1] == language  # type: ignore[index]
    assert len(html.encode()) < GMAIL_CLIPS
    assert 0 < sum(len(style) for style in re.findall(r"<style.*?</style>", html, re.DOTALL)) < GMAIL_STYLE
    assert all(' alt="' in image and ' width="' in image for image in re.findall("<img[^>]*>", html))
    assert not re.search("<script|<link|@import|@font-face|url\\(", html)


@pytest.mark.parametrize(("template", "language"), SHOWN, ids="-".join)
def test_its_text_says_what_its_html_says(template: str, language: str) -> None:
    message = rendered(template, language, MAILS[template, language])
    text, html = body(message, "plain"), body(message, "html")
    for name, value in MAILS[template, language].items():
        lines = value.splitlines() if isinstance(value, str) else [str(v) for item in value for v in item.values()]
        assert all(line in html for line in lines)
        assert all(line in text for line in lines) or (template, name) == ("notice", "title")
    assert "\n\n\n" not in text


@pytest.mark.parametrize("template", ["receipt", "newsletter", "notice"])
def test_values_are_no_html(template: str) -> None:
    name = "title" if template == "notice" else "fullname"
    html = body(rendered(template, "en", {name: "<b>Li & Co</b>"}), "html")
    assert "&lt;b&gt;Li &amp; Co&lt;/b&gt;" in html
    assert "<b>Li" not in html


def test_the_newsletter_can_be_left_with_one_click() -> None:
    url = "https://www.example.com/unsubscribe/x"
    message = rendered("newsletter", "en", {"unsubscribe_url": url})
    assert message["List-Unsubscribe"] == f"<{url}>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert f'href="{url}"' in body(message, "html")


@pytest.mark.parametrize(
    ("template", "variable"), [("newsletter", "unsubscribe_url"), ("receipt", "order"), ("receipt", "total")]
)
def test_nothing_goes_out_without_what_it_is_about(template: str, variable: str) -> None:
    with pytest.raises(TemplateError) as caught:
        rendered(template, "en", {variable: None})
    assert caught.value.variable == variable


def test_the_newsletter_has_two_subjects() -> None:
    messages = rendered_in_turn(Templates(examples()), "newsletter", "en", MAILS["newsletter", "en"], times=2)
    assert {message["Subject"] for message in messages} == {
        "The autumn harvest is in",
        "Alice Brown: The autumn harvest is in",
    }


def test_the_notice_shows_the_mail_of_the_app() -> None:
    content = (
        "Subject: 备份 db1\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nAll good.\r\n<b>\r\n\r\nEnd.\r\n".encode()
    )
    message = rendered("notice", "en", {"title": "", "text": ""}, content)
    assert message["Subject"] == "备份 db1"
    assert body(message, "plain").startswith("All good.\n<b>\n\nEnd.\n")
    assert "All good.<br>" in body(message, "html").replace("\n", "")
