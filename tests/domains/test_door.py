"""Every way in which a domain can fail, over real sockets: a real DNS server, a real SMTP session. The reply names the
records; published as they stand there, the domain passes."""

from __future__ import annotations

import asyncio
import re
import smtplib
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from smtprelay.clock import now_ms
from smtprelay.config import parse_config
from smtprelay.domains.checker import Checker
from smtprelay.domains.verdict import Record, Status
from smtprelay.gateway.listeners import Listeners
from smtprelay.offload import Offload
from smtprelay.pipeline import Pipeline
from smtprelay.policy import Gate, Limits, Policy
from smtprelay.preparation import Preparer
from smtprelay.resolver import Resolver
from smtprelay.sandbox.nameserver import Fault, NameServer, Trouble
from smtprelay.signing import Signer, generate_key, load_key
from smtprelay.spool import Selector
from smtprelay.spool.sqlite import SQLiteSpool
from smtprelay.steps import Places, Steps
from smtprelay.templating.job import Job
from smtprelay.watch import Watch

DOMAIN = "example.com"
KEY = load_key(generate_key("ed25519"), DOMAIN, "relay1")
OTHER = load_key(generate_key("ed25519"), DOMAIN, "relay1")
WEAK = load_key(generate_key("rsa", 1024), DOMAIN, "relay1")
CONFIG = """
[gateway]
listen = ["127.0.0.1:0"]
hostname = "relay.test"
[spool]
url = "sqlite:///spool.db"
min_free = "1KiB"
[[upstream.credentials]]
name = "any"
[[domains]]
name = "example.com"
keys = [{{ selector = "relay1", file = "unused.pem" }}]
[domain_rules]
nameservers = ["{dns}"]
require = ["spf", "mx", "dkim", "dmarc"]
on_failure = "{on_failure}"
"""


def txt(text: str, name: str = DOMAIN) -> str:
    return Record(name, "TXT", text).zone_line


def mx(value: str) -> str:
    return f"{DOMAIN}. IN MX {value}"


DKIM_NAME, DMARC_NAME = KEY.record_name, f"_dmarc.{DOMAIN}"
GOOD = {
    "spf": [txt("v=spf1 include:spf.bestedm.org -all")],
    "mx": [mx("10 mail.bestedm.org.")],
    "dkim": [txt(KEY.record, DKIM_NAME)],
    "dmarc": [txt("v=DMARC1; p=none", DMARC_NAME)],
}
# Of others: the platform, and whoever is named in the records below.
WORLD = [
    txt("v=spf1 ip4:192.0.2.0/24 -all", "spf.bestedm.org"),
    "mail.bestedm.org. IN A 192.0.2.1",
    *(txt(f"v=spf1 ip4:192.0.2.{n} ?all", f"i{n}.example.net") for n in range(12)),
    txt("v=spf1 include:loop.example.net -all", "loop.example.net"),
    "mail.example.net. IN A 192.0.2.2",
    "alias.example.net. IN CNAME mail.bestedm.org.",
    "example.net. IN A 192.0.2.2",
]
MANY = " ".join(f"include:i{n}.example.net" for n in range(11))

