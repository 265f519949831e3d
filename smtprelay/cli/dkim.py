"""`smtprelay dkim`: the keys that mail is signed with."""

from __future__ import annotations

import json
import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from smtprelay.cli.common import JsonOption, print_json
from smtprelay.cli.configuration import fail
from smtprelay.message import AddressError, normalise_domain
from smtprelay.signing import MIN_RSA_BITS, SigningKey, generate_key, load_key

app = typer.Typer(no_args_is_help=True)

# RFC 6376 §3.5: d= has two labels or more; the underscore is not in the RFC, but in the DNS of real sub-domains.
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")
_SELECTOR = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_MAX_NAME = 253  # octets of a domain name as it is written, RFC 1035 §2.3.4
_MAX_STRING = 255  # octets of a TXT record's string, RFC 1035 §3.3
_MAX_RSA_BITS = 4096  # RFC 8301 §3.2: no receiver has to verify more


class Kind(StrEnum):
    RSA = "rsa"
    ED25519 = "ed25519"


@app.callback()
def dkim() -> None:
    """DKIM keys."""


@app.command()
def keygen(
    domain: Annotated[str, typer.Argument(metavar="DOMAIN", help="The domain that signs: d= of the signature.")],
    selector: Annotated[str, typer.Option(help="The name of the key below the domain.")] = "relay1",
    kind: Annotated[Kind, typer.Option(help="Every receiver knows RSA; Ed25519 is good beside it.")] = Kind.RSA,
    bits: Annotated[int, typer.Option(help="The length of an RSA key.")] = 2048,
    out: Annotated[Path | None, typer.Option(help="The key's file; DOMAIN.SELECTOR.pem where it is not given.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a private key, and show the DNS record to publish and the lines for config.toml."""
    domain = _checked_domain(domain)
    selector = selector.lower()
    if not _SELECTOR.fullmatch(selector):
        fail(os.EX_USAGE, f"{selector!r} is not a selector: use letters, digits and hyphens, such as relay1.")
    if kind is Kind.RSA and not MIN_RSA_BITS <= bits <= _MAX_RSA_BITS:
        fail(os.EX_USAGE, f"An RSA key has {MIN_RSA_BITS} to {_MAX_RSA_BITS} bits (RFC 8301), not {bits}; take 2048.")
    pem = generate_key(kind.value, bits)
    key = load_key(pem, domain, selector)
    if len(key.record_name) > _MAX_NAME:
        fail(os.EX_USAGE, f"{key.record_name} is longer than the {_MAX_NAME} octets of a domain name.")
    file = (out or Path(f"{domain}.{selector}.pem")).absolute()
    _write_secret(file, pem)
    if as_json:
        print_json(_as_dict(key, file))
    else:
        typer.echo(_as_text(key, file))


def _checked_domain(text: str) -> str:
    try:
        domain = normalise_domain(text)
    except AddressError as error:
        fail(os.EX_USAGE, f"{error}.")
    if not _DOMAIN.fullmatch(domain):
        fail(os.EX_USAGE, f"{text!r} is not a domain that can sign: give one such as example.com.")
    return domain


def _write_secret(file: Path, secret: bytes) -> None:
    """Writes a new file that only its owner can read, at no moment anybody else; an existing one stays as it is."""
    try:
        file.parent.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secret)
    except FileExistsError as error:
        fail(
            os.EX_CANTCREAT,
            f"{error.filename} exists and stays as it is: name another file with --out, or another --selector.",
        )
    except OSError as error:
        fail(os.EX_CANTCREAT, f"The key cannot be written to {file}: {error.strerror}.")


def _strings(record: str) -> list[str]:
    """The record in the strings that a zone file wants; receivers join them without a space (RFC 6376 §3.6.2.2)."""
    return [record[at : at + _MAX_STRING] for at in range(0, len(record), _MAX_STRING)]


def _config_lines(key: SigningKey, file: Path) -> str:
    # A JSON string is a TOML string too, as far as paths go.
    path = json.dumps(str(file), ensure_ascii=False)
    return f'[[domains]]\nname = "{key.domain}"\n[[domains.keys]]\nselector = "{key.selector}"\nfile = {path}'


def _as_dict(key: SigningKey, file: Path) -> dict[str, Any]:
    return {
        "domain": key.domain,
        "selector": key.selector,
        "algorithm": key.algorithm,
        "file": str(file),
        "name": key.record_name,
        "type": "TXT",
        "value": key.record,
        "strings": _strings(key.record),
        "config": _config_lines(key, file),
    }


def _as_text(key: SigningKey, file: Path) -> str:
    strings = " ".join(f'"{string}"' for string in _strings(key.record))
    return "\n".join(
        [
            f"The private key is in {file}; only its owner can read it.",
            "",
            "Publish this record:",
            f"  name   {key.record_name}",
            "  type   TXT",
            f"  value  {key.record}",
            "",
            "In a zone file it is:",
            f"{key.record_name}. IN TXT ( {strings} )",
            "",
            "Then add to config.toml (the first two lines only where the domain is not there yet):",
            _config_lines(key, file),
        ]
    )
