"""What is wrong, and when the relay is not ready: in words, from what the parts know; without sockets."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import structlog
import trustme

from smtprelay.config import parse_config
from smtprelay.domains.verdict import Finding, Status, Verdict
from smtprelay.health import TRY_AGAIN, WAITS_LONG, Health, Smarthosts
from smtprelay.outcome import Fact, Phase
from smtprelay.problems import RELOAD
from smtprelay.reply import Reply
from smtprelay.scheduler import Credentials
from smtprelay.spool import Fault, Spool, State, Waiting
from smtprelay.upstream import Upstream
from smtprelay.upstream.lane import lanes
from smtprelay.watch import Watch
from smtprelay.words import in_language, local_time

NOW = 1_790_000_000_000
GIB = 2**30
ONE, TWO = "one.example:25", "two.example:25"
CONFIG = """\
[spool]
url = "sqlite:////nowhere/spool.db"
[upstream]
host = ["one.example", "two.example"]
tls = "starttls"
{upstream}
[[upstream.credentials]]
name = "news"
username = "news@example.com"
password_env = "PASSWORD"
[[domains]]
name = "example.com"
[domain_rules]
on_failure = "{on_failure}"
{more}
"""


@dataclass
class Books:
    """The spool, as far as health looks at it."""

    room: int = 10 * GIB
    fault: Fault | None = None
    suppression_fault: Fault | None = None

    def free(self) -> int:
        return self.room


@dataclass
class World:
    """The parts that health looks at."""

    on_failure: str = "reject"
    upstream_keys: str = ""
    more: str = ""
    now: int = NOW
    books: Books = field(default_factory=Books)
    waiting: Waiting = field(default_factory=lambda: Waiting({}))
    stalled: int = 0
    statuses: tuple[Status, Status] = (Status.PASS, Status.PASS)

    def __post_init__(self) -> None:
        text = CONFIG.format(on_failure=self.on_failure, upstream=self.upstream_keys, more=self.more)
        self.config = parse_config(text.encode(), Path("/nowhere"))
        ways = lanes(self.config.upstream, {"news": "secret"})
        self.upstream = Upstream(self.config.upstream, hostname="relay.example", lanes=ways)
        self.upstream.reach._clock = lambda: self.now
        self.credentials = Credentials(["news"], lambda: self.now)
        self.watch = Watch(
            self.check,
            self.remember,
            required=("spf", "mx"),
            configured=("example.com",),
            refusing=self.on_failure == "reject",
            clock=lambda: self.now,
        )
        self.health = Health(
            self.config,
            cast("Spool", self.books),
            self.upstream,
            self.credentials,
            self.watch,
            waiting=lambda: self.waiting,
            stalled=lambda: self.stalled,
            clock=lambda: self.now,
        )
        self.health.accepting = True

    async def check(self, domain: str, fresh: bool) -> Verdict:
        spf, mx = self.statuses
        problem = "the name server is silent" if spf is Status.TEMPORARY else "it has no SPF record"
        findings = Finding("spf", spf, problem="" if spf is Status.PASS else problem), Finding("mx", mx)
        return Verdict(domain, True, self.now, self.now + 60_000, findings)

    async def remember(self, key: str, value: str | None) -> None: ...

    def lose(self, place: str, words: str = "Connection refused", phase: Phase = Phase.CONNECT) -> None:
        """A connection to a smarthost fails."""
        [way] = [way for lane in self.upstream._lanes.values() for way in lane.ways if way.place == place]
        self.upstream.reach.failed(way, Fact(phase, error=f"{place}: {words}"))

    def gain(self, place: str) -> None:
        """A connection to a smarthost succeeds."""
        self.upstream.reach.opened(next(iter(self.upstream._lanes.values())).way(place))

    def wrong(self) -> list[str]:
        return [problem.key for problem in self.health.problems()]

    def only(self) -> Any:
        [problem] = self.health.problems()
        return problem

    @property
    def ready(self) -> bool:
        return not self.health.unready()


def test_where_all_is_well_there_is_nothing_to_say() -> None:
    world = World()
    assert world.health.problems() == []
    assert world.ready


def test_before_the_start_and_at_the_end_it_is_not_ready() -> None:
    world = World()
    world.health.accepting = False
    assert [problem.key for problem in world.health.unready()] == ["stopping"]


# Smarthosts


def test_one_smarthost_of_two_is_a_warning_and_mail_leaves_by_the_other() -> None:
    world = World()
    world.lose(ONE)
    problem = world.only()
    assert problem.severity == "warning"
    assert problem.sentence == (
        f"No connection to one of the smarthosts succeeds since {local_time(NOW)}: {ONE}: Connection refused. Mail "
        "leaves by another."
    )
    assert world.ready


def test_without_any_smarthost_the_relay_is_not_ready() -> None:
    world = World()
    world.lose(ONE)
    world.now += 5000
    world.lose(TWO)
    assert [problem.severity for problem in world.health.problems()] == ["critical", "critical"]
    assert [problem.about for problem in world.health.unready()] == [ONE, TWO]
    world.gain(TWO)
    assert world.ready
    world.gain(ONE)
    assert world.health.problems() == []


def test_how_mail_leaves_a_credential_at_a_time() -> None:
    """A refused log-in closes the way whichever smarthost can be reached; a smarthost that is lost, where it is the
    last."""
    world = World()
    [way] = world.health.smarthosts()
    assert way == Smarthosts("news", (ONE, TWO), (), None)
    world.lose(ONE)
    [way] = world.health.smarthosts()
    assert (way.unreachable, way.is_open) == ((ONE,), True)
    world.lose(TWO)
    [way] = world.health.smarthosts()
    assert (way.unreachable, way.is_open) == ((ONE, TWO), False)
    world.gain(ONE)
    world.credentials.refused("news", "535 5.7.8 No")
    [way] = world.health.smarthosts()
    assert (way.unreachable, way.is_open) == ((TWO,), False)


def test_an_outage_begins_once() -> None:
    world = World()
    world.lose(ONE)
    world.now += 60_000
    world.lose(ONE, "no answer within 30 s")
    assert f"since {local_time(NOW)}: {ONE}: no answer within 30 s." in world.only().sentence


def test_a_refused_log_in_is_no_outage() -> None:
    world = World()
    world.lose(ONE)
    [way, _] = next(iter(world.upstream._lanes.values())).ways
    world.upstream.reach.failed(way, Fact(Phase.AUTH, Reply(535, "7.8", "Authentication failed")))
    assert world.health.problems() == []
    world.upstream.reach.failed(way, Fact(Phase.AUTH, Reply(454, "7.0", "Try later")))
    assert world.wrong() == ["smarthost"]


@pytest.mark.parametrize(
    ("phase", "remedy"), [(Phase.STARTTLS, "tls_ca_file"), (Phase.EHLO, "hostname"), (Phase.CONNECT, "firewall")]
)
def test_what_to_do_depends_on_how_far_it_came(phase: Phase, remedy: str) -> None:
    world = World()
    world.lose(ONE, phase=phase)
    assert remedy in world.only().remedy


def test_in_a_sandbox_no_smarthost_is_needed() -> None:
    world = World(upstream_keys='mode = "sandbox"')
    world.waiting = Waiting({State.QUEUED: 1}, credentials={"old": 1})
    assert world.health.problems() == []
    assert world.health.smarthosts() == []
    assert world.ready


def test_what_leaves_a_sandbox_by_a_rule_needs_one() -> None:
    rule = '[[upstream.rules]]\nrecipient = "*@example.com"\naction = "deliver"'
    world = World(upstream_keys='mode = "sandbox"', more=rule)
    world.lose(ONE)
    world.lose(TWO)
    assert not world.ready


class Probe:
    """Stands for `Upstream.probe`: counts, and answers what it is told to."""

    def __init__(self, fact: Fact) -> None:
        self.fact = fact
        self.asked: list[str] = []

    async def __call__(self, credential: str) -> Fact:
        self.asked.append(credential)
        return self.fact


async def test_a_smarthost_that_was_lost_is_tried_again_though_no_mail_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    probe = Probe(Fact(Phase.AUTH, Reply(535, "7.8", "Authentication failed")))
    monkeypatch.setattr(world.upstream, "probe", probe)
    world.lose(ONE)
    world.now += TRY_AGAIN
    await world.health.try_again()
    assert probe.asked == []  # mail leaves by the other, and tries both
    world.lose(TWO)
    await world.health.try_again()
    assert probe.asked == []  # that was a moment ago
    world.now += TRY_AGAIN
    await world.health.try_again()
    assert probe.asked == ["news"]
    assert "credential" in world.wrong()
    await world.health.try_again()
    assert probe.asked == ["news"]  # from now on it is the scheduler that tries the credential


# Credentials


def test_a_refused_credential_says_so_without_its_address() -> None:
    world = World()
    world.credentials.refused("news", "535 5.7.8 news@example.com: Authentication failed.")
    problem = world.only()
    assert problem.severity == "critical"
    assert problem.sentence == (
        f"The smarthost refuses the log-in of credential news since {local_time(NOW)}: 535 5.7.8 n***@example.com: "
        "Authentication failed. Its mail is accepted and waits."
    )
    assert local_time(NOW + 300_000) in problem.remedy
    assert not world.ready  # there is no other


def test_mail_of_a_credential_that_is_gone() -> None:
    world = World()
    world.waiting = Waiting({State.QUEUED: 3}, credentials={"news": 1, "old": 2})
    assert world.only().sentence == "Recipients that wait for credential old, which is not configured any more: 2."
    assert world.ready


# The spool


def test_below_the_floor_of_the_disk() -> None:
    world = World()
    world.books.room = GIB - 1
    problem = world.only()
    assert problem.sentence == (
        "1024.0 MiB are free on the disk of /nowhere/spool.db, less than [spool] min_free (1.0 GiB): mail is refused "
        "with 452."
    )
    assert not world.ready


def test_a_list_of_suppressed_addresses_that_cannot_be_read() -> None:
    world = World()
    world.books.suppression_fault = Fault(NOW, "spool.db is damaged")
    assert world.only().sentence.endswith("and are sent to: spool.db is damaged")
    assert world.ready, "mail goes on"


def test_messages_that_stand_where_the_spool_is_damaged() -> None:
    world = World(waiting=Waiting({}, damaged=3))
    assert world.only().sentence.endswith("can be neither read nor held: 3. All others go.")
    assert "sqlite3 /nowhere/spool.db .recover" in world.only().remedy
    assert world.ready, "mail goes on"


def test_a_spool_that_cannot_be_written() -> None:
    world = World()
    world.books.fault = Fault(NOW, "The disk that holds spool.db is full: nothing was stored. Free some space on it.")
    assert world.only().sentence.startswith(f"The spool cannot be written since {local_time(NOW)}: The disk that")
    assert not world.ready


# Domains and DNS


async def test_a_domain_says_nothing_before_it_was_looked_up() -> None:
    assert World(statuses=(Status.FAIL, Status.PASS)).health.problems() == []


@pytest.mark.parametrize(
    ("on_failure", "severity", "words"),
    [("reject", "critical", "refused (550)"), ("hold", "critical", "held"), ("warn", "warning", "may be lost")],
)
async def test_a_domain_that_is_not_set_up(on_failure: str, severity: str, words: str) -> None:
    world = World(on_failure, statuses=(Status.FAIL, Status.PASS))
    await world.watch.look_again("example.com")
    problem = world.only()
    assert (problem.severity, problem.about) == (severity, "example.com spf")
    assert problem.sentence.startswith("example.com is not set up: it has no SPF record.")
    assert words in problem.sentence
    assert world.ready  # the others' mail is welcome


async def test_dns_that_fails_with_nothing_known() -> None:
    world = World(statuses=(Status.TEMPORARY, Status.PASS))
    await world.watch.look_again("example.com")
    problem = world.only()
    assert problem.sentence == (
        "DNS does not tell how example.com stands: the name server is silent. Mail in its name is accepted and held."
    )
    assert "'smtprelay domain check example.com'" in problem.remedy


async def test_dns_that_fails_is_a_warning_while_its_last_answer_counts() -> None:
    world = World()
    await world.watch.look_again("example.com")
    world.statuses = Status.TEMPORARY, Status.PASS
    await world.watch.look_again("example.com")
    assert world.only().severity == "warning"
    world.now += 2 * 86_400_000
    await world.watch.look_again("example.com")
    assert world.only().severity == "critical"


async def test_many_domains_share_one_sentence() -> None:
    world = World(statuses=(Status.TEMPORARY, Status.PASS))
    world.watch.waiting |= {f"{i}.example" for i in range(9)}
    for domain in ("example.com", *sorted(world.watch.waiting)):
        await world.watch.look_again(domain)
    assert "… (10) stands" in world.only().sentence


# Certificates


def _certified(folder: Path, days: float) -> Path:
    path = folder / "tls.pem"
    at = datetime.fromtimestamp(NOW / 1000, UTC) + timedelta(days=days)
    trustme.CA().issue_cert("relay.example", not_after=at).cert_chain_pems[0].write_to_path(str(path))
    return path


@pytest.mark.parametrize(
    ("days", "severity", "words"), [(-1, "critical", "has expired"), (3, "warning", "expires in 3d"), (20, "", "")]
)
def test_a_certificate_of_ours(tmp_path: Path, days: float, severity: str, words: str) -> None:
    path = _certified(tmp_path, days)
    world = World(more=f'[gateway]\ntls_certificate = "{path}"\ntls_key = "{path}"')
    assert [problem.severity for problem in world.health.problems()] == ([severity] if severity else [])
    for problem in world.health.problems():
        assert f"The certificate of [gateway], {path}," in problem.sentence
        assert words in problem.sentence
        assert problem.remedy.startswith("Put a new one there")


def test_a_certificate_that_was_renewed_is_not_in_use_yet(tmp_path: Path) -> None:
    """The file is fine, and clients still see the old one: the classic of three in the morning."""
    path = _certified(tmp_path, -1)
    world = World(more=f'[gateway]\ntls_certificate = "{path}"\ntls_key = "{path}"')
    _certified(tmp_path, 90)
    assert world.only().remedy == "A newer one is there: 'systemctl reload smtprelay' puts it to use."
    world.health.use(world.config)
    assert world.health.problems() == []


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_a_certificate_that_cannot_be_read_has_not_expired(tmp_path: Path, content: bytes | None) -> None:
    """Neither at start, nor while somebody puts the new one in the old one's place; and the log says so once."""
    path = _certified(tmp_path, 3)
    world = World(more=f'[gateway]\ntls_certificate = "{path}"\ntls_key = "{path}"')
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with structlog.testing.capture_logs() as log:
        assert [world.only().severity for _ in range(3)] == ["warning"] * 3
    assert len(log) == (0 if content is None else 1)
    world.health.use(world.config)
    assert world.health.problems() == []


