"""The life of the keys, without DNS: pending → active → retiring → retired."""

from __future__ import annotations

import asyncio
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from structlog.testing import capture_logs

from smtprelay import keyfiles
from smtprelay.config import Config, ConfigError, parse_config
from smtprelay.keyfiles import configured_keys, kept_folder
from smtprelay.keyring import Keyring, KeyState, Publication, RotationRefused, Wish
from smtprelay.resolver import TXT, Absent, Answer, Failed, Found, Lookup
from smtprelay.signing import Signer, generate_key, load_key
from smtprelay.spool import Spool, SpoolError

DOMAIN = "example.com"
NOW = 1_790_000_000_000
DAY = 86_400_000
RSA = generate_key("rsa", 1024)
SMALL = Wish(DOMAIN, bits=1024)
ED = Wish(DOMAIN, kind="ed25519")

CONFIG = """
[spool]
url = "sqlite:///spool.db"
[[upstream.credentials]]
name = "news"
username = "news@example.com"
password_env = "X"
[[domains]]
name = "example.com"
[[domains.keys]]
selector = "relay1"
file = "relay1.pem"
"""


@dataclass
class Facts:
    """A spool of facts, over restarts.

    :ivar full: nothing more can be stored.
    :ivar live: selector → messages that have not ended.
    """

    kept: dict[str, str] = field(default_factory=dict)
    full: bool = False
    live: dict[str, int] = field(default_factory=dict)

    async def remember(self, key: str, value: str) -> None:
        if self.full:
            raise SpoolError("full")
        self.kept[key] = value

    async def recall(self, prefix: str) -> dict[str, str]:
        return {key: value for key, value in self.kept.items() if key.startswith(prefix)}

    async def signed_with(self, domain: str, selector: str) -> int:
        assert domain == DOMAIN
        return self.live.get(selector, 0)


@dataclass
class DNS:
    """What DNS has, by name.

    :ivar broken: what it says of every name instead.
    """

    answers: dict[str, Answer[TXT]] = field(default_factory=dict)
    broken: Answer[TXT] | None = None

    def publish(self, name: str, *texts: str, stale: bool = False) -> None:
        self.answers[name] = Found(tuple((text.encode(),) for text in texts), name, NOW, stale)

    async def txt(self, name: str) -> Answer[TXT]:
        return self.broken or self.answers.get(name, Absent(name_exists=False, expires_at=NOW))


@dataclass
class World:
    """A folder with a configuration, a spool and DNS; the rings that are opened one after the other."""

    config: Config
    spool: Facts = field(default_factory=Facts)
    dns: DNS = field(default_factory=DNS)

    async def open(self) -> Keyring:
        return await Keyring.open(
            self.config,
            cast("Spool", self.spool),
            configured_keys(self.config),
            lambda: cast("Lookup", self.dns),
        )

    def publish(self, ring: Keyring, selector: str) -> None:
        key = ring._entries[DOMAIN, selector].key
        self.dns.publish(key.record_name, key.record)

    async def rotated(self, wish: Wish = SMALL) -> Keyring:
        """A ring with a new key that is active since NOW, beside the one before it."""
        ring = await self.open()
        self.publish(ring, "relay1")
        rotation = await ring.rotate(wish, NOW - DAY)
        self.dns.publish(rotation.name, rotation.value)
        await ring.look(NOW)
        return ring


@pytest.fixture
def world(tmp_path: Path) -> World:
    (tmp_path / "relay1.pem").write_bytes(RSA)
    return World(parse_config(CONFIG.encode(), tmp_path))


def signing(ring: Keyring) -> list[str]:
    return [key.selector for key in ring.signing()]


def states(ring: Keyring) -> dict[str, str]:
    return {entry.key.selector: ring._state(entry).value for entry in ring._entries.values()}


async def test_a_configured_key_signs_at_once_whatever_dns_says(world: World) -> None:
    ring = await world.open()
    world.dns.broken = Failed("dead")
    await ring.look(NOW)
    assert signing(ring) == ["relay1"]


