"""What check_host tells beside the result, and what neither the suite nor pyspf says of RFC 7208."""

from __future__ import annotations

import ipaddress
import time

import pytest

from smtprelay.domains.spf.check_host import Evaluation, check_host
from smtprelay.domains.spf.macros import expand_name
from smtprelay.domains.spf.questions import Result
from tests.domains.support import Entry, Zone

CLIENT = ipaddress.ip_address("192.0.2.1")
REVERSE = "1.2.0.192.in-addr.arpa"
HOST: list[Entry] = ["A 192.0.2.1"]


async def check(records: dict[str, list[Entry]], **arguments: str | int) -> Evaluation:
    """Of example.com, for the client."""
    return await check_host(Zone(records), "example.com", CLIENT, "joe@example.com", "h.example.com", **arguments)  # type: ignore[arg-type]


async def test_what_matched_and_what_it_cost() -> None:
    evaluation = await check(
        {
            "example.com": ["TXT v=spf1 a:gone.example.com redirect=a.example.com"],
            "a.example.com": ["TXT v=spf1 mx:h.example.com ~INCLUDE:b.example.com -all"],
            "b.example.com": ["TXT v=spf1 ip4:192.0.2.0/24 -all"],
            "h.example.com": ["MX 10 h.example.com", "A 192.0.2.9"],
        }
    )
    matched = ("redirect=a.example.com", "~INCLUDE:b.example.com", "ip4:192.0.2.0/24")
    assert evaluation == Evaluation(Result.SOFTFAIL, matched, lookups=4, void_lookups=1)


async def test_an_explanation_may_name_the_receiver_and_the_time() -> None:
    why = "TXT %{r} at %{t}: %{S} from %{c} (%{p}) is not of %{d}, said %{h}"
    records: dict[str, list[Entry]] = {"example.com": ["TXT v=spf1 exp=why.%{d} -all"], "why.example.com": [why]}
    evaluation = await check(records, receiver="mx.example.net", now=1_700_000_000_999)
    expected = "mx.example.net at 1700000000: joe%40example.com from 192.0.2.1 (unknown) is not of example.com"
    assert evaluation.explanation == f"{expected}, said h.example.com"


@pytest.mark.parametrize("why", ["%{p}", "%{c} " * 5000, "50%"])
async def test_an_explanation_is_no_reason_to_break(why: str) -> None:
    evaluation = await check(
        {
            # Two void look-ups before, and the one of %{p} is one too many.
            "example.com": ["TXT v=spf1 a:x.example.net a:y.example.net exp=why.example.com -all"],
            "why.example.com": [f"TXT {why}"],
        }
    )
    assert (evaluation.result, evaluation.explanation) == (Result.FAIL, "")


@pytest.mark.parametrize("fault", [{REVERSE: ["FAIL"]}, {REVERSE: ["PTR f.example.com"], "f.example.com": ["FAIL"]}])
async def test_ptr_does_not_match_where_dns_fails(fault: dict[str, list[Entry]]) -> None:
    assert (await check({"example.com": ["TXT v=spf1 ptr -all"], **fault})).result is Result.FAIL


async def test_ptr_passes_over_a_name_that_fails_or_is_none() -> None:
    names: list[Entry] = ["PTR f.example.com", "PTR a..example.com", "PTR h.example.com"]
    records: dict[str, list[Entry]] = {"example.com": ["TXT v=spf1 ptr -all"], "f.example.com": ["FAIL"]}
    assert (await check({**records, REVERSE: names, "h.example.com": HOST})).result is Result.PASS


@pytest.mark.parametrize(("others", "result"), [(9, Result.PASS), (10, Result.FAIL)])
async def test_ptr_looks_at_ten_names(others: int, result: Result) -> None:
    """RFC 7208 §4.6.4; here the first that leads back to the client is the last."""
    names = [f"h{n}.example.com" for n in range(others)]
    elsewhere: dict[str, list[Entry]] = {name: ["A 192.0.2.99"] for name in names}
    pointers: list[Entry] = [f"PTR {name}" for name in [*names, "h.example.com"]]
    records: dict[str, list[Entry]] = {"example.com": ["TXT v=spf1 ptr -all"], "h.example.com": HOST}
    assert (await check({**records, **elsewhere, REVERSE: pointers})).result is result


async def test_an_upper_case_macro_escapes_all_that_a_url_does() -> None:
    zone = Zone({"example.com": ["TXT v=spf1 exists:%{L}.%{d}"], "a%2Fb~c%22.example.com": HOST})
    assert (await check_host(zone, "example.com", CLIENT, 'a/b~c"@example.com')).result is Result.PASS


