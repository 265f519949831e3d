"""`smtprelay domain`: how sending domains stand in DNS, and what to publish there."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from smtprelay.cli import domain_add
from smtprelay.cli.common import ConfigOption, JsonOption, print_json
from smtprelay.cli.domain_platform import Told, ask_platform
from smtprelay.cli.domain_records import Line, as_zone, records_of
from smtprelay.cli.domain_setup import Setup, checked_domain, find_setup
from smtprelay.cli.domain_text import as_dict, as_text, hints, prose
from smtprelay.cli.remote import look_again
from smtprelay.clock import now_ms
from smtprelay.config import DomainRules
from smtprelay.domains.verdict import Verdict
from smtprelay.keyring import KeyState
from smtprelay.signing import Signer
from smtprelay.words import local_time

INTERVAL = 10.0  # seconds between two looks of --watch

app = typer.Typer(no_args_is_help=True)

Domains = Annotated[list[str], typer.Argument(metavar="DOMAIN", help="Sending domains, as in From:.")]


app.command("add")(domain_add.add)


@app.callback()
def domain() -> None:
    """What DNS says of sending domains."""


@app.command()
def check(
    domains: Domains,
    config: ConfigOption = None,
    watch: Annotated[bool, typer.Option("--watch", help="Look again until all that is required passes.")] = False,
    as_json: JsonOption = False,
) -> None:
    """What DNS says of domains, what is wrong, and what to publish instead."""
    names = [checked_domain(text) for text in domains]
    setup = find_setup(config).with_keys(KeyState.ACTIVE)
    seen: list[Verdict] = []
    try:
        asyncio.run(_check(setup, names, watch=watch, as_json=as_json, seen=seen))
    except KeyboardInterrupt:
        typer.echo(err=True)
    raise typer.Exit(_exit_code(seen, setup.rules))


async def _check(setup: Setup, names: Sequence[str], *, watch: bool, as_json: bool, seen: list[Verdict]) -> None:
    """:param seen: is given the last verdicts."""
    async with setup.resolver() as resolver:
        while True:
            lookup = resolver.fresh()
            verdicts = await asyncio.gather(*(setup.verdict(name, lookup) for name in names))
            before = {verdict.domain: verdict.findings for verdict in seen}
            changed = [verdict for verdict in verdicts if verdict.findings != before.get(verdict.domain)]
            seen[:] = verdicts
            if changed:
                await asyncio.to_thread(_print, setup, changed, as_json=as_json, watch=watch, first=not before)
                await asyncio.to_thread(_tell_daemon, setup, changed)
            if not watch or _exit_code(verdicts, setup.rules) == os.EX_OK:
                return
            await asyncio.sleep(INTERVAL)


def _print(setup: Setup, verdicts: Sequence[Verdict], *, as_json: bool, watch: bool, first: bool) -> None:
    domains = [verdict.domain for verdict in verdicts]
    if as_json:
        told = ask_platform(setup.accounts, domains)
        print_json([_as_dict(verdict, setup, told.get(verdict.domain)) for verdict in verdicts])
        return
    if first:
        _echo_notes(setup)
    if watch:
        typer.echo(local_time(now_ms()))
    for verdict in verdicts:
        typer.echo(as_text(verdict, setup.rules))
    told = ask_platform(setup.accounts, domains)  # after the rest, as it may take its time
    for verdict in verdicts:
        if platform := told.get(verdict.domain):
            typer.echo(f"{platform.as_text(verdict)}\n")
    for hint in hints(verdicts, setup.rules.require, setup.option, watching=watch):
        typer.echo(hint)


def _as_dict(verdict: Verdict, setup: Setup, platform: Told | None) -> dict[str, Any]:
    told = {"platform": platform.as_dict(verdict)} if platform else {}
    return as_dict(verdict, setup.rules.require) | told


def _exit_code(verdicts: Sequence[Verdict], rules: DomainRules) -> int:
    if any(verdict.failing(rules.require) for verdict in verdicts):
        return os.EX_CONFIG
    unknown = not verdicts or any(verdict.unknown(rules.require) for verdict in verdicts)
    return os.EX_TEMPFAIL if unknown else os.EX_OK


def _tell_daemon(setup: Setup, verdicts: Sequence[Verdict]) -> None:
    """What was mended counts for mail as soon as it is seen here."""
    if setup.control:
        for verdict in verdicts:
            look_again(setup.control, verdict.domain)


@app.command()
def records(
    domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="A sending domain, as in From:.")],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """All records that a domain needs in DNS, as lines of a zone file."""
    name = checked_domain(domain)
    setup = find_setup(config).with_keys(KeyState.ACTIVE, KeyState.PENDING, KeyState.RETIRING)
    lines = asyncio.run(_records(setup, name))
    if as_json:
        print_json([line.as_dict() for line in lines])
    else:
        _echo_notes(setup)
        typer.echo(as_zone(lines))
    raise typer.Exit(os.EX_TEMPFAIL if any(line.state == "unknown" for line in lines) else os.EX_OK)


async def _records(setup: Setup, name: str) -> list[Line]:
    async with setup.resolver() as resolver:
        keys = Signer(setup.keys or ()).keys_for(name)
        return await records_of(await setup.verdict(name, resolver), setup.rules, keys, resolver)


def _echo_notes(setup: Setup) -> None:
    for note in setup.notes:
        typer.echo(prose(note), err=True)