async def test_the_whole_life(world: World) -> None:
    ring = await world.open()
    world.publish(ring, "relay1")
    rotation = await ring.rotate(SMALL, NOW)
    assert (rotation.selector, rotation.name, rotation.is_new) == ("relay2", "relay2._domainkey.example.com", True)
    await ring.look(NOW + 1)
    assert states(ring) == {"relay1": "active", "relay2": "pending"}
    assert signing(ring) == ["relay1"]

    world.dns.publish(rotation.name, rotation.value)
    await ring.look(NOW + 2)
    assert states(ring) == {"relay1": "retiring", "relay2": "active"}
    assert signing(ring) == ["relay2"]
    assert ring.signing()[0].record == rotation.value

    await ring.look(NOW + 2 + 7 * DAY - 1)
    assert states(ring)["relay1"] == "retiring"
    with capture_logs() as logs:
        await ring.look(NOW + 2 + 7 * DAY)
        await ring.look(NOW + 3 + 7 * DAY)
    assert states(ring)["relay1"] == "retired"
    (line,) = [line for line in logs if line["log_level"] == "warning"]
    assert line["todo"] == (
        "remove the TXT record relay1._domainkey.example.com from DNS, and the key from [[domains.keys]]"
    )
    assert signing(ring) == ["relay2"]


async def test_a_record_stays_as_long_as_a_live_message_carries_its_signature(world: World) -> None:
    ring = await world.rotated()
    world.spool.live["relay1"] = 1
    await ring.look(NOW + 30 * DAY)
    assert states(ring)["relay1"] == "retiring"
    world.spool.live["relay1"] = 0
    await ring.look(NOW + 31 * DAY)
    assert states(ring)["relay1"] == "retired"


def changed(record: str) -> str:
    """The record with another key of the same kind."""
    other = load_key(generate_key("rsa", 1024), DOMAIN, "x")
    assert record.startswith("k=rsa")
    return other.record


@pytest.mark.parametrize("what", ["absent", "another", "two", "revoked", "stale", "failed"])
async def test_a_key_is_not_used_before_dns_has_exactly_it(world: World, what: str) -> None:
    ring = await world.open()
    name, record = (rotation := await ring.rotate(SMALL, NOW)).name, rotation.value
    match what:
        case "another":
            world.dns.publish(name, changed(record))
        case "two":
            world.dns.publish(name, record, changed(record))
        case "revoked":
            world.dns.publish(name, "k=rsa; p=")
        case "stale":
            world.dns.publish(name, record, stale=True)
        case "failed":
            world.dns.publish(name, record)
            world.dns.broken = Failed("SERVFAIL")
    await ring.look(NOW)
    assert signing(ring) == ["relay1"]
    world.dns.broken = None
    world.dns.publish(name, record)
    await ring.look(NOW)
    assert signing(ring) == ["relay2"]


async def test_a_second_rotation_while_one_is_pending_shows_its_record_again(world: World) -> None:
    ring = await world.open()
    first = await ring.rotate(SMALL, NOW)
    again = await ring.rotate(Wish(DOMAIN, bits=2048, selector="other"), NOW)
    assert not again.is_new
    assert (again.selector, again.value) == (first.selector, first.value)
    assert len(list(kept_folder(world.config).iterdir())) == 1


async def test_kinds_live_side_by_side(world: World) -> None:
    ring = await world.open()
    first = await ring.rotate(ED, NOW)
    world.dns.publish(first.name, first.value)
    await ring.look(NOW)
    assert set(signing(ring)) == {"relay1", "relay2"}
    second = await ring.rotate(ED, NOW)
    both = await ring.rotate(SMALL, NOW)
    assert (second.selector, both.selector) == ("relay3", "relay4")
    world.dns.publish(second.name, second.value)
    await ring.look(NOW)
    assert set(signing(ring)) == {"relay1", "relay3"}
    world.dns.publish(both.name, both.value)
    await ring.look(NOW)
    assert states(ring) == {"relay1": "retiring", "relay2": "retiring", "relay3": "active", "relay4": "active"}


