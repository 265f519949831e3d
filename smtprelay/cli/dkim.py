"""`smtprelay dkim`: the keys that mail is signed with."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from enum import StrEnum
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Any

import typer

from smtprelay.cli import records
from smtprelay.cli.common import ConfigOption, JsonOption, print_json
from smtprelay.cli.configuration import fail, load_config
from smtprelay.clock import now_ms
from smtprelay.domains.verdict import Record
from smtprelay.keyfiles import write_secret
from smtprelay.message import AddressError, normalise_domain
from smtprelay.signing import GOOD_RSA_BITS, KeyProblem, SigningKey, generate_key, load_key
from smtprelay.values import MAX_NAME
from smtprelay.words import interval, local_time

app = typer.Typer(no_args_is_help=True)

# RFC 6376 §3.5: d= has two labels or more; the underscore is not in the RFC, but in the DNS of real sub-domains.
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+(?!\d+$){_LABEL}")
_SELECTOR = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


class Kind(StrEnum):
    RSA = "rsa"
    ED25519 = "ed25519"


DomainArgument = Annotated[str, typer.Argument(metavar="DOMAIN", help="The domain that signs: d= of the signature.")]
KindOption = Annotated[Kind, typer.Option(help="Every receiver knows RSA; Ed25519 is good beside it.")]
BitsOption = Annotated[int, typer.Option(help="The length of an RSA key.")]


@app.callback()
def dkim() -> None:
    """DKIM keys."""


@app.command()
def keygen(
    domain: DomainArgument,
    selector: Annotated[str, typer.Option(help="The name of the key below the domain.")] = "relay1",
    kind: KindOption = Kind.RSA,
    bits: BitsOption = GOOD_RSA_BITS,
    out: Annotated[Path | None, typer.Option(help="The key's file; DOMAIN.SELECTOR.pem where it is not given.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a private key, and show the DNS record to publish and the lines for config.toml."""
    domain = checked_domain(domain)
    selector = selector.lower()
    if not _SELECTOR.fullmatch(selector):
        fail(os.EX_USAGE, f"{selector!r} is not a selector: use letters, digits and hyphens, such as relay1.")
    file = (out or Path(f"{domain}.{selector}.pem")).absolute()
    key = make_key(domain, selector, kind, bits, file)
    if as_json:
        print_json(_as_dict(key, file))
    else:
        typer.echo(_as_text(key, file))