async def test_mx_hosts_are_asked_only_until_one_matches() -> None:
    records: dict[str, list[Entry]] = {
        "example.com": ["TXT v=spf1 mx -all", "MX 1 h.example.com", "MX 2 f.example.com"]
    }
    assert (await check({**records, "h.example.com": HOST, "f.example.com": ["FAIL"]})).result is Result.PASS


@pytest.mark.parametrize(
    ("record", "result"),
    [
        ("v=spf1 Redirect=a.example.com", Result.PASS),  # RFC 5234 §2.3: names in a grammar have no case
        ("v=spf1 a:h.example.com include:example.com", Result.PASS),
        ("v=spf1 include:example.com", Result.PERMERROR),
        ("v=spf1 n=1 n=2 ip4:192.0.2.1", Result.PASS),  # RFC 7208 §6
        ("v=spf1 exists:%{d0}.example.com", Result.PERMERROR),  # §7.3: "MUST be nonzero"
        (f"v=spf1 exists:%{{d{'9' * 5000}}}", Result.PASS),  # more digits than int() takes
        ("v=spf1 exists:%{l-}.h.example.com", Result.NEUTRAL),
        ("v=spf1 exists:%{dr}", Result.NEUTRAL),
        ("v=spf1 exists:%{h1r}.%{d}", Result.PASS),
        ("v=spf1 exists:h.example%2ecom", Result.PERMERROR),
        ("v=spf1 exists:%%{d}", Result.PERMERROR),
        ("v=spf1 a:[192.0.2.1]", Result.PERMERROR),
        ("v=spf1 ip6:fe80::1%eth0", Result.PERMERROR),
        ("v=spf1 a:h.example.com/24//64/1", Result.PERMERROR),
        ("v=spf1 exists:h\\046example.com", Result.NEUTRAL),
        ("v=spf1 a:.com", Result.NEUTRAL),
    ],
)
async def test_records(record: str, result: Result) -> None:
    records: dict[str, list[Entry]] = {
        "example.com": [f"TXT {record}", *HOST],
        "a.example.com": ["TXT v=spf1 ip4:192.0.2.1"],
        "h.example.com": HOST,
        "com.h.example.com": HOST,
        "com.example.com": HOST,
    }
    assert (await check(records)).result is result


async def test_macros_do_not_make_a_name_that_takes_seconds_to_cut() -> None:
    domain = f"{'a.' * 120}example.com"
    begun = time.process_time()
    evaluation = await check_host(Zone({domain: [f"TXT v=spf1 exists:{'%{d}' * 2040}"]}), domain)
    assert evaluation.result is Result.NEUTRAL
    assert time.process_time() - begun < 0.5


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a." * 126 + "b", "a." * 126 + "b"),
        ("a." * 127 + "b", "a." * 126 + "b"),
        (f"aa.{'a.' * 126}b", "a." * 126 + "b"),
        (f"b.{'a' * 300}.b.{'a' * 251}", f"b.{'a' * 251}"),
        (f"b.{'a' * 300}.b.{'a' * 252}", "a" * 252),
        (f"{'a.' * 126}b.", "a." * 126 + "b"),
    ],
)
def test_labels_go_from_the_left(text: str, name: str) -> None:
    assert expand_name((text,), {}) == name


async def test_a_name_without_a_dot_has_no_record() -> None:
    assert (await check_host(Zone({"localhost": ["TXT v=spf1 +all"]}), "localhost", CLIENT)).result is Result.NONE


@pytest.mark.parametrize("term", ["ip4:0.0.0.0/0", "a", "mx", "ptr", "exists:example.com", "include:%{i}.example.com"])
async def test_without_a_client_no_address_matches(term: str) -> None:
    zone = Zone({"example.com": [f"TXT v=spf1 {term} redirect=%{{h}}.example.com", "MX 1 example.com", *HOST]})
    evaluation = await check_host(zone, "example.com")
    lookups = 1 if term.startswith("ip4") else 2
    assert evaluation == Evaluation(Result.NEUTRAL, lookups=lookups)


@pytest.mark.parametrize(("entry", "void"), [("A 192.0.2.1", 0), ("AAAA 2001:db8::1", 0), ("TXT none", 1)])
async def test_without_a_client_a_host_is_void_only_without_any_address(entry: str, void: int) -> None:
    zone = Zone({"example.com": ["TXT v=spf1 a:h.example.com"], "h.example.com": [entry]})
    assert (await check_host(zone, "example.com")).void_lookups == void


async def test_without_a_client_nothing_is_explained() -> None:
    zone = Zone({"example.com": ["TXT v=spf1 exp=why.example.com -all"], "why.example.com": ["TXT not from %{c}"]})
    assert await check_host(zone, "example.com") == Evaluation(Result.FAIL, ("-all",))
