"""What an operator has before the first mail: DNS, keys and their records, a password, a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from smtprelay.cli.demonstration.apps import DOMAIN, PASSWORD, SENDER

if TYPE_CHECKING:
    from smtprelay.cli.demonstration.stage import Stage
    from smtprelay.sandbox.nameserver import NameServer

API_USER = "sandbox"
NEW_DOMAIN = "shop.example.com"
DNS = (
    f'{DOMAIN}. IN TXT "v=spf1 include:spf.bestedm.org -all"',
    f"{DOMAIN}. IN MX 10 mail.bestedm.org.",
    f'_dmarc.{DOMAIN}. IN TXT "v=DMARC1; p=none"',
    'spf.bestedm.org. IN TXT "v=spf1 ip4:192.0.2.0/24 -all"',
)

_RELAY = """\
[gateway]
listen = ["127.0.0.1:0"]
hostname = "relay.{domain}"

[[gateway.accounts]]
username = "{sender}"
password_hash = "{password_hash}"
senders = ["*@{domain}"]

[spool]
url = "sqlite:///spool.db"
min_free = "16MiB"

[retry]
schedule = "1s"

[[domains]]
name = "{new_domain}"
[[domains]]
name = "{domain}"
[[domains.keys]]
selector = "relay1"
file = "relay1.pem"
[[domains.keys]]
selector = "relay2"
file = "relay2.pem"

[templates]
directory = "{templates}"

[status]
control = "control.sock"
listen = "127.0.0.1:0"
show_bodies = true
[[status.accounts]]
username = "{sender}"
password_hash = "{password_hash}"

[log]
format = "json"

"""

_PROVIDER = """\
[upstream]
host = "127.0.0.1"
port = {port}
[[upstream.credentials]]
username = "{sender}"
password_file = "{folder}/platform.password"
[domain_rules]
nameservers = ["{dns}"]
[[platform.accounts]]
base_url = "{api}"
allow_insecure = true
username = "{api_user}"
password_file = "{folder}/platform.password"
"""


def provider(stage: Stage) -> str:
    """What a configuration says of the stand-ins."""
    return _PROVIDER.format(
        port=stage.smarthost.port,
        sender=SENDER,
        folder=stage.folder,
        dns=stage.dns.address,
        api=stage.platform.url,
        api_user=API_USER,
    )


def prepare(stage: Stage) -> dict[str, str]:
    """Write all files that the daemon needs. :returns: the records of its keys by their names."""
    from smtprelay.accounts import hash_password
    from smtprelay.templating.examples import examples

    records = _make_keys(stage.folder, stage.dns)
    (stage.folder / "platform.password").write_text(PASSWORD + "\n", encoding="utf-8")
    relay = _RELAY.format(
        domain=DOMAIN,
        new_domain=NEW_DOMAIN,
        sender=SENDER,
        templates=examples(),
        password_hash=hash_password(PASSWORD),
    )
    (stage.folder / "config.toml").write_text(relay + provider(stage), encoding="utf-8")
    return records


def _make_keys(folder: Path, dns: NameServer) -> dict[str, str]:
    from smtprelay.domains.verdict import Record
    from smtprelay.signing import generate_key, load_key

    records = {}
    for selector, kind in (("relay1", "rsa"), ("relay2", "ed25519")):
        pem = generate_key("rsa" if kind == "rsa" else "ed25519")
        (folder / f"{selector}.pem").write_bytes(pem)
        key = load_key(pem, DOMAIN, selector)
        records[key.record_name] = key.record
        dns.publish(Record(key.record_name, "TXT", key.record).zone_line)
    return records
