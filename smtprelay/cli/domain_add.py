"""`smtprelay domain add`: a sending domain is added at the platform, and its records are published."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Annotated

import typer

from smtprelay.cli.common import ConfigOption
from smtprelay.cli.configuration import config_path, platform_account
from smtprelay.cli.domain_platform import ask_platform, client_of
from smtprelay.cli.domain_records import as_zone, records_of
from smtprelay.cli.domain_setup import Setup, checked_domain, find_setup
from smtprelay.cli.domain_text import prose
from smtprelay.cli.remote import look_again
from smtprelay.config import PlatformAccount
from smtprelay.domains.verdict import Verdict
from smtprelay.keyring import KeyState
from smtprelay.signing import Signer
from smtprelay.values import parse_duration

INTERVAL = 10.0  # seconds between two looks of --wait


def add(
    domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="A sending domain, as in From:.")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait until DNS and the platform say it is set up.")] = False,
    limit: Annotated[str, typer.Option("--limit", metavar="DURATION", help="How long to wait at most.")] = "1h",
    account: Annotated[
        str, typer.Option("--account", metavar="NAME", help="One of the configuration's, where there are several.")
    ] = "",
    config: ConfigOption = None,
) -> None:
    """Add a domain at the platform, and print the records to publish."""
    name = checked_domain(domain)
    setup = find_setup(config).with_keys(KeyState.ACTIVE)
    try:
        seconds = parse_duration(limit) / 1000
    except ValueError as error:
        raise typer.BadParameter(f"--limit: {error}") from None
    absent = f"{config_path(config)} has no [[platform.accounts]]: add one."
    chosen = platform_account(setup.accounts, account, absent)
    _add(chosen, name)
    typer.echo(asyncio.run(_records(setup, name)))
    if name not in setup.known:
        typer.echo(prose(f"Then let mail be sent in its name: add it to [[domains]] in {config_path(config)}."))
    if wait:
        raise typer.Exit(asyncio.run(_wait(setup, chosen, name, seconds)))


def _add(account: PlatformAccount, domain: str) -> None:
    from smtprelay.cli.platform.login import ending_well

    with ending_well(), client_of(account) as platform:
        state = next((state for state in platform.domains.check(domain) if state.domain_id), None)
        if state:
            typer.echo(f"The platform has {domain} already ({state.status.english}).")
            return
        added = platform.domains.add(domain)
        seen = "its DNS is right" if added.verified else "its DNS is not right yet"
        typer.echo(f"{domain} is added at the platform; {seen}.")


async def _records(setup: Setup, domain: str) -> str:
    async with setup.resolver() as resolver:
        keys = Signer(setup.keys or ()).keys_for(domain)
        return as_zone(await records_of(await setup.verdict(domain, resolver), setup.rules, keys, resolver))


async def _wait(setup: Setup, account: PlatformAccount, domain: str, limit: float) -> int:
    """:param limit: seconds. :returns: one of sysexits' codes."""
    until, said = time.monotonic() + limit, ""
    async with setup.resolver() as resolver:
        while True:
            verdict = await setup.verdict(domain, resolver.fresh())
            told = (await asyncio.to_thread(ask_platform, [account], [domain]))[domain]
            news = "\n".join([_standing(setup, verdict), told.as_text(verdict)])
            if news != said:
                typer.echo(news)
                said = news
            if told.is_added and told.is_verified and _passes(setup, verdict):
                if setup.control:
                    await asyncio.to_thread(look_again, setup.control, domain)
                return os.EX_OK
            if time.monotonic() + INTERVAL > until:
                typer.echo("The time is up: 'smtprelay domain check' shows how it stands.", err=True)
                return os.EX_TEMPFAIL
            await asyncio.sleep(INTERVAL)


def _passes(setup: Setup, verdict: Verdict) -> bool:
    return not verdict.failing(setup.rules.require) and not verdict.unknown(setup.rules.require)


def _standing(setup: Setup, verdict: Verdict) -> str:
    wrong = [finding.problem for finding in verdict.findings if finding.rule in setup.rules.require and finding.problem]
    return prose(f"{verdict.domain} here: {'; '.join(wrong) or 'all that is required passes'}")