async def test_all_is_as_it_was_after_a_restart(world: World) -> None:
    await world.rotated()
    ring = await world.open()
    assert states(ring) == {"relay1": "retiring", "relay2": "active"}
    assert signing(ring) == ["relay2"]
    await ring.look(NOW + 7 * DAY)
    with capture_logs() as logs:
        ring = await world.open()
        await ring.look(NOW + 8 * DAY)
    assert states(ring) == {"relay1": "retired", "relay2": "active"}
    assert not logs


async def test_a_key_whose_fact_a_crash_prevented_is_pending(world: World) -> None:
    ring = await world.open()
    world.spool.full = True
    with pytest.raises(SpoolError):
        await ring.rotate(SMALL, NOW)
    world.spool.full = False
    ring = await world.open()
    assert states(ring) == {"relay1": "active", "relay2": "pending"}
    rotation = await ring.rotate(SMALL, NOW)
    assert (rotation.selector, rotation.is_new) == ("relay2", False)
    world.dns.publish(rotation.name, rotation.value)
    await ring.look(NOW)
    assert signing(ring) == ["relay2"]


async def test_a_step_that_cannot_be_stored_is_not_made(world: World) -> None:
    ring = await world.open()
    rotation = await ring.rotate(SMALL, NOW)
    world.dns.publish(rotation.name, rotation.value)
    world.spool.full = True
    with pytest.raises(SpoolError):
        await ring.look(NOW)
    assert signing(ring) == ["relay1"]


async def test_a_rotation_that_cannot_be_stored_can_be_asked_for_again(world: World) -> None:
    """The fault: the disk is full once the key's file is written; then its name was taken until the next start."""
    ring = await world.open()
    world.spool.full = True
    with pytest.raises(SpoolError):
        await ring.rotate(SMALL, NOW)
    world.spool.full = False
    rotation = await ring.rotate(SMALL, NOW)
    assert (rotation.selector, rotation.is_new) == ("relay2", False)
    world.dns.publish(rotation.name, rotation.value)
    await ring.look(NOW)
    assert signing(ring) == ["relay2"]
    assert states(await world.open()) == states(ring)


async def test_a_fact_without_its_file_is_told_and_mail_goes_on(world: World) -> None:
    await world.rotated()
    for file in kept_folder(world.config).iterdir():
        file.unlink()
    with capture_logs() as logs:
        ring = await world.open()
    assert [(line["event"], line["selector"]) for line in logs] == [("a key is lost: its file is gone", "relay2")]
    assert signing(ring) == ["relay1"]
    assert (await ring.rotate(SMALL, NOW)).selector == "relay3", "its name was used, and resolvers may remember it"


async def test_a_file_that_is_no_key_is_told_and_mail_goes_on(world: World) -> None:
    kept_folder(world.config).mkdir()
    (kept_folder(world.config) / "example.com.relay2.pem").write_bytes(b"")
    (kept_folder(world.config) / "example.net.relay1.pem").write_bytes(RSA)
    with capture_logs() as logs:
        ring = await world.open()
    assert [line["log_level"] for line in logs] == ["error", "warning"]
    assert "example.com.relay2.pem" in logs[0]["reason"]
    assert "example.net.relay1.pem" in logs[1]["file"]
    assert signing(ring) == ["relay1"]
    with pytest.raises(RotationRefused, match="exists and stays"):
        await ring.rotate(SMALL, NOW)
    assert (await ring.rotate(Wish(DOMAIN, bits=1024, selector="relay9"), NOW)).selector == "relay9"


async def test_a_retired_key_may_leave_the_configuration(world: World, tmp_path: Path) -> None:
    ring = await world.rotated()
    await ring.look(NOW + 7 * DAY)
    world.config = parse_config(CONFIG.partition("[[domains.keys]]")[0].encode(), tmp_path)
    ring = await world.open()
    keyfiles.require_keys(world.config, (entry.key for entry in ring._entries.values()))
    assert states(ring) == {"relay2": "active"}
    assert (await ring.rotate(SMALL, NOW)).selector == "relay3"


