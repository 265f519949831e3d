"""Every key of the configuration is followed by a reload, or stands in the list of those that wait for a restart."""

from __future__ import annotations

import base64
import gc
import os
import re
import tomllib
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import trustme

from smtprelay.clock import now_ms
from smtprelay.config import Config, Section
from smtprelay.parts import AT_THE_NEXT_START, Parts
from smtprelay.settings import read_settings
from smtprelay.signing import generate_key
from smtprelay.spool.sqlite import SQLiteSpool
from tests.gateway.wire import PASSWORD_HASH

# Two configurations in one: {before|after}. A key that is missing here fails the first test.
BOTH = """
[gateway]
listen = ["127.0.0.{1|2}:0"]
listen_tls = ["127.0.0.{3|4}:0"]
hostname = "{a|b}.example"
max_message_size = "{11|12}MiB"
max_recipients = {1001|1002}
max_connections = {501|502}
max_connections_per_client = {301|302}
trusted_networks = ["127.0.0.{1|2}/32"]
plaintext_auth_networks = ["127.0.0.{1|2}/32"]
tls_certificate = "{a|b}.pem"
tls_key = "{a|b}.pem"
client_rate = "{301|302}/m"
client_recipients_per_day = {3001|3002}
[[gateway.accounts]]
username = "app-{a|b}"
password_hash = "HASH{a|b}"
senders = ["{a|b}@example.com"]
templates = ["template-{a|b}"]
charsets = ["{gbk|big5}"]
rate = "{401|402}/m"
recipients_per_day = {4001|4002}
[repair]
charsets = ["{gb18030|euc-kr}"]
[spool]
url = "sqlite:///{a|b}.db"
history = "{11|12}d"
min_free = "{1001|1002}B"
[upstream]
mode = "{redirect|live}"
{redirect_to = "somebody@example.com"|# nobody}
host = "{a|b}.example"
port = {1025|1026}
tls = "{starttls|implicit}"
tls_ca_file = "{a|b}.pem"
connections = {301|302}
messages_per_connection = {601|602}
recipients_per_transaction = {701|702}
rate = "{501|502}/m"
[upstream.timeouts]
connect = "{11|12}s"
greeting = "{13|14}s"
command = "{15|16}s"
data = "{17|18}s"
block = "{19|20}s"
dot = "{21|22}s"
[[upstream.credentials]]
name = "credential-{a|b}"
senders = ["*@{a|b}.example"]
username = "{a|b}@example.com"
password_file = "{a|b}.password"
rewrite_sender = "{envelope|from}"
host = "own-{a|b}.example"
port = {2025|2026}
tls = "{implicit|starttls}"
rate = "{601|602}/m"
[[upstream.credentials]]
name = "by-environment"
username = "c@example.com"
password_env = "PASSWORD_{A|B}"
[[upstream.credentials]]
name = "by-systemd"
username = "d@example.com"
password_credential = "{a|b}.password"
[[upstream.rules]]
account = "rule-{a|b}"
sender = "*@rule-{a|b}.example"
recipient = "to@rule-{a|b}.example"
action = "redirect"
to = "redirected@{a|b}.example"
[[upstream.rules]]
account = "action"
action = "{deliver|capture}"
[retry]
schedule = "{301|302}s"
give_up_after = "{3|4}d"
ambiguous = "{hold|retry}"
[domain_rules]
on_failure = "{hold|warn}"
require = ["{spf|mx}"]
spf_include = "spf.{a|b}.example"
mx = "mx.{a|b}.example"
dkim_selector = "selector-{a|b}"
platform_dkim = "{a|b}"
nameservers = ["127.0.0.{1|2}:9"]
allow_other_domains = {true|false}
[[domains]]
name = "{a|b}.example"
[[domains.keys]]
selector = "key-{a|b}"
file = "{a|b}.dkim.pem"
[signing]
on_missing_key = "{reject|send-unsigned}"
rotation_overlap = "{8|9}d"
[bounces]
send_to = "bounces@{a|b}.example"
envelope = "{credential|null}"
delay_warning = "{3|4}h"
[suppression]
action = "{reject|discard}"
own_bounces = {true|false}
expiry = { 1 = "{71|72}d" }
[templates]
directory = "{a|b}-templates"
[status]
listen = ["127.0.0.{5|6}:0"]
control = "{a|b}.sock"
tls_certificate = "{a|b}.pem"
tls_key = "{a|b}.pem"
show_bodies = {true|false}
[[status.accounts]]
username = "ops-{a|b}"
password_hash = "HASH{a|b}"
[[platform.accounts]]
base_url = "{https|http}://{a|b}.example/"
name = "platform-{a|b}"
username = "customer-{a|b}"
password_file = "{a|b}.password"
allow_insecure = {false|true}
credentials = ["credential-{a|b}"]
quota_reserve = {901|902}
expiry_warning = "{5|6}d"
poll = "{611|612}s"
[[platform.accounts]]
username = "by-environment-{a|b}"
password_env = "PASSWORD_{A|B}"
[[platform.accounts]]
username = "by-systemd-{a|b}"
password_credential = "{a|b}.password"
[[webhooks]]
url = "https://{a|b}.example/"
secret_file = "{a|b}.secret"
events = ["{accepted|held}"]
[[webhooks]]
url = "https://env.{a|b}.example/"
secret_env = "SECRET_{A|B}"
[[webhooks]]
url = "https://systemd.{a|b}.example/"
secret_credential = "{a|b}.secret"
[log]
level = "{warning|error}"
format = "{json|console}"
addresses = "{masked|full}"
"""


