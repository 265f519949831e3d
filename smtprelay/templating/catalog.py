"""Which files make up a template: by name, and by language.

``welcome/subject.j2``, ``welcome/body.html.j2`` and so on, or ``welcome.subject.j2`` beside other templates' files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from smtprelay.templating.files import FileError, Files

_PART = re.compile(
    r"(?:(?P<prefix>.+)\.)?(?:subject|body)(?:\.(?P<language>[a-z]{2,3}(?:-[a-z0-9]{2,8})*))?(?P<type>\.html|\.txt)?\.j2"
)
_LANGUAGE = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{2,8})*")  # RFC 5646 §2.1, in lower case


@dataclass(frozen=True, slots=True)
class Parts:
    """The files of one template in one language; ``""`` for what there is not."""

    subject: str
    html: str
    text: str


class Catalog:
    """The templates of a directory."""

    def __init__(self, files: Files) -> None:
        self._files = files

    def names(self) -> list[str]:
        """All templates, in order. What begins with ``_`` is for others to include."""
        return sorted({name for file in self._files.names() if (name := _template_of(file))})

    def languages(self, template: str) -> list[str]:
        """The languages in which a template has a body of its own; ``""`` is the one without a name."""
        found = set()
        for file in self._files.names():
            match = _PART.fullmatch(file.rpartition("/")[2])
            if match and match["type"] and _template_of(file) == template:
                found.add(match["language"] or "")
        return sorted(found)

    def find(self, template: str, piece: str) -> str:
        """The file that is a piece of a template (``meta.toml``, ``body.html.j2``); ``""`` where there is none."""
        names = (f"{template}/{piece}", f"{template}.{piece}")
        return next((name for name in names if self._files.read(name) is not None), "")

    def select(self, template: str, language: str) -> Parts | None:
        """The files for a language: ``zh-CN`` is looked for as zh-cn, as zh, and without a language.

        Both bodies are of the same language. None where there is no body.
        """
        suffixes = list(_suffixes(language))
        subjects = (self.find(template, f"subject{suffix}.j2") for suffix in suffixes)
        for suffix in suffixes:
            html = self.find(template, f"body{suffix}.html.j2")
            text = self.find(template, f"body{suffix}.txt.j2")
            if html or text:
                return Parts(next(filter(None, subjects), ""), html, text)
        return None

    def resource(self, template: str, path: str) -> tuple[str, bytes] | None:
        """An image or an attachment: a file beside the template's own, or else of the whole directory."""
        folder = template.rpartition("/")[0]
        for name in dict.fromkeys((f"{template}/{path}", f"{folder}/{path}".lstrip("/"), path)):
            if (data := self._files.read(name)) is not None:
                return name, data
        return None


def _template_of(file: str) -> str:
    folder, _, base = file.rpartition("/")
    match = _PART.fullmatch(base)
    name = "/".join(filter(None, (folder, match["prefix"]))) if match else ""
    return "" if any(step.startswith("_") for step in name.split("/")) else name


def check_template(name: str) -> None:
    """:raises FileError: where it cannot be a template's name."""
    if not name or any(step.startswith(("_", ".")) or not step for step in name.split("/")):
        raise FileError(f"{name!r} is not the name of a template")


def _suffixes(language: str) -> Iterator[str]:
    tag = language.strip().lower().replace("_", "-")
    while _LANGUAGE.fullmatch(tag):
        yield f".{tag}"
        tag = tag.rpartition("-")[0]
    yield ""
