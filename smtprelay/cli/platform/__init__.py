"""`smtprelay platform`: the platform's HTTP API. Nothing of it is imported before one of its commands is wanted: httpx
takes a tenth of a second."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup


class _Commands(TyperGroup):
    """Made when they are asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(self._made())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        return self._made().get(cmd_name)

    def _made(self) -> dict[str, Any]:
        if not self.commands:
            from smtprelay.cli.platform.commands import make_app

            self.commands = typer.main.get_group(make_app()).commands
        return dict(self.commands)


app = typer.Typer(cls=_Commands, no_args_is_help=True)


@app.callback()
def platform() -> None:
    """The platform's HTTP API: statistics, failures, contacts, campaigns, domains, mailboxes."""