def text(which: int) -> str:
    """:param which: 1: before; 2: after."""
    return re.sub(r"\{([^{}|]*)\|([^{}|]*)\}", lambda pair: pair[which], BOTH).replace("HASH", PASSWORD_HASH[:-1])


def keys_of(model: type[Section], place: str = "") -> Iterator[str]:
    """The keys that may stand in the configuration, those of lists of tables once."""
    for name, field in model.model_fields.items():
        inner = [kind for kind in (field.annotation, *get_args(field.annotation)) if _is_section(kind)]
        for kind in inner:
            yield from keys_of(kind, f"{place}{name}.")
        if not inner:
            yield place + name


def _is_section(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)


KEYS = frozenset(keys_of(Config))


def values(tables: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, str]]:
    """What stands there, by key. A table may be a key's value."""
    for name, value in tables.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict) and place + name not in KEYS:
                yield from values(item, f"{place}{name}.")
            else:
                yield place + name, repr(item)


def test_every_key_has_another_value_after_the_reload() -> None:
    before, after = (set(values(tomllib.loads(text(which)))) for which in (1, 2))
    changed = {key for key, _ in before - after}
    assert KEYS - changed == set(), "say in BOTH what changes with it, and have a part follow it"


def reachable(root: object) -> Iterator[tuple[object, str]]:
    """All that an object holds, directly or not, and by which way."""
    seen, left = {id(root)}, [(root, type(root).__name__)]
    while left:
        held, way = left.pop()
        yield held, way
        for inner in _held_by(held):
            if id(inner) not in seen and not isinstance(inner, type | types.ModuleType):
                seen.add(id(inner))
                left.append((inner, f"{way} → {type(inner).__name__}"))


def _held_by(holder: object) -> list[object]:
    if isinstance(holder, types.FunctionType):  # its module's names are not its own
        return [cell.cell_contents for cell in holder.__closure__ or ()]
    return gc.get_referents(holder)


def leaves(value: object) -> Iterator[object]:
    """A configuration's sections and values, but for those that anybody may hold: small numbers, truths, words."""
    if isinstance(value, Section):
        for name in type(value).model_fields:
            yield from leaves(getattr(value, name))
    elif isinstance(value, tuple):
        for item in value:
            yield from leaves(item)
    anybodys = (isinstance(value, int) and value <= 256) or (isinstance(value, str) and value.isalpha())
    if value not in (None, "", ()) and not anybodys:
        yield value


def secret(letter: str) -> str:
    """Of a webhook."""
    return f"whsec_{base64.b64encode(letter.encode() * 32).decode()}"


def write_files(folder: Path) -> None:
    authority = trustme.CA()
    for letter in "ab":
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / f"{letter}.pem")
        (folder / f"{letter}.password").write_text(f"password {letter}")
        (folder / f"{letter}.secret").write_text(secret(letter))
        (folder / f"{letter}.dkim.pem").write_bytes(generate_key("rsa", 1024))


async def test_nothing_of_the_old_configuration_is_left_in_any_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path)
    for letter in "AB":
        monkeypatch.setenv(f"PASSWORD_{letter}", f"of the environment, {letter}")
        monkeypatch.setenv(f"SECRET_{letter}", secret(letter))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", os.fspath(tmp_path))
    configured: list[Any] = []
    monkeypatch.setattr("smtprelay.parts.configure", configured.append)
    file = tmp_path / "config.toml"
    file.write_text(text(1))
    old = read_settings(file)
    spool = await SQLiteSpool.open(old.config.spool.path, now=now_ms())

    async def reload() -> list[str]:
        raise AssertionError

    parts = await Parts.build(old, spool, reload)
    try:
        parts.status.start()
        await parts.way_in.listeners.start()
        file.write_text(text(2))
        new = read_settings(file)
        await parts.follow(new)
        parts.keyring._known.clear()  # it may remember the names that keys had
        held = {id(value): way for value, way in reachable(parts)}
        kept = {id(leaf) for leaf in leaves(new.config)}
        kept |= {id(getattr(getattr(old.config, section), key)) for section, key in AT_THE_NEXT_START}
        forgotten = {id(leaf) for leaf in leaves(old.config)} & held.keys() - kept
        assert not [held[leaf] for leaf in forgotten]
        assert configured == [new.config.log]
        for section, key in AT_THE_NEXT_START:
            assert getattr(getattr(parts.config, section), key) == getattr(getattr(old.config, section), key)
        assert parts.config.retry == new.config.retry
        assert [address.partition(":")[0] for address in parts.way_in.listeners.addresses] == ["127.0.0.2", "127.0.0.4"]
        assert [address.partition(":")[0] for address in parts.status.addresses] == ["127.0.0.6"]
    finally:
        await parts.way_in.listeners.stop(0)
        await parts.status.close()
        for part in (parts.watch, parts.resolver, parts.way_out.upstream, parts.way_in.offload):
            await part.close()
        await spool.close()
