"""`smtprelay send`: one message, or one for each of a file's contacts, from a template or from text."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path
from typing import Annotated

import typer

from smtprelay.cli.common import ConfigOption
from smtprelay.cli.configuration import fail
from smtprelay.contacts import Format

USER = "Log in to the relay as; the password is in $SMTPRELAY_PASSWORD or in --password-file."
KEY = "Your name for what is sent: what was sent under it is not sent again. Default for --contacts: made of all of it."
DIRECT = "Send from this process by the configuration, without a daemon. What was sent before is not known then."
DRY_RUN = "Render, check and sign everything by the configuration, and send nothing."


def send(
    from_: Annotated[str, typer.Option("--from", metavar="ADDRESS", help="Who writes.")] = "",
    to: Annotated[list[str], typer.Option("--to", metavar="ADDRESS", help="Repeatable.")] = [],  # noqa: B006
    contacts: Annotated[
        str, typer.Option(metavar="FILE", help="A message for each of them: the platform's lines, CSV or JSON Lines.")
    ] = "",
    contacts_format: Annotated[Format | None, typer.Option(help="Default: by the first line.")] = None,
    subject: Annotated[str, typer.Option(metavar="TEXT")] = "",
    text: Annotated[str, typer.Option(metavar="TEXT", help="The body; @FILE reads it, and - standard input.")] = "",
    html: Annotated[str, typer.Option(metavar="TEXT", help="The same as HTML.")] = "",
    attach: Annotated[list[Path], typer.Option(metavar="FILE", help="Repeatable.")] = [],  # noqa: B006
    template: Annotated[str, typer.Option(metavar="NAME", help="One of the relay's templates.")] = "",
    var: Annotated[list[str], typer.Option(metavar="NAME=VALUE", help="For the template. Repeatable.")] = [],  # noqa: B006
    vars_file: Annotated[str, typer.Option(metavar="FILE", help="The same, as one JSON object.")] = "",
    header: Annotated[list[str], typer.Option(metavar="'NAME: VALUE'", help="Repeatable.")] = [],  # noqa: B006
    tag: Annotated[list[str], typer.Option(metavar="TAG", help="For the history. Repeatable.")] = [],  # noqa: B006
    send_at: Annotated[str, typer.Option(metavar="TIME", help="Not before: 2026-11-24T18:00, local time.")] = "",
    idempotency_key: Annotated[str, typer.Option(metavar="KEY", help=KEY)] = "",
    again: Annotated[bool, typer.Option("--again", help="Send it anew, also what was sent before.")] = False,
    relay: Annotated[
        str, typer.Option(metavar="URL", help="Default: as -c has it; $SMTPRELAY_GATEWAY; smtp://127.0.0.1:2525.")
    ] = "",
    user: Annotated[str, typer.Option(metavar="NAME", help=USER)] = "",
    password_file: Annotated[Path | None, typer.Option(metavar="FILE")] = None,
    direct: Annotated[bool, typer.Option("--direct", help=DIRECT)] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help=DRY_RUN)] = False,
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON lines, also on a terminal.")] = False,
) -> None:
    """Send a message to people, or one to each of a file's contacts.

    What was begun with --contacts and has not come to its end goes on when the same command is run again: nobody gets
    it twice within the relay's history.
    """
    import uvloop

    from smtprelay.cli.sending.order import Inputs, batch_key, headers, moment
    from smtprelay.cli.sending.route import Way, open_way
    from smtprelay.cli.sending.run import send_one, send_to_contacts
    from smtprelay.cli.sending.show import show_end, show_receipt, showing
    from smtprelay.cli.sending.tally import status_of
    from smtprelay.client.message import Common, Message

    if bool(to) == bool(contacts):
        fail(os.EX_USAGE, "Say whom it is for: either --to ADDRESS, or --contacts FILE.")
    if again and (idempotency_key or not contacts):
        fail(os.EX_USAGE, "--again goes with --contacts, and not with --idempotency-key: give it a new one instead.")
    if direct and (again or idempotency_key):
        fail(os.EX_USAGE, "--direct knows nothing of what was sent before: leave --again and --idempotency-key out.")
    way = Way.DRY_RUN if dry_run else Way.DIRECT if direct else Way.RELAY
    inputs, at = Inputs(), moment(send_at)
    fields = Common(
        from_=from_, subject=subject, text=inputs.text(text), html=inputs.text(html), template=template,
        attachments=[inputs.attachment(path) for path in attach], vars=inputs.variables(var, vars_file),
        headers=headers(header, bulk=bool(contacts)), tag=tag, send_at=at,
    )  # fmt: skip
    transport = open_way(way, relay, config, user, password_file)
    lines = as_json or not sys.stdout.isatty()
    file = inputs.contacts(contacts, contacts_format) if contacts else None
    if not (from_ or template):
        fail(os.EX_USAGE, "Say who writes: --from ADDRESS.")
    if not (template or subject or text or html or attach):
        fail(os.EX_USAGE, "Say what is sent: --template NAME, --text TEXT, --html TEXT or --attach FILE.")
    if file is None:
        message = Message(to=to, idempotency_key=idempotency_key, **fields)
        receipt = uvloop.run(send_one(transport, message))
        show_receipt(receipt, way, lines=lines)
        sys.exit(status_of(receipt))
    key = ""
    if way is not Way.DIRECT:  # which does not know what was sent before
        key = idempotency_key or batch_key(fields, file)
        key += f"-{secrets.token_hex(4)}" if again else ""
    with showing(file.lines, way, lines=lines) as show:
        tally = uvloop.run(send_to_contacts(transport, fields, key, file, show))
        if not tally.unheard:
            show.summary(tally, key)
    show_end(tally, way, key, again=again, named=bool(idempotency_key))
    sys.exit(tally.status)