@pytest.mark.parametrize("gone", ["absent", "another"])
async def test_where_the_new_record_vanishes_the_key_before_it_signs_again(world: World, gone: str) -> None:
    ring = await world.rotated()
    name, record = (key := ring.signing()[0]).record_name, key.record
    if gone == "absent":
        del world.dns.answers[name]
    else:
        world.dns.publish(name, changed(record))
    await ring.look(NOW + DAY)
    assert states(ring) == {"relay1": "active", "relay2": "pending"}
    assert states(await world.open()) == states(ring)
    world.dns.publish(name, record)
    await ring.look(NOW + 2 * DAY)
    assert states(ring) == {"relay1": "retiring", "relay2": "active"}
    await ring.look(NOW + 9 * DAY - 1)
    assert states(ring)["relay1"] == "retiring", "the overlap begins anew"


async def test_a_key_that_has_to_sign_again_is_not_told_to_go(world: World) -> None:
    """The record of its successor vanishes just before the overlap is over."""
    ring = await world.rotated()
    del world.dns.answers[ring.signing()[0].record_name]
    await ring.look(NOW + 7 * DAY)
    assert states(ring) == {"relay1": "active", "relay2": "pending"}


async def test_a_key_is_not_replaced_and_told_to_go_at_once(world: World, tmp_path: Path) -> None:
    """Messages that it has signed may be on their way into the spool."""
    world.config = parse_config((CONFIG + '[signing]\nrotation_overlap = "0s"').encode(), tmp_path)
    ring = await world.rotated()
    assert states(ring)["relay1"] == "retiring"
    await ring.look(NOW + 1)
    assert states(ring)["relay1"] == "retired"


async def test_where_the_records_of_two_rotations_vanish_the_key_before_both_signs_again(world: World) -> None:
    """The fault: within the overlap, an old copy of the zone is put back."""
    ring = await world.rotated()
    third = await ring.rotate(SMALL, NOW)
    world.dns.publish(third.name, third.value)
    await ring.look(NOW + 1)
    assert states(ring) == {"relay1": "retiring", "relay2": "retiring", "relay3": "active"}
    before = dict(world.dns.answers)
    world.dns.answers = {name: answer for name, answer in before.items() if name.startswith("relay1.")}
    await ring.look(NOW + 2)
    assert states(ring) == {"relay1": "active", "relay2": "pending", "relay3": "pending"}
    assert states(await world.open()) == states(ring)
    world.dns.answers = before
    await ring.look(NOW + 3)
    assert states(ring) == {"relay1": "retiring", "relay2": "retiring", "relay3": "active"}


@pytest.mark.parametrize("trouble", ["failed", "stale", "neither", "retired"])
async def test_the_key_before_it_does_not_sign_again(world: World, trouble: str) -> None:
    """… while DNS does not tell, nor where its own record is gone as well, nor once it is retired."""
    ring = await world.rotated()
    name = ring.signing()[0].record_name
    match trouble:
        case "failed":
            world.dns.answers[name] = Failed("SERVFAIL")
        case "stale":
            world.dns.answers[name] = Absent(name_exists=True, expires_at=NOW, stale=True)
        case "neither":
            world.dns.answers.clear()
        case "retired":
            await ring.look(NOW + 7 * DAY)
            del world.dns.answers[name]
    await ring.look(NOW + 8 * DAY if trouble == "retired" else NOW + 1)
    assert signing(ring) == ["relay2"]


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish("example.net"), "example.net is not in [[domains]]"),
        (Wish(DOMAIN, selector="a.b"), "'a.b' is not a selector"),
        (Wish(DOMAIN, selector="../a"), "'../a' is not a selector"),
        (Wish(DOMAIN, selector="relay1"), "has, or had, a key with selector relay1"),
        (Wish(DOMAIN, bits=512), "an RSA key has 1024 to 4096 bits"),
        (Wish(DOMAIN, bits=8192), "an RSA key has 1024 to 4096 bits"),
    ],
)
async def test_what_cannot_be_made_is_refused_in_a_sentence(world: World, wish: Wish, words: str) -> None:
    ring = await world.open()
    with pytest.raises(RotationRefused) as refused:
        await ring.rotate(wish, NOW)
    assert words in str(refused.value)
    assert not kept_folder(world.config).exists()


