"""`[suppression]`: what becomes of mail to addresses that are not to be sent to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator

from smtprelay.config.section import Section
from smtprelay.values import parse_duration

NEVER = 0
_MAX_TYPE = 4  # digits of a failure type
_LONGEST = parse_duration("36500d")
_WORDS: Mapping[str, int | None] = {"never": NEVER, "off": None}
_DEFAULTS: Mapping[str, int | None] = {
    "2": parse_duration("7d"),  # a full mailbox
    **dict.fromkeys(("1", "3", "5", "8", "9", "unsubscribed", "operator"), NEVER),
}


def is_failure_type(text: str) -> bool:
    """Whether it is a number as the platform's failure types are; the document does not know all of them."""
    return text.isascii() and text.isdecimal() and len(text) <= _MAX_TYPE and text == str(int(text))


def parse_expiry(table: object) -> dict[str, int | None]:
    """``{ 2 = "7d", 5 = "off" }`` → by cause: milliseconds, `NEVER`, or None where none is entered. What is not named
    keeps its default."""
    if not isinstance(table, Mapping):
        raise ValueError('a table is wanted, by cause: { 2 = "7d", 5 = "off" }')
    return {**_DEFAULTS, **{cause: _expiry(cause, value) for cause, value in table.items()}}


def _expiry(cause: str, value: object) -> int | None:
    if cause not in _DEFAULTS and not is_failure_type(cause):
        raise ValueError(f'{cause} is no cause: the number of a failure type is, "unsubscribed" and "operator"')
    if cause == "operator" and value == "off":
        raise ValueError('operator: what an operator enters is entered: a duration such as "90d", or "never"')
    if isinstance(value, str) and value in _WORDS:
        return _WORDS[value]
    try:
        expiry = parse_duration(value)
    except ValueError as error:
        raise ValueError(f'{cause}: {error}; or "never", or "off", which enters none') from None
    if expiry > _LONGEST:
        raise ValueError(f'{cause}: that is longer than a hundred years: write "never"')
    if not expiry:
        raise ValueError(f'{cause}: an entry of no time is none: write "off", or "never" if it is to stay')
    return expiry


class SuppressionSection(Section):
    """`[suppression]`: what becomes of mail to addresses that are not to be sent to, and for how long they are not."""

    action: Literal["reject", "discard"] = "reject"
    own_bounces: bool = True
    expiry: Annotated[Mapping[str, int | None], BeforeValidator(parse_expiry)] = parse_expiry({})
