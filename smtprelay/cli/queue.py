"""`smtprelay queue`: what is in the books, and what an operator can do about it."""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from datetime import datetime
from typing import Annotated, Any

import typer

from smtprelay.cli.common import ConfigOption, JsonOption, print_json, print_table
from smtprelay.cli.configuration import fail
from smtprelay.cli.remote import connect
from smtprelay.clock import now_ms
from smtprelay.spool import Query, Selector, State
from smtprelay.story import refused_later, tell
from smtprelay.values import parse_duration
from smtprelay.words import in_language, interval, language_of, local_time, octets, without_bidi_controls

MOMENT = "2026-11-24, '2026-11-24 15:00', or how long ago: 2h, 3d"
_COLOURS = {"-": "red", "+": "green"}

app = typer.Typer(no_args_is_help=True)

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Message ids.")]
Account = Annotated[str, typer.Option(help="Only of this account, or trusted client's address.")]
To = Annotated[str, typer.Option(help="Only for this recipient; *@domain for a whole domain.")]
InState = Annotated[State | None, typer.Option(help="Only in this state.")]
Reason = Annotated[str, typer.Option(help="Only held for this reason.")]
Tag = Annotated[str, typer.Option(help="Only with this tag.")]
Everything = Annotated[bool, typer.Option("--all", help="Everything that the action can touch.")]


@app.callback()
def queue() -> None:
    """The queue: see it, steer it."""


