"""`smtprelay platform contacts`: files of contacts go to the platform as it reads them."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from smtprelay.cli.common import JsonOption, print_json
from smtprelay.cli.configuration import fail
from smtprelay.cli.platform.login import Login
from smtprelay.cli.platform.progress import until, uploading, waiting
from smtprelay.cli.platform.show import show
from smtprelay.cli.sending.order import Inputs
from smtprelay.contacts import (
    BadLine,
    Contact,
    ContactFile,
    Duplicate,
    Format,
    has_place,
    parse_separator,
    write_line,
)
from smtprelay.platform import PlatformClient
from smtprelay.platform.contact_values import UploadState

ListId = Annotated[int, typer.Argument(metavar="LIST", help="The list's id.")]
File = Annotated[
    str, typer.Argument(metavar="FILE", help="The platform's lines, CSV or JSON Lines; - is standard input.")
]
FormatOption = Annotated[Format | None, typer.Option(help="Default: by the first line.")]
_SEPARATOR = "What stands between contacts on their way, where values have line breaks. Default: a line break."
PARSED_WITHIN = 3600.0  # seconds
_SHOWN = 5  # lines that cannot be used


@dataclass
class Count:
    """What came of a file's lines.

    :ivar bad: the first of those that cannot be used, in words.
    :ivar columns: names of those for which the platform has no place.
    """

    contacts: int = 0
    bad_lines: int = 0
    duplicates: int = 0
    bad: list[str] = field(default_factory=list)
    columns: dict[str, None] = field(default_factory=dict)

    def note(self, line: int, reason: str) -> None:
        self.bad_lines += 1
        if len(self.bad) < _SHOWN:
            self.bad.append(f"line {line}: {reason}")

    def tell(self) -> None:
        """What is left out, on standard error."""
        for line in self.bad:
            print(line, file=sys.stderr)
        if self.bad_lines or self.duplicates:
            bad = f"{self.bad_lines} bad line{'s' * (self.bad_lines != 1)}"
            print(f"Left out: {bad}, {self.duplicates} duplicate{'s' * (self.duplicates != 1)}.", file=sys.stderr)
        if self.columns:
            names = ", ".join(self.columns)
            print(f"The platform has no place for {names}: name what is to go along var1 to var10.", file=sys.stderr)


def usable(
    file: ContactFile, count: Count, fields: Mapping[str, str] | None = None, separator: str = "\n"
) -> Iterator[tuple[Contact, str]]:
    """The contacts, each with its line of the platform's.

    :param fields: what the platform calls the variables of a template: ``{"code": "VAR1"}``.
    :param separator: what is to stand between the lines.
    """
    for item in file:
        match item:
            case BadLine():
                count.note(item.line, item.reason)
            case Duplicate():
                count.duplicates += 1
            case Contact():
                contact = for_platform(item, fields or {})
                try:
                    line = write_line(contact, separator)
                except ValueError as error:
                    count.note(item.line, str(error))
                    continue
                count.contacts += 1
                count.columns |= dict.fromkeys(_without_place(item, fields or {}))
                yield contact, line


def _without_place(contact: Contact, fields: Mapping[str, str]) -> Iterator[str]:
    for name, value in contact.fields.items():
        if value not in ("", None) and name not in fields and not has_place(name):
            yield name


def for_platform(contact: Contact, fields: Mapping[str, str]) -> Contact:
    """The contact with its values under the platform's names."""
    named = {field.lower(): contact.fields[name] for name, field in fields.items() if name in contact.fields}
    return replace(contact, fields={**contact.fields, **named})


@contextmanager
def platform_file(file: ContactFile, count: Count, fields: Mapping[str, str] | None = None) -> Iterator[Path]:
    """The contacts as a file of the platform's lines. Ends the program where there are none."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "address.txt")
        with path.open("w", encoding="utf-8", newline="\n") as lines:
            lines.writelines(f"{line}\n" for _, line in usable(file, count, fields))
        count.tell()
        if not count.contacts:
            fail(os.EX_DATAERR, "No line of the contacts can be used.")
        yield path


def add_many(
    platform: PlatformClient, list_id: ListId, file: File, *, contacts_format: FormatOption = None,
    separator: Annotated[str, typer.Option(metavar="TEXT", help=_SEPARATOR)] = "\n", as_json: JsonOption = False,
) -> None:  # fmt: skip
    count = Count()
    parse_separator(separator)
    with closing(Inputs().contacts(file, contacts_format)) as read:
        contacts = [contact for contact, _ in usable(read, count, separator=separator)]
    count.tell()
    if not contacts:
        fail(os.EX_DATAERR, "No line of the contacts can be used.")
    show(platform.contacts.add_many(list_id, contacts, separator=separator), as_json=as_json)


def upload(
    platform: PlatformClient,
    list_id: ListId,
    file: File,
    *,
    contacts_format: FormatOption = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until the platform has read it.")] = False,
    login: Login,
    as_json: JsonOption = False,
) -> None:
    count = Count()
    with (
        closing(Inputs().contacts(file, contacts_format)) as read,
        platform_file(read, count) as path,
        uploading("contacts") as progress,
    ):
        result = platform.contacts.upload(list_id, path, progress=progress)
    told: dict[str, Any] = {
        "upload": result.id, "contacts": count.contacts, "bad_lines": count.bad_lines, "duplicates": count.duplicates,
    }  # fmt: skip
    if wait:
        wait_until_read(platform, result.id, login)
    if as_json:
        print_json(told)
    else:
        typer.echo(f"{count.contacts} contact{'s' * (count.contacts != 1)}: upload {result.id}")
        if not wait:
            typer.echo(f"See '{login.command(f'contacts upload-state {result.id}')}'.")


def wait_until_read(platform: PlatformClient, upload_id: int, login: Login) -> None:
    """Until the platform has read a file of contacts; ends the program where that takes too long."""
    with waiting(f"The platform reads upload {upload_id} …"):
        if not until(lambda: platform.contacts.upload_state(upload_id) == UploadState.FINISHED, PARSED_WITHIN):
            state = login.command(f"contacts upload-state {upload_id}")
            fail(os.EX_TEMPFAIL, f"The platform has not read upload {upload_id} within an hour: see '{state}'.")
