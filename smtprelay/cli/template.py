"""`smtprelay template`: what templates there are, what is wrong with them, and what comes of them."""

from __future__ import annotations

import email.policy
import json
import multiprocessing
import os
import resource
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import date
from email import message_from_bytes
from email.message import EmailMessage
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from smtprelay.cli.common import ConfigOption, JsonOption, print_json
from smtprelay.cli.configuration import fail, load_config
from smtprelay.clock import now_ms
from smtprelay.errors import TemplateError
from smtprelay.message import AddressError, parse_address

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from smtprelay.templating.check import Finding
    from smtprelay.templating.library import Templates

T = TypeVar("T")

SECONDS = 10.0  # for one template
MEMORY = 512 * 2**20  # octets beside what the program has

app = typer.Typer(no_args_is_help=True)

DirectoryOption = Annotated[
    Path | None,
    typer.Option("--directory", "-d", metavar="DIR", help="Of the templates. Default: as the configuration has it."),
]


@app.callback()
def template() -> None:
    """Mail templates."""


@app.command("list")
def list_(directory: DirectoryOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """The templates that there are, and their languages."""
    templates = _templates(directory, config)
    found = {name: list(filter(None, templates.catalog.languages(name))) for name in templates.names()}
    if as_json:
        print_json([{"name": name, "languages": languages} for name, languages in found.items()])
        return
    for name, languages in found.items():
        typer.echo(f"{name} ({', '.join(languages)})" if languages else name)


@app.command()
def check(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Default: all of them.")] = None,
    directory: DirectoryOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Render templates with their examples and defaults, and say what is wrong with them."""
    templates = _templates(directory, config)
    there = templates.names()
    if unknown := [name for name in names or () if name not in there]:
        fail(os.EX_USAGE, f"There is no template {unknown[0]}. There are: {', '.join(there) or 'none'}.")
    found = findings_of(templates, names or there)
    if as_json:
        print_json([{"name": name, "findings": [asdict(one) for one in findings]} for name, findings in found.items()])
    else:
        for name, findings in found.items():
            if not findings:
                typer.echo(f"{'ok':<8} {name}")
            for finding in findings:
                typer.echo(f"{finding.level:<8} {name}: {finding}")
    bad = any(finding.level == "failed" for findings in found.values() for finding in findings)
    raise typer.Exit(os.EX_CONFIG if bad else os.EX_OK)


def findings_of(templates: Templates, names: Sequence[str]) -> dict[str, list[Finding]]:
    """What is wrong with each of these templates; rendered within limits."""
    from smtprelay.templating.check import Finding
    from smtprelay.templating.check import check as check_template

    found: dict[str, list[Finding]] = {}
    for name in names:
        try:
            found[name] = apart(name, partial(check_template, templates, name, date.today().isoformat()))
        except TemplateError as error:
            found[name] = [Finding("failed", error.file, error.line, error.problem, error.variable)]
    return found


@app.command()
def render(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The template.")],
    var: Annotated[list[str] | None, typer.Option("--var", metavar="NAME=VALUE", help="A variable.")] = None,
    vars_file: Annotated[Path | None, typer.Option(metavar="FILE", help="A JSON object of variables.")] = None,
    to: Annotated[str, typer.Option("--to", metavar="ADDRESS", help="The recipient.")] = "",
    html: Annotated[bool, typer.Option("--html", help="Print the HTML.")] = False,
    text: Annotated[bool, typer.Option("--text", help="Print the text.")] = False,
    source: Annotated[bool, typer.Option("--source", help="Print the message as it is sent.")] = False,
    directory: DirectoryOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show what comes of a template."""
    if sum((html, text, source, as_json)) > 1:
        fail(os.EX_USAGE, "Give one of --html, --text, --source and --json.")
    variables = _variables(vars_file, var or [])
    templates = _templates(directory, config)
    try:
        octets = _render(templates, name, variables, to)
    except TemplateError as error:
        fail(os.EX_CONFIG, str(error))
    message = message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    if as_json:
        print_json(_as_dict(name, message))
    elif source:
        typer.echo(octets, nl=False)
    elif html or text:
        typer.echo(_body(message, "html" if html else "plain"), nl=False)
    else:
        for field, value in message.items():
            if not field.lower().startswith(("content-", "mime-")):
                typer.echo(f"{field}: {value}")
        typer.echo(f"\n{_body(message, 'plain')}", nl=False)


def _render(templates: Templates, name: str, variables: dict[str, Any], to: str) -> bytes:
    from smtprelay.repair.fields import Field
    from smtprelay.templating.job import Job, Part

    try:
        header = Field.compose("To", parse_address(to)).raw if to else b""
    except AddressError as error:
        fail(os.EX_USAGE, f"--to: {error}.")
    job = Job(name, (Part(header, to, variables),), b"", now_ms())
    return apart(name, lambda: next(templates.render(job)))


def _templates(directory: Path | None, config: Path | None) -> Templates:
    from smtprelay.templating.library import Templates

    folder = directory or load_config(config).templates.directory
    if not folder.is_dir():
        fail(os.EX_CONFIG, f"{folder} is not a directory: make it, or set [templates] directory.")
    return Templates(folder)


def _variables(file: Path | None, pairs: list[str]) -> dict[str, Any]:
    variables: Any = {}
    if file:
        try:
            variables = json.loads(file.read_bytes().decode("utf-8-sig"))
        except OSError as error:
            fail(os.EX_NOINPUT, f"{file} cannot be read: {error.strerror}.")
        except (ValueError, RecursionError) as error:
            fail(os.EX_DATAERR, f"{file} is not JSON: {error}.")
    if not isinstance(variables, dict):
        fail(os.EX_DATAERR, f"{file}: a JSON object is wanted.")
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            fail(os.EX_USAGE, f"--var {pair}: NAME=VALUE is wanted.")
        variables[name] = value
    return variables


def _as_dict(name: str, message: EmailMessage) -> dict[str, Any]:
    return {
        "template": name,
        "headers": {field: str(value) for field, value in message.items()},
        "text": _body(message, "plain"),
        "html": _body(message, "html"),
        "attachments": [
            {
                "filename": part.get_filename(),
                "type": part.get_content_type(),
                "content_id": str(part.get("Content-ID", "")).strip("<>"),
                "octets": len(part.get_payload(decode=True) or b""),
            }
            for part in message.walk()
            if part.get_content_disposition()
        ],
    }


def _body(message: EmailMessage, subtype: str) -> str:
    part = next((part for part in message.walk() if part.get_content_type() == f"text/{subtype}"), None)
    return str(part.get_content()).replace("\r\n", "\n") if isinstance(part, EmailMessage) else ""


def apart(name: str, work: Callable[[], T]) -> T:
    """What comes of it in a process of its own: a template may loop, or crash what renders it.

    :raises TemplateError: it takes too long or too much, or raises one.
    """
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(theirs, name, work), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(SECONDS):
            raise TemplateError(name, f"it takes more than {SECONDS:g} seconds")
        result = ours.recv()
    except EOFError:
        raise TemplateError(name, "the process that renders it crashed: is its HTML nested very deeply?") from None
    finally:
        process.kill()
        process.join()
        ours.close()
    if isinstance(result, TemplateError):
        raise result
    return cast("T", result)


def _answer(out: Connection, name: str, work: Callable[[], object]) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    result: object
    try:
        result = work()
    except TemplateError as error:
        result = error
    except MemoryError:
        result = TemplateError(name, f"it takes more than {MEMORY // 2**20} MiB of memory")
    out.send(result)