async def test_a_key_is_told_to_nobody(world: World) -> None:
    ring = await world.open()
    before = os.umask(0)
    try:
        rotation = await ring.rotate(SMALL, NOW)
    finally:
        os.umask(before)
    folder = kept_folder(world.config)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (file,) = folder.iterdir()
    assert file.name == "example.com.relay2.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "1024 bits" in rotation.warning
    assert "PRIVATE" not in repr(ring._entries)


async def test_a_key_file_that_a_kill_left_half_written_is_no_hindrance(world: World) -> None:
    ring = await world.open()
    folder = kept_folder(world.config)
    folder.mkdir()
    (folder / ".example.com.relay2.pem.partial").write_bytes(b"half")
    assert states(await world.open()) == {"relay1": "active"}
    await ring.rotate(SMALL, NOW)
    assert [file.name for file in folder.iterdir()] == ["example.com.relay2.pem"]


async def test_the_status_says_what_dns_says(world: World) -> None:
    ring = await world.rotated()
    pending = await ring.rotate(SMALL, NOW)
    other = await ring.rotate(ED, NOW)
    world.dns.publish(other.name, pending.value)
    world.spool.live = {"relay1": 3, "relay2": 5}
    status = {key.selector: key for key in await ring.status()}
    assert list(status) == ["relay1", "relay2", "relay3", "relay4"]
    found = {selector: (key.state, key.dns, key.live) for selector, key in status.items()}
    assert found == {
        "relay1": (KeyState.RETIRING, Publication.PUBLISHED, 3),
        "relay2": (KeyState.ACTIVE, Publication.PUBLISHED, 0),
        "relay3": (KeyState.PENDING, Publication.NOT_PUBLISHED, 0),
        "relay4": (KeyState.PENDING, Publication.ANOTHER_KEY, 0),
    }
    assert status["relay1"].needed_until == NOW + 7 * DAY
    assert (status["relay2"].created_at, status["relay2"].bits) == (NOW - DAY, 1024)
    assert (status["relay1"].configured, status["relay2"].configured) == (True, False)
    world.dns.broken = Failed("dead")
    assert {key.dns for key in await ring.status()} == {Publication.DNS_FAILS}


SUB = CONFIG + '[[domains]]\nname = "mail.example.com"\n'
NONE = CONFIG.partition("[[domains.keys]]")[0]


def test_a_domain_below_one_with_keys_needs_none(tmp_path: Path) -> None:
    key = load_key(RSA, DOMAIN, "relay1")
    keyfiles.require_keys(parse_config(SUB.encode(), tmp_path), [key])
    with pytest.raises(ConfigError, match=r"domains without \[\[domains.keys\]\]: example.com, mail.example.com. Make"):
        keyfiles.require_keys(parse_config(SUB.encode(), tmp_path), [])
    with pytest.raises(ConfigError, match=r"domains without \[\[domains.keys\]\]: example.com. Make"):
        keyfiles.require_keys(parse_config(NONE.encode(), tmp_path), [load_key(RSA, "mail.example.com", "relay1")])
    allowed = NONE + '[signing]\non_missing_key = "send-unsigned"'
    keyfiles.require_keys(parse_config(allowed.encode(), tmp_path), [])


async def test_a_domain_gets_its_first_key_by_a_rotation(world: World, tmp_path: Path) -> None:
    world.config = parse_config(SUB.encode(), tmp_path)
    ring = await world.open()
    rotation = await ring.rotate(Wish("mail.example.com", bits=1024), NOW)
    assert rotation.name == "relay1._domainkey.mail.example.com"
    world.dns.publish(rotation.name, rotation.value)
    await ring.look(NOW)
    assert [(key.domain, key.selector) for key in ring.signing()] == [
        ("example.com", "relay1"),
        ("mail.example.com", "relay1"),
    ]
    assert (await ring.rotate(Wish("mail.example.com", kind="ed25519"), NOW)).is_new