# What stands there in place of the good records, and what the reply says of it.
SPF_CASES = {
    "none": ([], "7.23", "SPF"),
    "another TXT": ([txt("google-site-verification=x")], "7.23", "SPF"),
    "a typing mistake": ([txt("v=spf1include:spf.bestedm.org -all")], "7.23", "v=spf1"),
    "without the include": ([txt("v=spf1 ip4:192.0.2.9 mx -all")], "7.23", "include:spf.bestedm.org"),
    "two records": ([txt("v=spf1 mx -all"), txt("v=spf1 include:spf.bestedm.org ~all")], "7.23", "two|2"),
    "behind all": ([txt("v=spf1 mx -all include:spf.bestedm.org")], "7.23", "all"),
    "?include": ([txt("v=spf1 ?include:spf.bestedm.org -all")], "7.23", r"\?include"),
    "-include": ([txt("v=spf1 -include:spf.bestedm.org ~all")], "7.23", "-include"),
    "~include": ([txt("v=spf1 ~include:spf.bestedm.org -all")], "7.23", "~include"),
    "a bad term": ([txt("v=spf1 ip4:300.1.2.3 include:spf.bestedm.org -all")], "7.23", "ip4:300.1.2.3"),
    "+all alone": ([txt("v=spf1 +all")], "7.23", "all"),
    "too many look-ups": ([txt(f"v=spf1 {MANY} include:spf.bestedm.org -all")], "7.23", "look-?ups"),
    "void look-ups": (
        [txt("v=spf1 a:no1.example.net a:no2.example.net a:no3.example.net include:spf.bestedm.org -all")],
        "7.23",
        "void|no answer|do not exist|nothing",
    ),
    "a loop": ([txt("v=spf1 include:loop.example.net include:spf.bestedm.org -all")], "7.23", "loop|itself"),
    "an include without SPF": ([txt("v=spf1 include:example.net include:spf.bestedm.org -all")], "7.23", "example.net"),
    "a redirect elsewhere": ([txt("v=spf1 redirect=i1.example.net")], "7.23", "include:spf.bestedm.org"),
    "what nobody can read": (
        [txt("v=spf1 ip:192.0.2.9 ipv4:192.0.2.8 -all")],
        "7.23",
        "Mind: the record to publish is without 'ip:192.0.2.9', 'ipv4:192.0.2.8': ",
    ),
    "in one string after another": (
        [f'{DOMAIN}. IN TXT "v=spf1 mx" "include:spf.bestedm.org -all"'],
        "7.23",
        "mxinclude|string",
    ),
}
MX_CASES = {
    "none": ([], "7.1", "no MX"),
    "null": ([mx("0 .")], "7.27", "takes no mail"),
    "of somebody else": ([mx("10 mail.example.net."), mx("20 mail2.example.net.")], "7.1", "mail.bestedm.org"),
    "an alias of it": ([mx("10 alias.example.net.")], "7.1", "alias"),
}
DKIM_CASES = {
    "none": ([], "7.20", "DKIM|key"),
    "revoked": ([txt("k=ed25519; p=", DKIM_NAME)], "7.20", "revoked"),
    "another key": ([txt(OTHER.record, DKIM_NAME)], "7.20", "another|other|not the"),
    "of another kind": ([txt(WEAK.record, DKIM_NAME)], "7.20", "rsa|RSA"),
    "no base64": ([txt("k=ed25519; p=???", DKIM_NAME)], "7.20", "base64|p="),
    "two": ([txt(KEY.record, DKIM_NAME), txt(OTHER.record, DKIM_NAME)], "7.20", "2|two|several"),
    "for another service": ([txt(f"s=other; {KEY.record}", DKIM_NAME)], "7.20", "s="),
    "another version": ([txt(f"v=DKIM2; {KEY.record}", DKIM_NAME)], "7.20", "v="),
}
DMARC_CASES = {
    "none": ([], "7.26", "DMARC"),
    "two": ([txt("v=DMARC1; p=none", DMARC_NAME), txt("v=DMARC1; p=reject", DMARC_NAME)], "7.26", "2|two|several"),
    "no policy that exists": ([txt("v=DMARC1; p=maybe", DMARC_NAME)], "7.26", "p=maybe"),
}
CASES = [
    pytest.param(rule, *case, id=f"{rule}: {name}")
    for rule, cases in (("spf", SPF_CASES), ("mx", MX_CASES), ("dkim", DKIM_CASES), ("dmarc", DMARC_CASES))
    for name, case in cases.items()
]


def parsed(line: str) -> tuple[str, str, str]:
    """A zone line as name, type, and value with its strings joined."""
    name, _, kind, value = line.split(" ", 3)
    return name, kind, "".join(re.findall(r'"([^"]*)"', value)) if kind == "TXT" else value


