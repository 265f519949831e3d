"""The words of the command line → what is to be sent."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from smtprelay.cli.configuration import fail
from smtprelay.client.message import Common
from smtprelay.compose import Attachment
from smtprelay.contacts import ContactFile, ContactsError, Format

STANDARD_INPUT = ("-", "@-")


class Inputs:
    """Texts and files that options name. Whatever cannot be read ends the program."""

    def __init__(self) -> None:
        # None where it was closed, as by a service manager (`<&-`).
        self._standard_input: BinaryIO | None = sys.stdin.buffer if sys.stdin else None

    def text(self, word: str) -> str | None:
        """``TEXT``; or ``@FILE``, or ``-``, whose content it is; None for none."""
        if word in STANDARD_INPUT:
            content = self._input().read()
        elif word.startswith("@"):
            content = _read(Path(word[1:]))
        else:
            return word or None
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError:
            return fail(os.EX_DATAERR, f"{word.removeprefix('@')} is not UTF-8: save it as UTF-8.")

    def attachment(self, path: Path) -> Attachment:
        return Attachment(path.name, _read(path))

    def variables(self, words: Sequence[str], file: str) -> dict[str, Any]:
        """``NAME=VALUE`` each, and below them the JSON object in a file."""
        found: Any = {}
        if file:
            text = self.text(file if file in STANDARD_INPUT else f"@{file}")
            try:
                found = json.loads(text or "")
            except (ValueError, RecursionError) as error:
                fail(os.EX_DATAERR, f"{file} is not JSON: {error}.")
            if not isinstance(found, dict):
                fail(os.EX_DATAERR, f'{file}: a JSON object is wanted, such as {{"code": "123456"}}.')
        return {**found, **dict(_pair(word, "=", "--var NAME=VALUE") for word in words)}

    def contacts(self, name: str, form: Format | None) -> ContactFile:
        """Read twice: what cannot be sought in is copied to a temporary file."""
        try:
            return ContactFile(self._seekable(name), form)
        except OSError as error:
            fail(os.EX_NOINPUT, f"{name} cannot be read: {error.strerror}.")
        except ContactsError as error:
            fail(os.EX_DATAERR, f"{name}: {error}")

    def _seekable(self, name: str) -> BinaryIO:
        stream = self._input() if name in STANDARD_INPUT else Path(name).open("rb")  # noqa: SIM115 - until the end
        if stream.seekable():
            return stream
        copy = tempfile.TemporaryFile()  # noqa: SIM115 - the same
        shutil.copyfileobj(stream, copy)
        return copy

    def _input(self) -> BinaryIO:
        stream, self._standard_input = self._standard_input, None
        if stream is None:
            fail(os.EX_USAGE, "Standard input is closed, or was read already, which is possible once: name files.")
        return stream


def headers(words: Sequence[str], *, bulk: bool = False) -> dict[str, str]:
    """``NAME: VALUE`` each.

    :param bulk: it goes to many, and says so: automatic answers then do not come (RFC 3834 §2), and the relay may have
        it wait where the provider's quota runs low.
    """
    found: dict[str, str] = {}
    for word in words:
        name, value = _pair(word, ":", "--header 'NAME: VALUE'")
        if name.lower() in map(str.lower, found):
            fail(os.EX_USAGE, f"--header {name} is given twice: a header field stands once.")
        found[name] = value
    if bulk and "precedence" not in map(str.lower, found):
        found["Precedence"] = "bulk"
    return found


def moment(word: str) -> datetime | None:
    """ISO 8601; local time where it names no zone."""
    try:
        return datetime.fromisoformat(word).astimezone() if word else None
    except ValueError:
        return fail(
            os.EX_USAGE, f"--send-at {word}: a time is wanted, such as 2026-11-24T18:00 or 2026-11-24T18:00+08:00."
        )


def batch_key(fields: Common, contacts: ContactFile) -> str:
    """The same for the same mail to the same contacts: what was sent under it is not sent again."""
    files = [[file.filename, hashlib.sha256(file.content).hexdigest()] for file in fields.get("attachments", ())]
    said = json.dumps({**fields, "attachments": files, "contacts": contacts.digest}, sort_keys=True, default=str)
    return f"send-{hashlib.sha256(said.encode()).hexdigest()[:32]}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        fail(os.EX_NOINPUT, f"{path} cannot be read: {error.strerror}.")


def _pair(word: str, separator: str, form: str) -> tuple[str, str]:
    name, found, value = word.partition(separator)
    if not found or not name.strip():
        fail(os.EX_USAGE, f"{word!r} should be {form}.")
    return name.strip(), value.strip() if separator == ":" else value