@app.command("list")
def list_(
    config: ConfigOption = None,
    account: Account = "",
    to: To = "",
    state: InState = None,
    reason: Reason = "",
    tag: Tag = "",
    text: Annotated[
        str, typer.Option(help="Words of addresses, subject, tags, id and Message-ID; beginnings will do.")
    ] = "",
    subject: Annotated[str, typer.Option(help="Words of the subject.")] = "",
    since: Annotated[str, typer.Option(help=f"Accepted then or later: {MOMENT}.")] = "",
    until: Annotated[str, typer.Option(help=f"Accepted before then: {MOMENT}.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Messages at most.")] = 50,
    before: Annotated[str, typer.Option(metavar="ID", help="Only messages older than this one.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Messages, newest first."""
    query = Query(text, "", tag, account, state, _moment(since), _moment(until), subject, to, reason)
    messages = connect(config).list(query, limit, before)
    if as_json:
        print_json(messages)
        return
    from rich.table import Column, Table

    table = Table(
        Column("id", no_wrap=True),
        "accepted",
        "from",
        "recipient",
        "state",
        "next or last",
        "reply",
        box=None,
        pad_edge=False,
    )
    for message in messages:
        for i, r in enumerate(message["recipients"]):
            first = (message["id"], local_time(message["received_at"])[:19], message["reverse_path"] or "<>")
            waiting = r["state"] in (State.QUEUED, State.SENDING)
            at = r["next_at"] if waiting else r["updated_at"]
            state_words = f"{r['state']} ({r['reason']})" if r["reason"] else r["state"]
            cells = (
                *(first if i == 0 else ("", "", "")),
                *(r["recipient"], state_words, local_time(at)[:19], _later(r) or r["reply"]),
            )
            table.add_row(*map(without_bidi_controls, cells))
    print_table(table)
    if len(messages) == limit:
        typer.echo(f"Older ones: --before {messages[-1]['id']}")


@app.command()
def show(
    message_id: Annotated[str, typer.Argument(metavar="ID")],
    config: ConfigOption = None,
    diff: Annotated[bool, typer.Option("--diff", help="Only what repair changed in its header.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Everything that is known of one message."""
    message = connect(config).show(message_id)
    if diff and as_json:
        print_json(message["changes"])
        return
    if diff:
        for line in message["changes"] or ["Repair changed nothing in its header."]:
            _echo(line, _COLOURS.get(line[0]))
        return
    if as_json:
        print_json(message)
        return
    for key, value in message.items():
        if text := _in_words(key, value):
            _echo(f"{key:<15} {text}")
    for repair in message["repairs"]:
        _echo(f"{'repair':<15} {repair}")
    for r in message["recipients"]:
        _echo(f"{'recipient':<15} {r['recipient']}: {_standing(r)}")


@app.command()
def source(
    message_id: Annotated[str, typer.Argument(metavar="ID")],
    config: ConfigOption = None,
) -> None:
    """The captured mail itself, as it would have left: for a reader of mail, or a test of the app that sent it."""
    sys.stdout.buffer.write(connect(config).source(message_id))


@app.command()
def why(
    message_id: Annotated[str, typer.Argument(metavar="ID")], config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """What happened to a message, attempt by attempt, and what to do."""
    message = connect(config).show(message_id)
    say = in_language(language_of(os.environ))
    explanation = list(tell(message, say).lines(say))
    if as_json:
        print_json({**message, "explanation": explanation})
    else:
        _echo("\n".join(explanation))


@app.command()
def stats(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """The queue in figures."""
    figures = connect(config).stats()
    if as_json:
        print_json(figures)
        return
    if figures["mode"]:
        typer.echo(figures["mode"])
    for state, count in figures["recipients"].items():
        typer.echo(f"{state:<11} {count}")
    for reason, count in figures["held"].items():
        typer.echo(f"  held for {reason}: {count}")
    if figures["oldest"]:
        typer.echo(f"oldest      {interval(int(time.time() * 1000) - figures['oldest'])}")
    for name, count in figures["credentials"].items():
        typer.echo(f"waiting for credential {name}: {count}")
    for name, pause in figures["paused"].items():
        typer.echo(f"PAUSED credential {name} since {local_time(pause['since'])}: {pause['reply']}")
        typer.echo(f"  next log-in {local_time(pause['until'])}; check its username and password")
    for account in figures["suspended"]:
        typer.echo(f"SUSPENDED account {account}: 'smtprelay account resume {account}' lets it send again")
    typer.echo(f"spool       {octets(figures['bytes'])}, {octets(figures['free'])} free")


def _act(
    action: str, done: str, config: ConfigOption, selector: Selector, everything: bool, as_json: bool, reason: str = ""
) -> None:
    if not everything and selector == Selector():
        raise typer.BadParameter(
            f"say which messages to {action}: IDs, --account, --to, --state, --reason, --tag, or --all"
        )
    result = connect(config).act(action, selector, reason)
    if as_json:
        print_json({"recipients": result.recipients})
    elif result.recipients or not result.undone:
        typer.echo(f"{result.recipients} recipient{'s' * (result.recipients != 1)} {done}")
    if result.undone:
        fail(os.EX_USAGE, "\n".join(result.undone))


@app.command()
def retry(
    ids: Ids = None,
    config: ConfigOption = None,
    account: Account = "",
    to: To = "",
    tag: Tag = "",
    everything: Everything = False,
    as_json: JsonOption = False,
) -> None:
    """Try again now what waits for its next attempt."""
    _act("retry", "due now", config, Selector(tuple(ids or ()), account, to, tag=tag), everything, as_json)


@app.command()
def hold(
    ids: Ids = None,
    config: ConfigOption = None,
    account: Account = "",
    to: To = "",
    tag: Tag = "",
    everything: Everything = False,
    reason: Annotated[str, typer.Option(help="Why, for whoever looks next.")] = "operator",
    as_json: JsonOption = False,
) -> None:
    """Keep back what waits."""
    _act("hold", "held", config, Selector(tuple(ids or ()), account, to, tag=tag), everything, as_json, reason)


@app.command()
def release(
    ids: Ids = None,
    config: ConfigOption = None,
    account: Account = "",
    to: To = "",
    reason: Reason = "",
    tag: Tag = "",
    everything: Everything = False,
    as_json: JsonOption = False,
) -> None:
    """Let go what is held."""
    _act("release", "released", config, Selector(tuple(ids or ()), account, to, None, reason, tag), everything, as_json)


@app.command()
def cancel(
    ids: Ids = None,
    config: ConfigOption = None,
    account: Account = "",
    to: To = "",
    state: InState = None,
    reason: Reason = "",
    tag: Tag = "",
    everything: Everything = False,
    as_json: JsonOption = False,
) -> None:
    """End what waits or is held, without delivery and without a notification."""
    _act(
        "cancel", "cancelled", config, Selector(tuple(ids or ()), account, to, state, reason, tag), everything, as_json
    )


def _echo(text: str, colour: str | None = None) -> None:
    """Print what has words of strangers in it."""
    typer.secho(without_bidi_controls(text), fg=colour)


def _moment(text: str) -> int:
    """A time that a person wrote, in Unix milliseconds; 0 for none."""
    if not text:
        return 0
    with suppress(ValueError):
        return now_ms() - parse_duration(text)
    try:
        return int(datetime.fromisoformat(text).timestamp() * 1000)  # local time, where no zone is given
    except (ValueError, OverflowError, OSError):
        raise typer.BadParameter(f"{text!r} is no time: {MOMENT}") from None


def _in_words(key: str, value: Any) -> str:
    """A value of `show` on one line; ``""`` for what is not told there."""
    match key:
        case "recipients" | "repairs" | "changes" | "states":
            return ""
        case "received_at" | "due_at":
            return local_time(value)
        case "size":
            return octets(value)
    return ", ".join(value) if isinstance(value, list) else str(value or "")


def _standing(recipient: dict[str, Any]) -> str:
    words = [recipient["state"]]
    if recipient["reason"]:
        words.append(f"({recipient['reason']})")
    if recipient["state"] == State.QUEUED:
        words.append(f"next attempt {local_time(recipient['next_at'])}")
    else:
        words.append(local_time(recipient["updated_at"]))
    if later := _later(recipient):
        words.append(later)
    if recipient["dsn"]:
        words.append(f"notification {recipient['dsn']}")
    return " ".join(words)


def _later(recipient: dict[str, Any]) -> str:
    fate = recipient["fate"]
    return refused_later(fate["cause"], fate["at"]) if fate else ""