@dataclass
class Door:
    """A gateway, and the DNS that it asks.

    :ivar zone: what the domain's owner has published.
    :ivar ahead: milliseconds by which its clock is ahead of ours.
    """

    dns: NameServer
    watch: Watch
    spool: SQLiteSpool
    port: int
    zone: list[str]
    ahead: int = 0

    async def send(self, *, helo: bool = False) -> str:
        """Send a message. :returns: the reply that decided over it, without the codes of its later lines."""

        def session() -> str:
            with smtplib.SMTP("127.0.0.1", self.port) as smtp:
                smtp.helo("old-app") if helo else smtp.ehlo("app")
                code, reply = smtp.mail(f"app@{DOMAIN}")
                if code == 250:
                    smtp.rcpt("b@example.org")
                    code, reply = smtp.data(f"From: app@{DOMAIN}\r\n\r\nHello\r\n".encode())
                enhanced, _, text = reply.decode().partition(" ")
                return f"{code} {enhanced} {text}".replace(f"\n{enhanced} ", "\n")

        return await asyncio.to_thread(session)

    def obey(self, reply: str) -> None:
        """Do in the zone what a reply says."""
        remove = False
        text = re.sub(r'\n(?="|\)$)', " ", reply.split(" ", 2)[2], flags=re.MULTILINE)
        for line in text.splitlines():
            if " IN " in line:
                if remove:
                    self.zone = [kept for kept in self.zone if parsed(kept) != parsed(line)]
                else:
                    self.zone.append(line)
            else:
                remove = line == "And remove:"
        self.publish()

    def publish(self) -> None:
        for name, kind in {parsed(line)[:2] for rule in GOOD.values() for line in rule}:
            with suppress(KeyError):  # nothing there
                self.dns.withdraw(name, kind)
        for line in self.zone:
            self.dns.publish(line)

    async def held(self) -> list[str]:
        """The reasons for which mail is held."""
        return [r.reason for record in await self.spool.search(Selector(), 100) for r in record.recipients]


async def no_templates(job: Job, limit: int) -> list[bytes]:
    raise AssertionError("no mail here names a template")


@asynccontextmanager
async def door(
    folder: Path, *zone: str, on_failure: str = "reject", fault: Trouble | None = None
) -> AsyncIterator[Door]:
    def clock() -> int:
        return now_ms() + (made.ahead if made else 0)

    made: Door | None = None
    async with NameServer(*WORLD, *zone) as dns:
        dns.fault = fault
        config = parse_config(CONFIG.format(dns=dns.address, on_failure=on_failure).encode(), folder)
        spool = await SQLiteSpool.open(config.spool.path, now=now_ms())
        resolver, preparer = Resolver(config.domain_rules.nameservers, clock=clock), Preparer(config, Signer([KEY]))
        checker, offload = Checker(config.domain_rules, [DOMAIN], preparer.signer.keys_for), Offload(preparer)
        watch = Watch(
            lambda domain, fresh: checker.check(domain, resolver.fresh() if fresh else resolver, clock()),
            spool.remember,
            required=config.domain_rules.require,
            configured=(),
            refusing=on_failure == "reject",
            clock=clock,
        )
        policy, limits = Policy(config), Limits(config.gateway, {}, set(), now_ms())
        gate = Gate(config, watch.verdict)
        steps = Steps(policy, gate, preparer, offload, no_templates, Places())
        way_in = config, policy, gate, limits, offload, steps, preparer.signer, spool
        pipeline = Pipeline(*way_in, quota=lambda _: "", accepted=lambda message: None, smtputf8=lambda _: None)
        listeners = Listeners(config.gateway, pipeline, None)
        [address] = await listeners.start()
        try:
            made = Door(dns, watch, spool, int(address.rpartition(":")[2]), list(zone))
            yield made
        finally:
            await listeners.stop(1.0)
            await watch.close()
            await resolver.close()
            await offload.close()
            await spool.close()


def good_but(rule: str, records: Iterable[str]) -> list[str]:
    return [line for name, lines in GOOD.items() for line in (records if name == rule else lines)]


async def test_a_domain_that_is_set_up_may_send(tmp_path: Path) -> None:
    async with door(tmp_path, *good_but("", [])) as of:
        assert (await of.send()).startswith("250 ")
        assert await of.held() == [""]
        assert {question.via for question in of.dns.questions} == {"udp"}


@pytest.mark.parametrize(("rule", "records", "code", "word"), CASES)
async def test_the_reply_says_what_to_publish_and_that_is_enough(
    tmp_path: Path, rule: str, records: list[str], code: str, word: str
) -> None:
    async with door(tmp_path, *good_but(rule, records)) as of:
        reply = await of.send()
        assert reply.startswith(f"550 5.{code} "), reply
        assert re.search(word, reply), reply
        assert not await of.held()
        of.obey(reply)
        await of.watch.look_again(DOMAIN)
        assert (await of.send()).startswith("250 ")