@pytest.mark.parametrize("above", [True, False])
async def test_where_the_first_record_of_a_domain_vanishes_the_key_above_it_signs_again(
    world: World, tmp_path: Path, above: bool
) -> None:
    world.config = parse_config(SUB.encode(), tmp_path)
    ring = await world.open()
    if above:
        world.publish(ring, "relay1")
    rotation = await ring.rotate(Wish("mail.example.com", bits=1024), NOW)
    world.dns.publish(rotation.name, rotation.value)
    await ring.look(NOW)
    del world.dns.answers[rotation.name]
    await ring.look(NOW + 1)
    signer = Signer(ring.signing())
    assert signer.domain_for("mail.example.com") == (DOMAIN if above else "mail.example.com")
    world.dns.publish(rotation.name, rotation.value)
    await ring.look(NOW + 2)
    assert Signer(ring.signing()).domain_for("mail.example.com") == "mail.example.com"


async def test_the_first_key_of_a_domain_is_one_that_every_receiver_knows(world: World, tmp_path: Path) -> None:
    """The fault: a domain below one that signs with RSA gets an Ed25519 key, and most receivers verify nothing."""
    world.config = parse_config(SUB.encode(), tmp_path)
    ring = await world.open()
    for _ in range(2):
        with pytest.raises(RotationRefused, match="make an RSA key first"):
            await ring.rotate(Wish("mail.example.com", kind="ed25519"), NOW)
        await ring.rotate(Wish("mail.example.com", bits=1024), NOW)  # pending


async def reread(ring: Keyring, config: Config) -> None:
    ring.use(config, await ring.read(config, configured_keys(config)))


async def test_other_keys_can_be_configured_and_those_of_rotations_stay(world: World, tmp_path: Path) -> None:
    ring = await world.rotated()
    assert signing(ring) == ["relay2"]
    (tmp_path / "extra.pem").write_bytes(generate_key("ed25519"))
    extra = CONFIG + '[[domains.keys]]\nselector = "extra"\nfile = "extra.pem"\n'
    await reread(ring, parse_config(extra.encode(), tmp_path))
    assert sorted(signing(ring)) == ["extra", "relay2"]
    assert states(ring)["relay1"] == "retiring"
    await reread(ring, world.config)
    assert signing(ring) == ["relay2"]


async def test_what_happens_to_keys_while_they_are_read_is_not_undone(world: World) -> None:
    """A rotation makes one, and DNS has the record of another."""
    ring = await world.open()
    rotation = await ring.rotate(SMALL, NOW)
    keys = await ring.read(world.config, configured_keys(world.config))
    world.dns.publish(rotation.name, rotation.value)
    await ring.look(NOW)
    made = await ring.rotate(SMALL, NOW)
    ring.use(world.config, keys)
    assert states(ring) == {"relay1": "retiring", rotation.selector: "active", made.selector: "pending"}


async def test_a_key_whose_file_was_replaced_signs_as_it_is_now(world: World, tmp_path: Path) -> None:
    """The watch was at it: what it notes is how far the key has come, not the key."""
    ring = await world.open()
    rotation = await ring.rotate(SMALL, NOW)
    world.dns.publish(rotation.name, rotation.value)
    looking = asyncio.create_task(ring.look(NOW))
    await asyncio.sleep(0)
    other = generate_key("rsa", 1024)
    (tmp_path / "relay1.pem").write_bytes(other)
    await reread(ring, world.config)
    await looking
    assert ring._entries[DOMAIN, "relay1"].key.pem == load_key(other, DOMAIN, "relay1").pem


@pytest.mark.parametrize("text", ["", "{", "null", '{"created_at": "yesterday"}', '{"replaces": 1}'])
async def test_what_cannot_be_read_of_a_key_is_found_out_again(world: World, text: str) -> None:
    """The fault: the daemon did not start."""
    await world.rotated()
    world.spool.kept[f"key/{DOMAIN}/relay2"] = text
    with capture_logs() as logs:
        ring = await world.open()
    assert [line["fact"] for line in logs] == [f"key/{DOMAIN}/relay2"]
    assert [key.selector for key in ring.signing()] == ["relay1"]
    await ring.look(NOW + DAY)
    assert [key.selector for key in ring.signing()] == ["relay2"]
    assert [(key.selector, key.state) for key in await ring.status()] == [
        ("relay1", KeyState.RETIRING),
        ("relay2", KeyState.ACTIVE),
    ]
