"""`smtprelay platform books`: a day's books beside the platform's."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from smtprelay.cli.common import ConfigOption, JsonOption, print_json
from smtprelay.cli.configuration import config_path, fail, load_config
from smtprelay.cli.remote import daemon

_TITLES = {
    "handed_over": "we handed over",
    "taken": "the platform took",
    "difference": "difference",
    "web": "its web tasks",
    "sent": "it sent",
    "failed": "of these failed",
    "deducted": "it deducted",
}


def books(
    date: Annotated[
        str, typer.Option(metavar="YYYY-MM-DD", help="The day, in Asia/Shanghai. Default: yesterday.")
    ] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """What the daemon handed over on a day beside what the platform took, sent and deducted."""
    settings = load_config(config)
    if not settings.platform.accounts:
        fail(os.EX_CONFIG, f"{config_path(config)} has no [[platform.accounts]]: add one, then reload the daemon.")
    reports = daemon(settings).books(date)
    if as_json:
        print_json(reports)
    else:
        typer.echo("\n\n".join(map(_as_text, reports)))
    if any("error" in report for report in reports):
        raise typer.Exit(os.EX_UNAVAILABLE)


def _as_text(report: dict[str, Any]) -> str:
    if "error" in report:
        return f"{report['account']}: {report['error']}."
    figures = [f"  {title:<18}{_figure(report[key]):>12}" for key, title in _TITLES.items()]
    return "\n".join([f"{report['account']}, {report['day']} (Asia/Shanghai)", *figures, *report["notes"]])


def _figure(number: int | None) -> str:
    return "unknown" if number is None else f"{number:,}"
