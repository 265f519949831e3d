"""`smtprelay platform templates push`: a template of ours becomes one of the platform's."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from smtprelay.cli.common import JsonOption, print_json
from smtprelay.cli.configuration import fail, load_config
from smtprelay.cli.platform.login import Login
from smtprelay.cli.platform.progress import until, uploading, waiting
from smtprelay.cli.platform.show import plain, words
from smtprelay.cli.sending.order import Inputs
from smtprelay.cli.template import apart
from smtprelay.errors import TemplateError
from smtprelay.platform import PlatformClient
from smtprelay.platform.template_values import CheckStatus, TemplateState
from smtprelay.templating.platform_form import FIELDS, PlatformTemplate, platform_form

CHECKED_WITHIN = 1800.0  # seconds

Var = Annotated[list[str] | None, typer.Option("--var", metavar="NAME=VALUE", help="The same for all contacts.")]
VarsFile = Annotated[str, typer.Option("--vars-file", metavar="FILE", help="The same, as one JSON object.")]
Map = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="NAME=VAR3", help="What the platform calls a variable. Default: by name and order."),
]
Pictures = Annotated[
    str, typer.Option("--pictures", metavar="URL", help="Where the pictures lie on the web that go along with mail.")
]
Directory = Annotated[
    Path | None,
    typer.Option("--directory", metavar="DIR", help="Of our templates. Default: as configured."),
]


@dataclass(frozen=True)
class Order:
    """A template as the command line asks for it.

    :param values: those that are the same for all contacts.
    :param fields: what the platform calls the variables that are not, as far as it is given.
    """

    name: str
    directory: Path
    values: Mapping[str, Any]
    fields: Mapping[str, str]
    pictures: str

    @classmethod
    def of(
        cls,
        name: str,
        inputs: Inputs,
        *,
        var: Sequence[str] | None,
        vars_file: str,
        map_: Sequence[str] | None,
        pictures: str,
        directory: Path | None,
        config: Path | None,
    ) -> Order:
        """Whatever is wrong with it ends the program."""
        if pictures and not pictures.startswith(("http://", "https://")):
            fail(os.EX_USAGE, f"--pictures {pictures}: an address such as https://www.example.com/news is wanted.")
        values = inputs.variables(var or (), vars_file)
        folder = directory or load_config(config).templates.directory
        if not folder.is_dir():
            fail(os.EX_CONFIG, f"{folder} is not a directory: name one with --directory.")
        return cls(name, folder, values, mapping(map_ or ()), pictures)

    def render(self, of_contacts: Collection[str] = ()) -> PlatformTemplate:
        """In the platform's form; what cannot be ends the program. Within limits of time and memory."""
        form = partial(
            platform_form, self.directory, self.name, self.values, fields=self.fields, of_contacts=of_contacts,
            pictures=self.pictures, today=date.today().isoformat(),
        )  # fmt: skip
        try:
            made = apart(self.name, form)
        except TemplateError as error:
            fail(os.EX_CONFIG, f"{error}.")
        if not made.subjects:
            fail(os.EX_CONFIG, f"Template {self.name} has no subject: write subject.j2.")
        return made


def mapping(pairs: Sequence[str]) -> dict[str, str]:
    """``NAME=VAR3`` each. Whatever is wrong with one ends the program."""
    fields: dict[str, str] = {}
    for pair in pairs:
        name, equals, field = pair.partition("=")
        if not equals or field.upper() not in FIELDS.values():
            fail(os.EX_USAGE, f"--map {pair}: NAME=FIELD is wanted, of {', '.join(dict.fromkeys(FIELDS.values()))}.")
        fields[name] = field.upper()
    return fields


def push(
    platform: PlatformClient,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A template of ours.")],
    *,
    update: Annotated[
        int | None, typer.Option("--update", metavar="ID", help="Replace this one of the platform's.")
    ] = None,
    var: Var = None,
    vars_file: VarsFile = "",
    map_: Map = None,
    pictures: Pictures = "",
    directory: Directory = None,
    wait: Annotated[bool, typer.Option("--wait", help="Until the platform has checked it.")] = False,
    login: Login,
    as_json: JsonOption = False,
) -> None:
    """Bring a template of ours into the platform's form, and upload it with its attachments."""
    order = Order.of(
        name, Inputs(), var=var, vars_file=vars_file, map_=map_, pictures=pictures, directory=directory,
        config=login.config,
    )  # fmt: skip
    made = order.render()
    tell(made)
    id_ = upload(platform, name, made, update)
    state = checked(platform, id_, login) if wait else None
    if as_json:
        print_json({"id": id_, "fields": dict(made.fields), "check": plain(state)})
    else:
        typer.echo(f"template  {id_}{f' {words(state.colour)}' if state else ''}")
        for variable, field in made.fields.items():
            typer.echo(f"  {variable} is {{{field}}}")
        if state is None:
            typer.echo(f"Whether it may be sent: '{login.command(f'templates status {id_}')}'.")
    if state is not None and state.status != CheckStatus.PASSED:
        refuse(state)


def tell(made: PlatformTemplate) -> None:
    """What the platform does otherwise than the relay, on standard error."""
    if made.left_out:
        typer.echo(f"The platform sends no header fields of a template: without {', '.join(made.left_out)}.", err=True)


def upload(platform: PlatformClient, name: str, made: PlatformTemplate, update: int | None = None) -> int:
    """:returns: the template's id there."""
    templates = platform.templates
    with uploading("attachments") as progress:
        if update is None:
            return templates.add(
                name, made.subjects, made.html, text_content=made.text, attachments=made.attachments, progress=progress
            ).new_id
        templates.edit(update, name=name, subject=made.subjects, content=made.html, text_content=made.text)
        if any(template.attachments for template in templates.list(update)):
            templates.detach(update, all=True)
        if made.attachments:
            templates.attach(update, *made.attachments, progress=progress)
    return update


def checked(platform: PlatformClient, id_: int, login: Login) -> TemplateState:
    """What came of the platform's check, once it is done. One that takes too long ends the program."""
    states: list[TemplateState] = []

    def is_done() -> bool:
        states.append(platform.templates.status(id_))
        return states[-1].status != CheckStatus.CHECKING

    with waiting(f"The platform checks template {id_} …"):
        if not until(is_done, CHECKED_WITHIN):
            state = login.command(f"templates status {id_}")
            fail(os.EX_TEMPFAIL, f"The platform has not checked template {id_} within half an hour: see '{state}'.")
    return states[-1]


def refuse(state: TemplateState) -> NoReturn:
    """End the program with what to do about a template that may not be sent."""
    fail(
        os.EX_UNAVAILABLE,
        f"The platform does not let template {state.id} pass: {words(state.colour)}. Change what it may take for spam, "
        f"and push it again with --update {state.id}.",
    )
