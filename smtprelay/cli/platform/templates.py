"""`smtprelay platform templates`: bodies come from files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from smtprelay.cli.common import JsonOption
from smtprelay.cli.configuration import fail
from smtprelay.cli.platform.progress import uploading
from smtprelay.cli.platform.show import show
from smtprelay.platform import PlatformClient
from smtprelay.platform.template_values import Encoding

Subject = Annotated[list[str] | None, typer.Option("--subject", metavar="TEXT", help="Several take turns.")]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="With {FULLNAME}, {VAR1} and so on.")]
Text = Annotated[Path | None, typer.Option("--text", metavar="FILE", help="Where HTML cannot be shown.")]
EncodingOption = Annotated[
    Encoding | None, typer.Option("--encoding", parser=Encoding, metavar="base64|quoted-printable")
]


def add(
    platform: PlatformClient,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called on the platform.")],
    *,
    subject: Subject = None,
    html: Html = None,
    text: Text = None,
    attach: Annotated[list[Path] | None, typer.Option("--attach", metavar="FILE", help="Repeatable.")] = None,
    encoding: EncodingOption = None,
    as_json: JsonOption = False,
) -> None:
    content = _content(html)
    if content is None:
        fail(os.EX_USAGE, "Say what is sent: --html FILE.")
    with uploading("attachments") as progress:
        result = platform.templates.add(
            name,
            subject or (),
            content,
            text_content=_content(text),
            encoding=encoding,
            attachments=attach or (),
            progress=progress,
        )
    show(result, as_json=as_json)


def edit(
    platform: PlatformClient,
    tpl_id: Annotated[int, typer.Argument(metavar="TEMPLATE", help="Its id.")],
    *,
    name: Annotated[str | None, typer.Option("--name", metavar="NAME")] = None,
    subject: Subject = None,
    html: Html = None,
    text: Text = None,
    encoding: EncodingOption = None,
    as_json: JsonOption = False,
) -> None:
    result = platform.templates.edit(
        tpl_id,
        name=name,
        subject=subject,
        content=_content(html),
        text_content=_content(text),
        encoding=encoding,
    )
    show(result, as_json=as_json)


def _content(path: Path | None) -> str | None:
    try:
        return path.read_text("utf-8-sig") if path else None
    except OSError as error:
        fail(os.EX_NOINPUT, f"{path} cannot be read: {error.strerror}.")
    except UnicodeDecodeError:
        fail(os.EX_DATAERR, f"{path} is not UTF-8: save it as UTF-8.")
