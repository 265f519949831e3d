"""`smtprelay platform tasks create`: a campaign in one command, from a template and a file of contacts of ours, or from
what the platform has already."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from contextlib import closing, nullcontext
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from smtprelay.cli.common import JsonOption, print_json
from smtprelay.cli.configuration import fail
from smtprelay.cli.platform.campaign import Campaign
from smtprelay.cli.platform.contacts import Count, FormatOption, platform_file
from smtprelay.cli.platform.kinds import kind_of
from smtprelay.cli.platform.login import Login
from smtprelay.cli.platform.push import Directory, Map, Order, Pictures, Var, VarsFile, mapping, tell
from smtprelay.cli.platform.show import plain, words
from smtprelay.cli.sending.order import Inputs
from smtprelay.contacts import Contact, ContactFile
from smtprelay.platform import PlatformClient
from smtprelay.platform.statistics import TrackState
from smtprelay.platform.task_values import Sender, Start
from smtprelay.platform.tasks import Tasks
from smtprelay.templating.platform_form import FIELDS
from smtprelay.values import SHANGHAI

_SEEN = 100  # contacts that tell which fields all of them have
_Sender, _Moment = kind_of(Sender), kind_of(datetime)
_TRACKING = f"What is counted: {kind_of(TrackState).values}."


def create(
    platform: PlatformClient,
    *,
    template: Annotated[str, typer.Option(metavar="NAME", help="One of ours; it is pushed first.")] = "",
    tpl_id: Annotated[list[int] | None, typer.Option(metavar="ID", help="One of the platform's. Repeatable.")] = None,
    contacts: Annotated[str, typer.Option(metavar="FILE", help="The platform's lines, CSV or JSON Lines.")] = "",
    contacts_format: FormatOption = None,
    list_id: Annotated[int, typer.Option(metavar="ID", help="The list that they go into. Default: a new one.")] = 0,
    list_name: Annotated[str, typer.Option(metavar="NAME", help="Of the new list. Default: template and time.")] = "",
    sender: Annotated[Sender, typer.Option(parser=_Sender.parse, metavar=_Sender.metavar, help="Whom it comes from.")],
    sender_name: Annotated[str, typer.Option(metavar="NAME", help="Shown with that address.")],
    time: Annotated[
        datetime | None, typer.Option(parser=_Moment.parse, metavar=_Moment.metavar, help=_Moment.values)
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="Send it at once.")] = False,
    hold: Annotated[bool, typer.Option("--hold", help="Do not send it until 'tasks edit ID --start 1'.")] = False,
    first: Annotated[int, typer.Option(metavar="N", help="The first address of the list that it goes to.")] = 1,
    last: Annotated[int, typer.Option(metavar="N", help="The last one; 0: all.")] = 0,
    unsubscribe_link: Annotated[bool, typer.Option(help="Whether each mail gets a link to unsubscribe.")] = True,
    tracking: Annotated[
        TrackState, typer.Option(parser=TrackState, metavar="0|1|2", help=_TRACKING)
    ] = TrackState.NOTHING,
    track_domain: Annotated[str | None, typer.Option(metavar="DOMAIN", help="Of the links that count.")] = None,
    reply_to: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Where answers go.")] = None,
    var: Var = None,
    vars_file: VarsFile = "",
    map_: Map = None,
    pictures: Pictures = "",
    directory: Directory = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look at all that is ours, and send nothing.")] = False,
    login: Login,
    as_json: JsonOption = False,
) -> None:
    """Schedule a campaign, from a template and contacts of ours or from what the platform has already. (5.1 and 6.2)"""
    if bool(template) == bool(tpl_id):
        fail(os.EX_USAGE, "Say what is sent: --template NAME, or --tpl-id ID.")
    if not contacts and not list_id:
        fail(os.EX_USAGE, "Say whom it goes to: --contacts FILE, --list-id ID, or both, to add them to the list.")
    start, time = _schedule(time, now=now, hold=hold)
    parameters: dict[str, Any] = {
        "sender": sender, "sender_name": sender_name, "time": time, "start": start,
        "first": first, "last": last, "unsubscribe_link": unsubscribe_link, "tracking": tracking,
        "track_domain": track_domain, "reply_to": reply_to,
    }  # fmt: skip
    Tasks.create.describe(None, 1, 1, **parameters)  # raises what is wrong with them before anything is made
    inputs = Inputs()
    order = Order.of(
        template, inputs, var=var, vars_file=vars_file, map_=map_, pictures=pictures, directory=directory,
        config=login.config,
    ) if template else None  # fmt: skip
    count = Count()
    with closing(inputs.contacts(contacts, contacts_format)) if contacts else nullcontext() as file:
        known = _known(file) if file else None
        made = order.render(known or ()) if order else None
        fields = made.fields if made else mapping(map_ or ())
        if known is not None:
            _require(fields, known)
        if made:
            tell(made)
        campaign = Campaign(platform, tpl_id or [], list_id, filled=not contacts, login=login, fields=fields)
        name = list_name or f"{template or Path(contacts).stem} {datetime.now(SHANGHAI):%Y-%m-%d %H:%M}"
        with platform_file(file, count, fields) if file else nullcontext() as lines, campaign.advising(contacts):
            if not dry_run:
                campaign.run(template, made, name, lines, parameters)
    _show(campaign, count, parameters, as_json=as_json)


def _schedule(time: datetime | None, *, now: bool, hold: bool) -> tuple[Start, datetime | None]:
    """Whether it waits for its time, and for which; or the end of the program."""
    if now and (hold or time):
        fail(os.EX_USAGE, "--now goes without --time and --hold.")
    if not (now or hold or time):
        fail(os.EX_USAGE, "Say when: --time '2026-12-01 09:00', in Asia/Shanghai, --now, or --hold.")
    if time and time < datetime.now(SHANGHAI):
        fail(os.EX_USAGE, f"--time {time.isoformat(' ')} is past: give a later one, or --now.")
    if hold:
        # The platform wants a time of what it does not send, too.
        return Start.HOLD, time or datetime.now(SHANGHAI).replace(microsecond=0)
    return Start.NOW if now else Start.WAIT, time


def _known(file: ContactFile) -> Collection[str] | None:
    """What the first contacts have; None where there are none."""
    first = list(islice((item for item in file if isinstance(item, Contact)), _SEEN))
    return dict.fromkeys(name for contact in first for name in contact.fields) if first else None


def _require(fields: Mapping[str, str], known: Collection[str]) -> None:
    """End the program where the template shows what no contact has: it would be empty in every mail."""
    for variable, field in fields.items():
        if variable not in FIELDS and variable not in known and field.lower() not in known:
            fail(
                os.EX_DATAERR,
                f"The template shows {variable}, and no contact has that or {field.lower()}: give them a column "
                f"{variable}, or one value for all with --var {variable}=…",
            )


def _show(campaign: Campaign, count: Count, parameters: Mapping[str, Any], *, as_json: bool) -> None:
    """What was made; what a dry run did not make is null."""
    statistics = campaign.login.command(f"stats batches --id {campaign.task}")
    if as_json:
        print_json({
            "task": campaign.task or None, "templates": campaign.templates, "list": campaign.list_id or None,
            "upload": campaign.upload or None, "contacts": count.contacts, "bad_lines": count.bad_lines,
            "duplicates": count.duplicates, "fields": dict(campaign.fields), "checks": plain(campaign.checks),
            "time": plain(parameters["time"]), "statistics": statistics if campaign.task else None,
        })  # fmt: skip
        return
    for variable, field in campaign.fields.items():
        typer.echo(f"{variable} is {{{field}}}")
    contacts = f"{count.contacts} contact{'s' * (count.contacts != 1)}"
    if not campaign.task:
        typer.echo(f"{contacts}. Nothing was sent to the platform.")
        return
    for check in campaign.checks:
        typer.echo(f"template  {check.id} {words(check.colour)}")
    typer.echo(f"list      {campaign.list_id}{f', {contacts}' if campaign.upload else ''}")
    typer.echo(f"task      {campaign.task} {parameters['start'].english} {words(parameters['time'])}".rstrip())
    typer.echo(f"What comes of it: '{statistics}'.")
