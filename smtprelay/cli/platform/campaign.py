"""A campaign, step by step: a template, a list with its contacts, a task. What exists when a step fails is told."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from smtprelay.cli.platform.contacts import wait_until_read
from smtprelay.cli.platform.login import Login, in_words, status_of
from smtprelay.cli.platform.progress import uploading
from smtprelay.cli.platform.push import checked, refuse, upload
from smtprelay.platform import PlatformClient, PlatformError
from smtprelay.platform.template_values import CheckStatus, TemplateState
from smtprelay.templating.platform_form import FIELDS, PlatformTemplate

# What a step makes → the command that tells whether it is there.
_LISTED = {"template": "templates list", "list": "contacts lists", "task": "tasks list"}


@dataclass
class Campaign:
    """What a campaign has on the platform so far.

    :ivar templates: their ids.
    :ivar list_id: 0: it has none yet.
    :ivar filled: whether the contacts are in the list.
    :ivar login: whose it is.
    :ivar fields: what the platform calls the variables of the contacts.
    :ivar asked: what the platform was asked to make, and has not answered yet; ``""`` for nothing.
    :ivar checks: what came of the checks of the templates.
    :ivar undo: commands that take away what was made here.
    """

    platform: PlatformClient
    templates: list[int]
    list_id: int
    filled: bool
    login: Login
    fields: Mapping[str, str]
    asked: str = ""
    task: int = 0
    checks: list[TemplateState] = field(default_factory=list)
    upload: int = 0
    undo: list[str] = field(default_factory=list)

    def run(
        self,
        template: str,
        made: PlatformTemplate | None,
        name: str,
        contacts: Path | None,
        parameters: Mapping[str, Any],
    ) -> None:
        """All steps.

        :param made: the template, where it is to be pushed.
        :param name: of the list, where one is made.
        :param contacts: the platform's lines, where there are any to be uploaded.
        :param parameters: of the task.
        """
        if made:
            self.push(template, made)
        for id_ in self.templates:
            self.check(id_)
        if contacts:
            self.fill(name, contacts)
        self.asked = "task"
        self.task = self.platform.tasks.create(self.templates, self.list_id, **parameters).new_id

    def push(self, name: str, made: PlatformTemplate) -> None:
        """Make the template."""
        self.asked = "template"
        self.templates = [upload(self.platform, name, made)]
        self.asked = ""
        self.undo.append(f"templates delete {self.templates[0]}")

    def check(self, id_: int) -> None:
        """Wait until a template is checked; one that may not be sent ends the program."""
        self.checks.append(checked(self.platform, id_, self.login))
        if self.checks[-1].status != CheckStatus.PASSED:
            refuse(self.checks[-1])

    def fill(self, name: str, contacts: Path) -> None:
        """Bring the contacts into the list, which is made where there is none."""
        if not self.list_id:
            self.asked = "list"
            self.list_id = self.platform.contacts.add_list(name).new_id
            self.asked = ""
            self.undo.append(f"contacts delete-list {self.list_id}")
        with uploading("contacts") as progress:
            self.upload = self.platform.contacts.upload(self.list_id, contacts, progress=progress).new_id
        wait_until_read(self.platform, self.upload, self.login)
        self.filled = True

    @contextmanager
    def advising(self, contacts: str) -> Iterator[None]:
        """Where it fails within, the program ends with how to go on and how to clean up.

        :param contacts: the file's name.
        """
        try:
            yield
        except PlatformError as error:
            typer.echo(in_words(error), err=True)
            self._advise(contacts, unknown=error.ambiguous)
            sys.exit(status_of(error))
        except (SystemExit, KeyboardInterrupt) as end:
            self._advise(contacts, unknown=isinstance(end, KeyboardInterrupt))
            raise

    def _advise(self, contacts: str, *, unknown: bool) -> None:
        """:param unknown: whether the platform may have done the last step."""
        if unknown and self.asked:
            twice = ", and would be sent twice" if self.asked == "task" else ""
            listed = self._command(_LISTED[self.asked])
            typer.echo(f"The {self.asked} may have been made{twice}: see {listed} before you go on.", err=True)
        if self.upload and not self.filled:
            state = self._command(f"contacts upload-state {self.upload}")
            typer.echo(f"Not all contacts are in the list before {state} tells success: wait for it.", err=True)
        if self.undo:
            typer.echo(
                f"To go on, run the same command with {' '.join(self._words(contacts))} in place of --template and "
                f"--contacts. To clean up: {' and '.join(map(self._command, self.undo))}.",
                err=True,
            )

    def _words(self, contacts: str) -> Iterator[str]:
        """The options with which a campaign goes on from here."""
        yield from (f"--tpl-id {id_}" for id_ in self.templates)
        if self.list_id:
            yield f"--list-id {self.list_id}"
        if self.upload or self.filled:
            return
        yield f"--contacts {shlex.quote(contacts)}"
        # The template on the platform tells no more under which of its names the contacts' values are to go.
        for variable, its in self.fields.items():
            if FIELDS.get(variable) != its:
                yield f"--map {shlex.quote(f'{variable}={its}')}"

    def _command(self, words: str) -> str:
        return f"'{self.login.command(words)}'"