@app.command()
def rotate(
    domain: DomainArgument,
    kind: KindOption = Kind.RSA,
    bits: BitsOption = GOOD_RSA_BITS,
    selector: Annotated[str, typer.Option(help="The new key's name; the next of relay1, relay2, … by default.")] = "",
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make the key that replaces those of its kind as soon as DNS has its record, and show that record."""
    from smtprelay.cli.remote import connect
    from smtprelay.keyring import Wish

    overlap = interval(load_config(config).signing.rotation_overlap)
    rotation = connect(config).rotate(Wish(checked_domain(domain), kind.value, bits, selector.lower()))
    record = Record(rotation["name"], "TXT", rotation["value"])
    if as_json:
        print_json({**rotation, **records.as_dict(record)})
        return
    if rotation["warning"]:
        typer.echo(f"Warning: {rotation['warning']}.", err=True)
    typer.echo("\n".join(_rotation_as_text(rotation, record, overlap)))


def _rotation_as_text(rotation: dict[str, Any], record: Record, overlap: str) -> Iterator[str]:
    key = f"{rotation['selector']} of {rotation['domain']}"
    if rotation["is_new"]:
        yield f"The key {key} is made; it signs nothing yet."
    else:
        yield f"The key {key} waits for its record already; no other one was made."
    yield ""
    yield from records.as_text([record])
    yield ""
    yield f"The daemon asks DNS for it, and signs with {rotation['selector']} as soon as it is there."
    yield f"Leave the records of the keys before it where they are, for {overlap} at least: mail that they signed is on"
    yield "its way. When they can go, the log tells, and so does 'smtprelay dkim status'."


@app.command()
def status(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show every key of every domain, and what DNS says of it."""
    from smtprelay.cli.remote import connect

    keys = connect(config).keys()
    if as_json:
        print_json(keys)
        return
    for name, of_domain in groupby(keys, itemgetter("domain")):
        typer.echo(name)
        for key in of_domain:
            size = f"{key['kind']} {key['bits']}"
            age = f"{interval(now_ms() - key['created_at'])} old"
            typer.echo(f"  {key['selector']:<10} {key['state']:<9} {size:<12} DNS: {key['dns']:<14} {age}")
            for line in _next_steps(key):
                typer.echo(f"    {line}")


def _next_steps(key: dict[str, Any]) -> Iterator[str]:
    """What is to be done about a key, or waited for."""
    zone_line = Record(key["name"], "TXT", key["value"]).zone_line
    published, there = key["dns"] == "published", key["dns"] != "not published"
    match key["state"]:
        case "pending" if published:
            yield "It signs within a minute."
        case "retiring":
            yield f"It signs no more. Its record has to stay until {local_time(key['needed_until'])} at least,"
            yield f"and as long as messages that it has signed are in the spool: {key['live']} now."
        case "retired":
            if there:
                yield f"It is not needed any more: remove its record {key['name']} from DNS."
            if key["configured"]:
                yield "Remove it from [[domains.keys]]."
        case "pending" | "active" if key["dns"] in ("not published", "another key"):
            yield "Publish its record:" if not there else f"Another record stands at {key['name']}; replace it by:"
            yield zone_line


def checked_domain(text: str) -> str:
    """A domain that can sign, as A-labels in lower case; else the end of the program with 64."""
    try:
        domain = normalise_domain(text)
    except AddressError as error:
        fail(os.EX_USAGE, f"{error}.")
    if not _DOMAIN.fullmatch(domain):
        fail(os.EX_USAGE, f"{text!r} is not a domain that can sign: give one such as example.com.")
    return domain


def make_key(domain: str, selector: str, kind: Kind, bits: int, file: Path) -> SigningKey:
    """A new key in a new file; else the end of the program. A warning goes to standard error."""
    try:
        key = load_key(generate_key(kind.value, bits), domain, selector)
    except KeyProblem as error:
        fail(os.EX_USAGE, f"{error}.")
    if len(key.record_name) > MAX_NAME:
        fail(os.EX_USAGE, f"{key.record_name} is longer than the {MAX_NAME} octets of a domain name.")
    try:
        write_secret(file, key.pem)
    except FileExistsError:
        fail(os.EX_CANTCREAT, f"{file} exists and stays as it is: name another file with --out, or another --selector.")
    except OSError as error:
        fail(os.EX_CANTCREAT, f"The key cannot be written to {file}: {error.strerror}.")
    if key.warning:
        typer.echo(f"Warning: {key.warning}.", err=True)
    return key


def config_lines(key: SigningKey, file: Path) -> str:
    """The domain with its key, for config.toml."""
    # A JSON string is a TOML string too, as far as paths go.
    path = json.dumps(str(file), ensure_ascii=False)
    return f'[[domains]]\nname = "{key.domain}"\n[[domains.keys]]\nselector = "{key.selector}"\nfile = {path}'


def _record(key: SigningKey) -> Record:
    return Record(key.record_name, "TXT", key.record)


def _as_dict(key: SigningKey, file: Path) -> dict[str, Any]:
    return {
        "domain": key.domain,
        "selector": key.selector,
        "algorithm": key.algorithm,
        "file": str(file),
        **records.as_dict(_record(key)),
        "config": config_lines(key, file),
    }


def _as_text(key: SigningKey, file: Path) -> str:
    return "\n".join(
        [
            f"The private key is in {file}; only its owner can read it.",
            "",
            *records.as_text([_record(key)]),
            "",
            "Then add to config.toml (the first two lines only where the domain is not there yet):",
            config_lines(key, file),
        ]
    )