async def test_a_long_record_is_broken_between_its_strings(tmp_path: Path) -> None:
    long = txt("v=spf1 " + " ".join(f"ip4:192.0.2.{n}" for n in range(100, 150)) + " -all")
    async with door(tmp_path, *good_but("spf", [long])) as of:
        reply = await of.send()
        strings = [line for line in reply.splitlines() if line.startswith('"')]
        assert len(strings) == 8
        assert all(line.endswith('"') for line in strings)
        of.obey(reply)
        await of.watch.look_again(DOMAIN)
        assert (await of.send()).startswith("250 ")


@pytest.mark.parametrize(("rule", "records", "code", "word"), CASES)
async def test_a_client_that_reads_one_line_reads_the_record(
    tmp_path: Path, rule: str, records: list[str], code: str, word: str
) -> None:
    async with door(tmp_path, *good_but(rule, records)) as of:
        reply = await of.send(helo=True)
        assert "\n" not in reply
        assert len(reply) <= 510
        record = r"(?:TXT \( \".+?\" \)|TXT \".+?\"|MX \d+ \S+\.)"
        said = rf"550 5\.{code} (?:Publish in the DNS of {DOMAIN}:|.{{,120}} And remove:) \S+\. IN {record} "
        assert re.match(said, reply), reply


async def test_everything_at_once(tmp_path: Path) -> None:
    async with door(tmp_path) as of:
        reply = await of.send()
        assert reply.startswith("550 5.7.26 ")
        of.obey(reply)
        await of.watch.look_again(DOMAIN)
        assert (await of.send()).startswith("250 ")


@pytest.mark.parametrize("fault", [Fault.SERVFAIL, Fault.REFUSED, Fault.GARBAGE, Fault.WRONG_ID, Fault.SILENCE])
async def test_where_dns_fails_mail_is_taken_and_held(
    tmp_path: Path, fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And never 451: these apps do not try again."""
    monkeypatch.setattr("smtprelay.watch.PATIENCE", 0.3)  # for silence
    async with door(tmp_path, fault=fault) as of:
        assert (await of.send()).startswith("250 ")
        assert await of.held() == ["dns"]
        assert of.dns.questions


async def test_an_hour_without_dns_refuses_and_holds_nothing(tmp_path: Path) -> None:
    """The fault: DNS dies. Every minute of the hour an app sends; what was known of its domain counts."""
    async with door(tmp_path, *good_but("", [])) as of:
        assert (await of.send()).startswith("250 ")
        of.dns.fault = Fault.SERVFAIL
        for _ in range(60):
            of.ahead += 60_000
            assert (await of.send()).startswith("250 ")
            await asyncio.gather(*of.watch._looking.values())  # what that has looked up in the background
        verdict = of.watch.known(DOMAIN)
        assert verdict is not None
        assert {f.status for f in verdict.findings if f.rule in ("spf", "mx", "dkim", "dmarc")} == {Status.STALE}
        assert await of.held() == [""] * 61
        assert len(of.dns.questions) > 60


async def test_where_one_name_fails_mail_is_taken_and_held(tmp_path: Path) -> None:
    """The record would pass, but an include before the platform's cannot be looked up."""
    spf = txt("v=spf1 include:i1.example.net include:spf.bestedm.org -all")
    async with door(tmp_path, *good_but("spf", [spf])) as of:
        of.dns.faults["i1.example.net"] = Fault.SERVFAIL
        assert (await of.send()).startswith("250 ")
        assert await of.held() == ["dns"]


async def test_answers_too_long_for_udp_come_over_tcp(tmp_path: Path) -> None:
    async with door(tmp_path, *good_but("", []), fault=Fault.TRUNCATED) as of:
        assert (await of.send()).startswith("250 ")
        assert await of.held() == [""]
        assert {question.via for question in of.dns.questions} == {"udp", "tcp"}


@pytest.mark.parametrize(("on_failure", "held"), [("hold", "domain"), ("warn", ""), ("off", "")])
async def test_what_fails_is_taken_where_the_configuration_says_so(tmp_path: Path, on_failure: str, held: str) -> None:
    async with door(tmp_path, on_failure=on_failure) as of:
        assert (await of.send()).startswith("250 ")
        assert await of.held() == [held]
        assert bool(of.dns.questions) == (on_failure != "off")
