"""What somebody meant to publish for SPF, where it is not what receivers read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from smtprelay.domains.spf.record import VERSION, SPFRecord, is_spf, parse_record, parse_terms
from smtprelay.domains.txt import readable

MAX_STRINGS = 64  # of a record, that are looked at for missing spaces

# What a person meant to be an SPF record: its version is missing, misspelt, or does not stand alone at the beginning.
_RESEMBLES = re.compile(
    r"""[\s"']*(?:v\s*=\s*spf[0-9]?(?:\.0)?(?:/[a-z,]+)?|spf1(?![a-z0-9]))[\s;,:]*""", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Joint:
    """Two terms that became one, because strings are joined without a space (RFC 7208 §3.3)."""

    left: str
    right: str


def joints(strings: Sequence[bytes]) -> list[Joint]:
    """The joints of a record's strings, of those which each are whole terms on either side."""
    pairs = pairwise(strings[:MAX_STRINGS])
    return [Joint(readable(_last(left)), readable(_first(right))) for left, right in pairs if _is_joint(left, right)]


def parse_meant(strings: Sequence[bytes]) -> SPFRecord:
    """The terms that somebody meant to publish, of a record that has `joints`."""
    pairs = pairwise([b"", *strings[:MAX_STRINGS]])
    spaced = [b" " + right if _is_joint(left, right) else right for left, right in pairs]
    return parse_record(b"".join([*spaced, *strings[MAX_STRINGS:]]))


def _is_joint(left: bytes, right: bytes) -> bool:
    words = [_last(left), _first(right)]
    return all(words) and not parse_terms(words).bad


def _last(string: bytes) -> bytes:
    return string.rpartition(b" ")[2]


def _first(string: bytes) -> bytes:
    return string.partition(b" ")[0]


def resemblance(octets: bytes) -> str:
    """Why a TXT record that looks like SPF is none, for a person; ``""`` where it does not look like it."""
    text = octets.decode("latin-1")
    match = _RESEMBLES.match(text)
    if is_spf(octets) or not match:
        return ""
    begins = text.lower()
    if begins.startswith(VERSION) and not begins[len(VERSION)].isdigit():
        return f"there must be a space after {VERSION}"
    if begins[0].isspace():
        return "it begins with white space"
    if begins[0] in "\"'":
        return "it begins with a quotation mark"
    return f"it must begin with {VERSION} and a space"


def parse_resembling(octets: bytes) -> SPFRecord:
    """The terms that somebody meant to publish, of a record that has a `resemblance`."""
    match = _RESEMBLES.match(octets.decode("latin-1"))
    assert match
    return parse_terms(re.split(rb"[\s;]+", octets[match.end() :].rstrip(b"\"' ")))
