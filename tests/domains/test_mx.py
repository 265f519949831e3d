"""The MX rule."""

from __future__ import annotations

import pytest

from smtprelay.domains.mx import check_mx
from smtprelay.domains.verdict import Finding, Record, Status
from tests.domains.support import Zone

DOMAIN = "mail79.example.com"
MX = "mail.bestedm.org"


async def checked(zone: Zone) -> Finding:
    finding = await check_mx(zone, DOMAIN, MX)
    assert finding.rule == "mx"
    assert finding.passes is (finding.problem == "")
    assert not finding.problem.endswith(".")
    return finding


def record(value: str) -> Record:
    return Record(DOMAIN, "MX", value)


@pytest.mark.parametrize(
    ("entries", "found", "warning"),
    [
        (["MX 10 mail.bestedm.org"], "10 mail.bestedm.org", ""),
        (["MX 0 Mail.BestEDM.org."], "0 mail.bestedm.org", ""),
        (["MX 5 mail.bestedm.org", "MX 10 mx.example.com"], "5 mail.bestedm.org, 10 mx.example.com", ""),
        (
            ["MX 20 mail.bestedm.org", "MX 10 mx.example.com"],
            "10 mx.example.com, 20 mail.bestedm.org",
            "bounces go first to mx.example.com, whose number is lower than that of mail.bestedm.org",
        ),
        (
            ["MX 10 mx.example.com", "MX 10 mail.bestedm.org"],
            "10 mx.example.com, 10 mail.bestedm.org",
            "bounces go to mx.example.com as often as to mail.bestedm.org: the numbers are the same",
        ),
    ],
)
async def test_it_passes_where_one_record_names_the_platform(entries: list[str], found: str, warning: str) -> None:
    finding = await checked(Zone({DOMAIN: entries}))
    assert finding.status is Status.PASS
    assert finding.found == found
    assert finding.warnings == ((warning,) if warning else ())
    assert finding.publish == finding.remove == ()


async def test_a_name_without_mx() -> None:
    finding = await checked(Zone({DOMAIN: ["TXT v=spf1 -all"]}))
    assert finding.status is Status.FAIL
    assert finding.problem == f"{DOMAIN} has no MX record"
    assert finding.publish == (record("10 mail.bestedm.org"),)


@pytest.mark.parametrize("address", ["A 192.0.2.1", "AAAA 2001:db8::1"])
async def test_mail_that_needs_no_mx_is_not_turned_away_unsaid(address: str) -> None:
    finding = await checked(Zone({DOMAIN: [address]}))
    assert finding.publish == (record("10 mail.bestedm.org"),)
    assert finding.warnings[0].startswith(f"mail to {DOMAIN} goes to the domain's own address now")
    assert f"{DOMAIN}. IN MX 9 {DOMAIN}. keeps it there" in finding.warnings[0]
    assert (await checked(Zone({DOMAIN: ["TXT x"]}))).warnings == ()


async def test_a_name_that_does_not_exist_is_told_apart() -> None:
    finding = await checked(Zone())
    assert finding.status is Status.FAIL
    assert f"there is no {DOMAIN} in DNS at all" in finding.problem
    assert finding.publish == (record("10 mail.bestedm.org"),)


async def test_other_hosts_keep_their_mail() -> None:
    finding = await checked(Zone({DOMAIN: ["MX 10 mx1.example.com", "MX 20 mx2.example.com"]}))
    assert finding.status is Status.FAIL
    assert finding.found == "10 mx1.example.com, 20 mx2.example.com"
    assert finding.publish == (record("30 mail.bestedm.org"),)
    assert "incoming mail still goes where it goes now" in finding.problem
    assert finding.remove == ()
    assert finding.code == "7.1"


async def test_the_highest_preference_is_not_exceeded() -> None:
    finding = await checked(Zone({DOMAIN: ["MX 65535 mx.example.com"]}))
    assert finding.publish == (record("65535 mail.bestedm.org"),)
    assert "have to be lower than 65535 first, or incoming mail goes there too" in finding.problem
    finding = await checked(Zone({DOMAIN: ["MX 65535 mx.example.com", "MX 1 a.example.com"]}))
    assert "incoming mail still goes where it goes now" in finding.problem


@pytest.mark.parametrize("added", ["mail79.example.com", "example.com"])
async def test_a_form_that_adds_the_domain_to_the_host(added: str) -> None:
    """A wildcard may give that name an address."""
    host = f"{MX}.{added}"
    finding = await checked(Zone({DOMAIN: ["MX 0 mx.example.com", f"MX 10 {host}"], host: ["A 192.0.2.1"]}))
    assert finding.status is Status.FAIL
    assert f"names {host}: the form has added .{added} to it; type {MX}. with a dot" in finding.problem
    assert (finding.publish, finding.remove) == ((record(f"10 {MX}"),), (record(f"10 {host}"),))