# The queue


def test_what_is_held_for_a_person_and_what_goes_by_itself() -> None:
    world = World()
    world.waiting = Waiting({State.HELD: 5}, held={"dns": 1, "quota": 1, "operator": 1, "ambiguous": 2})
    assert world.only().sentence == "Recipients that are held and wait for a person: 3 (ambiguous, operator)."


def test_mail_that_waits_long() -> None:
    """The fault: its age was in English in a Chinese sentence."""
    world = World()
    world.waiting = Waiting({State.QUEUED: 1}, {State.QUEUED: NOW - WAITS_LONG})
    assert world.only().sentence == "The oldest message in the queue has waited for 4h."
    assert world.only().tell(in_language("zh"))[0] == "队列中最早的邮件已等待 4 小时。"
    world.waiting = Waiting({State.HELD: 1}, {State.HELD: NOW - WAITS_LONG})
    assert world.health.problems() == []


def test_nothing_is_delivered_and_nobody_else_says_why() -> None:
    world = World(stalled=12)
    assert world.only().sentence == ("Nothing was delivered in the last ten minutes, while 12 attempts were deferred.")
    world.lose(ONE)
    assert world.wrong() == ["smarthost"]


# Words


def test_others_tell_of_problems_too_and_what_is_critical_comes_first() -> None:
    world = World(stalled=12)
    world.health.sources.append(lambda: [RELOAD.of(words="line 3: this key is not known")])
    assert world.wrong() == ["reload", "stalled"]


def test_in_chinese() -> None:
    world = World(stalled=12)
    sentence, remedy = world.only().tell(in_language("zh"))
    assert sentence == "最近十分钟没有任何邮件投递成功，而有 12 次尝试已推迟。"
    assert "queue list" in remedy
