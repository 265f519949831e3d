"""For the tests of templates."""

from __future__ import annotations

import email.policy
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from smtprelay.errors import TemplateError
from smtprelay.templating.job import Job, Part
from smtprelay.templating.library import Templates

NOW = int(datetime(2026, 11, 24, 12, 0).timestamp() * 1000)  # local time


@dataclass
class Bench:
    """A directory of templates, and what renders them."""

    folder: Path
    templates: Templates

    def write(self, **files: str) -> None:
        """Files by their names: ``welcome__body_html`` is welcome/body.html.j2, ``_`` of other kinds stays."""
        for name, text in files.items():
            self.put(f"{name.replace('__', '/').replace('_html', '.html').replace('_txt', '.txt')}.j2", text)

    def put(self, name: str, content: str | bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def octets(
        self, template: str, /, header: bytes = b"", content: bytes = b"", to: str = "", **variables: Any
    ) -> bytes:
        [message] = self.templates.render(Job(template, (Part(header, to, variables),), content, NOW))
        return message

    def render(
        self, template: str, /, header: bytes = b"", content: bytes = b"", to: str = "", **variables: Any
    ) -> Mail:
        octets = self.octets(template, header, content, to, **variables)
        message = message_from_bytes(octets, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        assert not message.defects
        assert octets.count(b"\n") == octets.count(b"\r\n")
        assert octets.isascii()
        return Mail(message)

    def error(self, template: str, /, **variables: Any) -> TemplateError:
        """What is said of a template that cannot be rendered."""
        with pytest.raises(TemplateError) as caught:
            self.octets(template, **variables)
        return caught.value


@dataclass
class Mail:
    """A message as a reader sees it."""

    message: EmailMessage

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    @property
    def text(self) -> str:
        return self._body("plain")

    @property
    def html(self) -> str:
        return self._body("html")

    @property
    def files(self) -> dict[str, bytes]:
        """What goes along, by its content id or else its name."""
        return {
            str(part.get("Content-ID") or part.get_filename()): part.get_payload(decode=True)  # type: ignore[misc]
            for part in self.message.walk()
            if part.get_content_disposition()
        }

    def _body(self, subtype: str) -> str:
        part = self.message.get_body(("plain",) if subtype == "plain" else ("related", "html"))
        assert part
        if part.get_content_type() == "multipart/related":
            part = part.get_body(("html",))
        assert isinstance(part, EmailMessage)
        return str(part.get_content()).replace("\r\n", "\n").removesuffix("\n")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    folder = tmp_path / "templates"
    folder.mkdir()
    return Bench(folder, Templates(folder))
