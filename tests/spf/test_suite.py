"""The RFC 7208 test suite of openspf.org: all of its cases, by their own expected results."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from smtprelay.domains.spf.check_host import check_host
from tests.domains.support import Entry, Zone

SUITE = Path(__file__).with_name("rfc7208-tests.yml")
DEFAULT = "DEFAULT"  # the suite's word for: no explanation of the domain's own


def entries(records: list[Any]) -> Iterator[Entry]:
    """A name's records. Those of type SPF, which RFC 7208 §3.1 gave up, stand for TXT where there is none: "TXT: NONE"
    is how the suite says that there shall be none."""
    has_txt = any("TXT" in record for record in records if isinstance(record, dict))
    for record in records:
        if record == "TIMEOUT":
            yield "FAIL"
            continue
        ((kind, value),) = record.items()
        if kind == "MX":
            yield f"MX {value[0]} {value[1]}"
        elif kind == "TXT" or (kind == "SPF" and not has_txt):
            strings = [value] if isinstance(value, str) else value
            if value != "NONE":
                yield tuple(string.encode("utf-8") for string in strings)
        elif kind != "SPF":
            yield f"{kind} {value}"


def cases() -> Iterator[Any]:
    for scenario in yaml.safe_load_all(SUITE.read_bytes()):
        zone = {name: list(entries(records)) for name, records in scenario["zonedata"].items()}
        for name, case in scenario["tests"].items():
            yield pytest.param(zone, case, id=name)


CASES = list(cases())


def test_the_suite_is_whole() -> None:
    assert len(CASES) == 203


@pytest.mark.parametrize(("zone", "case"), CASES)
async def test_case(zone: dict[str, list[Entry]], case: dict[str, Any]) -> None:
    sender = case["mailfrom"] or f"postmaster@{case['helo']}"  # RFC 7208 §2.4
    domain = sender.rpartition("@")[2]
    evaluation = await check_host(Zone(zone), domain, ipaddress.ip_address(case["host"]), sender, case["helo"])
    allowed = case["result"] if isinstance(case["result"], list) else [case["result"]]
    assert evaluation.result in allowed, evaluation
    if "explanation" in case:
        assert (evaluation.explanation or DEFAULT) == case["explanation"]
