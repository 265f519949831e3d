"""All commands of `smtprelay platform`: one for each call of the client, by hand where a person needs more."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

import typer

from smtprelay.cli.platform import books, contacts, mailbox_password, mailboxes, push, tasks, templates
from smtprelay.cli.platform.login import logged_in
from smtprelay.cli.platform.signature import command_of, methods

NAMES = {"statistics": "stats"}  # where a group is not called as the client calls it
BY_HAND: Mapping[tuple[str, str], Callable[..., None]] = {
    ("contacts", "add-many"): contacts.add_many,
    ("contacts", "upload"): contacts.upload,
    ("tasks", "create"): tasks.create,
    ("mailboxes", "add"): mailboxes.add,
    ("mailboxes", "delete"): mailboxes.delete,
    ("mailboxes", "set-password"): mailboxes.set_password,
    ("templates", "add"): templates.add,
    ("templates", "edit"): templates.edit,
}


def make_app() -> typer.Typer:
    """The commands, by group."""
    app = typer.Typer(no_args_is_help=True)
    groups: dict[str, typer.Typer] = {}
    for method in methods():
        if method.resource not in groups:
            groups[method.resource] = typer.Typer(no_args_is_help=True, help=inspect.getdoc(method.group))
            app.add_typer(groups[method.resource], name=NAMES.get(method.resource, method.resource))
        by_hand = BY_HAND.get((method.resource, method.command))
        command = logged_in(by_hand) if by_hand else command_of(method)
        told = (by_hand and inspect.getdoc(by_hand)) or method.help
        groups[method.resource].command(method.command, help=told)(command)
    groups["templates"].command("push")(logged_in(push.push))
    groups["mailboxes"].command("password")(logged_in(mailbox_password.password))
    app.command()(books.books)
    return app
