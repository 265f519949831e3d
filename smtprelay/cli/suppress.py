"""`smtprelay suppress`: the addresses that are not to be sent to."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from smtprelay.cli.common import ConfigOption, JsonOption, print_json, print_table
from smtprelay.cli.configuration import config_path, fail, load_config
from smtprelay.cli.remote import connect, daemon
from smtprelay.clock import now_ms
from smtprelay.message import parse_address
from smtprelay.spool import OPERATOR, Suppression
from smtprelay.suppression import CAUSES, UNSUBSCRIBED, day_of, named
from smtprelay.suppression_file import Format
from smtprelay.suppression_list import MAX_TIME, Entry, parse_cause, parse_text, words_of
from smtprelay.values import parse_duration
from smtprelay.words import without_bidi_controls

CAUSE = f"One of {', '.join(CAUSES)}, or another number of the platform's."

app = typer.Typer(no_args_is_help=True)

Addresses = Annotated[list[str], typer.Argument(metavar="ADDRESS")]


@app.callback()
def suppress() -> None:
    """Addresses that are not to be sent to."""


@app.command("list")
def list_(
    text: Annotated[str, typer.Argument(metavar="TEXT", help="Only with it in address, source or note.")] = "",
    cause: Annotated[str, typer.Option(metavar="CAUSE", help=f"Only those. {CAUSE}")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Addresses at most.")] = 50,
    after: Annotated[str, typer.Option(metavar="ADDRESS", help="Only those behind it in the list.")] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """The list, by address."""
    relay = connect(config)
    found = list(relay.suppressions(_cause(cause), text, after, limit))
    if as_json:
        print_json([words_of(entry) for entry in found])
        return
    _show(found)
    if len(found) == limit:
        typer.echo(f"More: --after {shlex.quote(found[-1].address)}")
    count = relay.suppression_count()
    told = ", ".join(f"{number:,} {named(which)}" for which, number in sorted(count.items()))
    typer.echo(f"{_addresses(sum(count.values()))} on the list{told and ': '}{told}")


@app.command()
def add(
    addresses: Addresses,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for whoever looks next.")] = "",
    expires: Annotated[
        str, typer.Option(metavar="DURATION", help="For how long: 30d. Default: as the configuration has it.")
    ] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send to these addresses no more."""
    now = now_ms()
    try:
        until = _until(now, expires) if expires else None
        note = parse_text("--reason", reason)
        entries = [Entry(parse_address(address), OPERATOR, now, until, "", note) for address in addresses]
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    changed = sum(connect(config).suppress([entries]))
    if as_json:
        print_json({"changed": changed})
    else:
        typer.echo(f"{_addresses(len(entries))} suppressed; {changed} new or changed.")