async def test_a_host_without_an_address_may_be_misspelt() -> None:
    zone = Zone({DOMAIN: ["MX 10 mail.bestedn.org", "MX 20 mx.example.com"], "mx.example.com": ["A 192.0.2.1"]})
    finding = await checked(zone)
    assert finding.publish == (record(f"30 {MX}"),)
    assert finding.warnings == ("mail.bestedn.org has no address in DNS, so no mail gets there; it may be misspelt",)


@pytest.mark.parametrize("host", ["mail.bestedm.org.example.net", "webmail.bestedm.org"])
async def test_a_host_whose_name_only_resembles_it(host: str) -> None:
    finding = await checked(Zone({DOMAIN: [f"MX 10 {host}"]}))
    assert finding.status is Status.FAIL


async def test_null_mx() -> None:
    finding = await checked(Zone({DOMAIN: ["MX 0 ."]}))
    assert finding.status is Status.FAIL
    assert "takes no mail" in finding.problem
    assert finding.code == "7.27"
    assert finding.found == "0 ."
    assert finding.publish == (record("10 mail.bestedm.org"),)
    assert [gone.zone_line for gone in finding.remove] == [f"{DOMAIN}. IN MX 0 ."]


async def test_null_mx_beside_the_right_one() -> None:
    finding = await checked(Zone({DOMAIN: ["MX 0 .", "MX 10 mail.bestedm.org"]}))
    assert finding.status is Status.PASS
    assert [gone.zone_line for gone in finding.remove] == [f"{DOMAIN}. IN MX 0 ."]
    assert any("contradict" in warning for warning in finding.warnings)


async def test_null_mx_beside_another() -> None:
    finding = await checked(Zone({DOMAIN: ["MX 0 .", "MX 10 mx.example.com"]}))
    assert finding.status is Status.FAIL
    assert finding.publish == (record("20 mail.bestedm.org"),)
    assert [gone.zone_line for gone in finding.remove] == [f"{DOMAIN}. IN MX 0 ."]


@pytest.mark.parametrize("address", ["A 192.0.2.1", "AAAA 2001:db8::1"])
async def test_a_host_that_is_an_alias_of_the_platforms(address: str) -> None:
    zone = Zone(
        {
            DOMAIN: ["MX 5 other.example.com", "MX 15 bounces.example.com"],
            "other.example.com": ["A 192.0.2.9"],
            "bounces.example.com": [f"CNAME {MX}"],
            MX: [address],
        }
    )
    finding = await checked(zone)
    assert finding.status is Status.FAIL
    assert "bounces.example.com, which is an alias (CNAME) of mail.bestedm.org" in finding.problem
    assert finding.publish == (record("15 mail.bestedm.org"),)
    assert finding.remove == (record("15 bounces.example.com"),)


async def test_hosts_are_not_asked_for_without_end() -> None:
    zone = Zone({DOMAIN: [f"MX 10 mx{i}.example.net" for i in range(1000)]})
    assert (await checked(zone)).status is Status.FAIL
    assert len(zone.questions) == 21


async def test_a_domain_that_is_an_alias_of_one_that_is_right() -> None:
    finding = await checked(Zone({DOMAIN: ["CNAME www.example.net"], "www.example.net": [f"MX 10 {MX}"]}))
    assert finding.status is Status.PASS
    assert "alias (CNAME) of www.example.net" in finding.warnings[0]


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        (["MX 10 mx.example.net"], "whose MX records do not name mail.bestedm.org"),
        (["A 192.0.2.1"], "which has no MX record"),
    ],
)
async def test_a_domain_that_is_an_alias_of_one_that_is_wrong(entries: list[str], problem: str) -> None:
    finding = await checked(Zone({DOMAIN: ["CNAME www.example.net"], "www.example.net": entries}))
    assert finding.status is Status.FAIL
    assert f"{DOMAIN} is an alias (CNAME) of www.example.net, {problem}" in finding.problem
    assert finding.publish == (record("10 mail.bestedm.org"),)


async def test_an_alias_that_leads_nowhere() -> None:
    finding = await checked(Zone({DOMAIN: ["CNAME gone.example.net"]}))
    assert f"{DOMAIN} is an alias (CNAME) of gone.example.net, which has no MX record" in finding.problem


async def test_dns_that_fails() -> None:
    finding = await checked(Zone({DOMAIN: ["FAIL"]}))
    assert finding.status is Status.TEMPORARY
    assert f"no answer from DNS for {DOMAIN}" in finding.problem
    assert finding.publish == ()


async def test_a_host_of_which_dns_tells_nothing_is_not_the_platforms() -> None:
    finding = await checked(Zone({DOMAIN: ["MX 10 mx.example.com"], "mx.example.com": ["FAIL"]}))
    assert finding.status is Status.FAIL
