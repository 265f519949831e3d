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
from smtprelay.cli.platform.login import in_words, status_of
from smtprelay.cli.platform.progress import uploading
from smtprelay.cli.platform.push import checked, refuse, upload
from smtprelay.platform import PlatformClient, PlatformError
from smtprelay.platform.template_values import CheckStatus, TemplateState
from smtprelay.templating.platform_form import PlatformTemplate


@dataclass
class Campaign:
    """What a campaign has on the platform so far.

    :ivar templates: their ids.
    :ivar list_id: 0: it has none yet.
    :ivar filled: whether the contacts are in the list.
    :ivar login: the options of commands that say which account it is.
    :ivar check: what came of the check of a template that was pushed.
    :ivar undo: commands that take away what was made here.
    """

    platform: PlatformClient
    templates: list[int]
    list_id: int
    filled: bool
    login: str = ""
    scheduling: bool = False
    task: int = 0
    check: TemplateState | None = None
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
        if contacts:
            self.fill(name, contacts)
        self.scheduling = True
        self.task = self.platform.tasks.create(self.templates, self.list_id, **parameters).id

    def push(self, name: str, made: PlatformTemplate) -> None:
        """Make the template, and wait until it is checked; one that may not be sent ends the program."""
        self.templates = [upload(self.platform, name, made)]
        self.undo.append(f"templates delete {self.templates[0]}")
        self.check = checked(self.platform, self.templates[0])
        if self.check.status != CheckStatus.PASSED:
            refuse(self.check)

    def fill(self, name: str, contacts: Path) -> None:
        """Bring the contacts into the list, which is made where there is none."""
        if not self.list_id:
            self.list_id = self.platform.contacts.add_list(name).id
            self.undo.append(f"contacts delete-list {self.list_id}")
        with uploading("contacts") as progress:
            self.upload = self.platform.contacts.upload(self.list_id, contacts, progress=progress).id
        wait_until_read(self.platform, self.upload)
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
        if unknown and self.scheduling:
            tasks = self.command("tasks list")
            typer.echo(f"The task may have been made, and would be sent twice: see {tasks} before you go on.", err=True)
        if self.upload and not self.filled:
            state = self.command(f"contacts upload-state {self.upload}")
            typer.echo(f"Not all contacts are in the list before {state} tells success: wait for it.", err=True)
        if not self.undo:
            return
        words = [f"--tpl-id {id_}" for id_ in self.templates]
        words += [f"--list-id {self.list_id}"] if self.list_id else []
        words += [] if self.upload or self.filled else [f"--contacts {shlex.quote(contacts)}"]
        typer.echo(
            f"To go on, run the same command with {' '.join(words)} in place of --template and --contacts. To "
            f"clean up: {' and '.join(map(self.command, self.undo))}.",
            err=True,
        )

    def command(self, words: str) -> str:
        """One of ours about the same account, for people."""
        return f"'smtprelay platform {words}{self.login}'"