@app.command()
def remove(
    addresses: Annotated[list[str] | None, typer.Argument(metavar="ADDRESS")] = None,
    file: Annotated[
        str, typer.Option(metavar="FILE", help="All that are in it, as 'import' reads it. - is standard input.")
    ] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send to these addresses again. What was told of them before does not enter them any more."""
    if bool(addresses) == bool(file):
        raise typer.BadParameter("name addresses, or a --file")
    if file:
        from smtprelay.cli.sending.order import Inputs
        from smtprelay.cli.suppression_files import remove_file

        contacts = Inputs().contacts(file, None)
        sys.exit(remove_file(connect(config), contacts, as_json=as_json))
    _remove(addresses or [], config, as_json=as_json)


def _until(now: int, expires: str) -> int:
    """:raises ValueError: that is no time for which an address can be on the list."""
    if not (lasts := parse_duration(expires)):
        raise ValueError("--expires: an entry of no time is none")
    if now + lasts > MAX_TIME:
        raise ValueError("--expires: that is after the year 5138: leave it out, and the entry stays for ever")
    return now + lasts


def _remove(addresses: Sequence[str], config: Path | None, *, as_json: bool) -> None:
    try:
        meant = list(dict.fromkeys(map(parse_address, addresses)))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    [unknown] = connect(config).unsuppress([meant])
    removed = len(meant) - len(unknown)
    if as_json:
        print_json({"removed": removed})
    elif removed:
        typer.echo(f"{_addresses(removed)} removed: mail goes there again.")
    if unknown:
        fail(os.EX_USAGE, "\n".join(f"{address} is not on the list" for address in unknown))


@app.command()
def sync(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Have the daemon ask the platform now for failures and unsubscriptions, as it does every quarter of an hour."""
    settings = load_config(config)
    if not settings.platform.accounts:
        fail(os.EX_CONFIG, f"{config_path(config)} has no [[platform.accounts]]: add one, then reload the daemon.")
    told = daemon(settings).sync()
    if as_json:
        print_json(told)
    else:
        for account in told:
            typer.echo(f"{account['account']}: {account.get('error') or _learned(account)}.")
    if any("error" in account for account in told):
        raise typer.Exit(os.EX_UNAVAILABLE)


def _learned(account: dict[str, Any]) -> str:
    causes = [f"{count:,} {named(cause)}" for cause, count in sorted(account["failures"].items()) if count]
    news = [*causes, *([f"{account['unsubscribed']:,} {named(UNSUBSCRIBED)}"] if account["unsubscribed"] else [])]
    return f"{', '.join(news) or 'nothing new'}; on the list, {account['suppressed']:,} new or changed"


@app.command("import")
def import_(
    file: Annotated[str, typer.Argument(metavar="FILE", help="- is standard input.")],
    format_: Annotated[Format | None, typer.Option("--format", help="Default: by the first line.")] = None,
    cause: Annotated[str, typer.Option(metavar="CAUSE", help=f"Of lines that name none. {CAUSE}")] = OPERATOR,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Enter what is in a file: CSV with a header, JSON Lines, or an address a line.

    To run it again does no harm.
    """
    from smtprelay.cli.sending.order import Inputs
    from smtprelay.cli.suppression_files import enter_file

    meant = _cause(cause)
    entries = Inputs().contacts(file, format_.lines if format_ else None)
    sys.exit(enter_file(connect(config), entries, meant, as_json=as_json))


@app.command()
def export(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Default: standard output.")] = "-",
    format_: Annotated[Format, typer.Option("--format")] = Format.CSV,
    text: Annotated[str, typer.Option(metavar="TEXT", help="Only with it in address, source or note.")] = "",
    cause: Annotated[str, typer.Option(metavar="CAUSE", help=f"Only those. {CAUSE}")] = "",
    config: ConfigOption = None,
) -> None:
    """Write the list, as 'import' and 'remove --file' read it."""
    from smtprelay.cli.suppression_files import Wanted, write_file, write_stream

    wanted = Wanted(text, _cause(cause))
    relay = connect(config)
    if file == "-":
        write_stream(relay, wanted, sys.stdout.buffer, format_)
        return
    try:
        count = write_file(relay, wanted, Path(file), format_)
    except OSError as error:
        fail(os.EX_CANTCREAT, f"{file} cannot be written: {error.strerror}.")
    typer.echo(f"{_addresses(count)} in {file}")


def _show(entries: Sequence[Suppression]) -> None:
    from rich.table import Column, Table

    table = Table(
        Column("address", no_wrap=True), "cause", "since", "until", "source", "note", box=None, pad_edge=False
    )
    for entry in entries:
        until = day_of(entry.expires) if entry.expires else "-"
        cells = (entry.address, named(entry.cause), day_of(entry.since), until, entry.source, entry.note)
        table.add_row(*map(without_bidi_controls, cells))
    print_table(table)


def _cause(text: str) -> str:
    try:
        return parse_cause(text) if text else ""
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _addresses(count: int) -> str:
    return f"{count:,} address{'es' * (count != 1)}"
