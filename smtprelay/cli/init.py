"""`smtprelay init`: from nothing to a configuration, a key, and the records to publish."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from smtprelay.advice import short_hostname
from smtprelay.cli import records
from smtprelay.cli.common import ConfigOption, JsonOption, print_json
from smtprelay.cli.configuration import DEFAULT_CONFIG, config_path, fail
from smtprelay.cli.dkim import Kind, checked_domain, make_key
from smtprelay.config import Config, DomainRules, parse_config
from smtprelay.domains.verdict import Record
from smtprelay.message import AddressError, parse_address
from smtprelay.signing import GOOD_RSA_BITS, SigningKey
from smtprelay.values import parse_domain

_SELECTOR = "relay1"

_CONFIG = """\
# Every other key has its default: see config.example.toml.

[gateway]
# Our name in the greeting, in Received: and in EHLO to the smarthost.
hostname = {hostname}
{places}
# The mailbox that logs in at the provider.
[[upstream.credentials]]
senders = ["*@{domain}"]
username = {mailbox}
password_file = {password_file}

[[domains]]
name = "{domain}"
[[domains.keys]]
selector = "{selector}"
file = {key_file}
"""
# Where the service manager does not make folders for the daemon.
_PLACES = """
[spool]
url = "sqlite:///spool.db"

[status]
control = "control.sock"
"""
_ELSEWHERE = (
    "To add a domain to a configuration: 'smtprelay dkim keygen DOMAIN'. For another configuration: init with "
    "-c FOLDER/config.toml, in a folder of its own."
)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What there is to be."""

    domain: str
    mailbox: str
    config: Path
    password_file: Path

    @property
    def is_default(self) -> bool:
        return self.config.parent == DEFAULT_CONFIG.parent

    @property
    def key_file(self) -> Path:
        folder = self.config.parent / "keys" if self.is_default else self.config.parent
        return folder / f"{self.domain}.{_SELECTOR}.pem"

    @property
    def text(self) -> str:
        """The configuration."""
        return _CONFIG.format(
            hostname=_quoted(_hostname()),
            places="" if self.is_default else _PLACES,
            domain=self.domain,
            mailbox=_quoted(self.mailbox),
            password_file=_quoted(self._from_config(self.password_file)),
            selector=_SELECTOR,
            key_file=_quoted(self._from_config(self.key_file)),
        )

    def _from_config(self, file: Path) -> str:
        return str(file.relative_to(self.config.parent) if file.is_relative_to(self.config.parent) else file)


def init(
    domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="The domain that mail is sent from.")],
    mailbox: Annotated[str, typer.Option(help="The provider's mailbox that logs in; asked for by default.")] = "",
    password_file: Annotated[
        Path | None, typer.Option(help="The file with its password; asked for by default, and need not be there yet.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Write a configuration and a DKIM key, and show the DNS records to publish. Nothing is overwritten."""
    plan = _plan(checked_domain(domain), mailbox, password_file, config_path(config).absolute())
    for file in (plan.config, plan.key_file):
        if file.exists():
            fail(os.EX_CANTCREAT, f"{file} exists and stays as it is. {_ELSEWHERE}")
    octets = plan.text.encode()
    settings = parse_config(octets, plan.config.parent)
    try:
        plan.config.parent.mkdir(parents=True, exist_ok=True)
        key = make_key(plan.domain, _SELECTOR, Kind.RSA, GOOD_RSA_BITS, plan.key_file)
        with plan.config.open("xb") as stream:
            stream.write(octets)
    except OSError as error:
        fail(os.EX_CANTCREAT, f"{plan.config} cannot be written: {error.strerror}.")
    to_publish = _records(key)
    if as_json:
        files = {"config": str(plan.config), "key": str(plan.key_file), "password_file": str(plan.password_file)}
        print_json({**files, "records": [records.as_dict(record) for record in to_publish]})
    else:
        typer.echo("\n".join(_as_text(plan, settings, to_publish)))


def _plan(domain: str, mailbox: str, password_file: Path | None, config: Path) -> _Plan:
    """What is not told by options is asked for."""
    if not (mailbox and password_file) and not _somebody_is_there():
        fail(os.EX_USAGE, "Nobody can be asked here: give --mailbox and --password-file.")
    mailbox = mailbox or typer.prompt(f"The provider's mailbox that logs in, such as news@{domain}", err=True)
    try:
        mailbox = parse_address(mailbox)
    except AddressError as error:
        fail(os.EX_USAGE, f"{error}.")
    if not password_file:
        default = config.parent / f"{mailbox}.password"
        password_file = Path(typer.prompt("The file with its password", default=str(default), err=True))
    return _Plan(domain, mailbox, config, password_file.absolute())


def _somebody_is_there() -> bool:
    return sys.stdin.isatty()


def _hostname() -> str:
    """This machine's name, where it can stand in EHLO."""
    try:
        return parse_domain(os.uname().nodename)
    except ValueError:
        return "localhost"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a TOML string too, as far as names go


def _records(key: SigningKey) -> list[Record]:
    """What the rules want of a domain that has nothing yet."""
    from smtprelay.domains.dmarc import dmarc_record
    from smtprelay.domains.mx import mx_record
    from smtprelay.domains.spf.merge import new_record

    rules = DomainRules()
    return [
        Record(key.domain, "TXT", new_record(rules.spf_include)),
        mx_record(key.domain, rules.mx),
        Record(key.record_name, "TXT", key.record),
        dmarc_record(key.domain),
    ]


def _as_text(plan: _Plan, config: Config, to_publish: list[Record]) -> Iterator[str]:
    option = "" if plan.config == DEFAULT_CONFIG else f" -c {shlex.quote(str(plan.config))}"
    yield f"The configuration is in {plan.config}, the private key in {plan.key_file}."
    yield "Both, and the password's file, must be readable for the user that the daemon runs as."
    yield ""
    yield from records.as_text(to_publish)
    yield ""
    yield "What to do next:"
    check = f"smtprelay check{option}    tries everything else, the log-in too"
    # The service manager makes the folders that the check wants to see.
    start = ["systemctl enable --now smtprelay    see docs/operations.md", check]
    publish = (
        f"Publish these records. Where people receive mail at {plan.domain} already, or it has an SPF record, take the "
        "next step first, and publish what that prints."
    )
    watch = f"smtprelay domain check {plan.domain} --watch{option}    waits until DNS has them"
    steps = [publish, watch, *(start if plan.is_default else [check, f"smtprelay run{option}"])]
    if not plan.password_file.exists():
        steps.insert(
            0,
            f"Write the password of {plan.mailbox} into its file, for the daemon's user alone:\n   "
            f"install -m 600 /dev/stdin {shlex.quote(str(plan.password_file))}    type it, Enter, Ctrl-D",
        )
    if advice := short_hostname(config):
        steps.insert(0, f"In {plan.config}, {advice}.")
    for number, step in enumerate(steps, 1):
        yield f"{number}. {step}"
