"""Files of addresses that are not to be sent to: our own, which come back as they went, those of the platform and of
other providers, and bare addresses. `smtprelay.contacts` reads their lines."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import Any

from smtprelay.contacts import BadLine, Contact, ContactFile
from smtprelay.contacts import Format as LineFormat
from smtprelay.spool import OPERATOR, Suppression
from smtprelay.suppression import UNSUBSCRIBED
from smtprelay.suppression_list import MAX_TIME, NAMES, Entry, parse_cause, parse_text, parse_time, words_of

# Columns of the platform's failexportall, SendGrid, Mailgun, Postmark, Amazon SES, and of people; all in lower case.
_CAUSES = ("type", "error_type", "suppressionreason", "reason")
_TIMES = ("created", "created_at", "createdat", "lastupdatetime")
_NOTES = ("reason", "error", "备注", "原因")
# What others call a cause, in lower case. A complaint is the recipient's "this is spam".
_MEANINGS = {
    "bounce": "1",
    "hardbounce": "1",
    "complaint": "3",
    "spamcomplaint": "3",
    "unsubscribe": UNSUBSCRIBED,
    "manualsuppression": OPERATOR,
}
_LAST_SECOND = 10**11  # a larger number counts milliseconds


class Format(StrEnum):
    """How the entries stand in a file."""

    CSV = "csv"
    JSON = "json"

    @property
    def lines(self) -> LineFormat:
        """What `smtprelay.contacts` calls it."""
        return LineFormat.JSONL if self is Format.JSON else LineFormat.CSV


def read_entries(file: ContactFile, cause: str, source: str) -> Iterator[Entry | BadLine]:
    """What is in a file, line by line.

    :param cause: of the lines that name none.
    :param source: of those that name none.
    """
    for record in file.records():
        try:
            yield record if isinstance(record, BadLine) else _entry(record, cause, source)
        except ValueError as error:
            yield BadLine(record.line, str(error))


def header(form: Format) -> str:
    """What a file begins with."""
    return ",".join(NAMES) + "\n" if form is Format.CSV else ""


def lines_of(entries: Iterable[Suppression], form: Format) -> str:
    """Entries as a file has them."""
    if form is Format.JSON:
        return "".join(json.dumps(words_of(entry), ensure_ascii=False) + "\n" for entry in entries)
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(_row(entry) for entry in entries)
    return text.getvalue()


def _row(entry: Suppression) -> tuple[str, ...]:
    expires = _iso(entry.expires) if entry.expires else ""
    return (entry.address, entry.cause, _iso(entry.since), expires, entry.source, entry.note)


def _iso(at: int) -> str:
    """Of Unix milliseconds, to the millisecond."""
    moment = datetime.fromtimestamp(at // 1000, UTC).replace(microsecond=at % 1000 * 1000)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _entry(contact: Contact, cause: str, source: str) -> Entry:
    """:raises ValueError: says which column is wrong."""
    fields = {name.lower(): value for name, value in contact.fields.items() if value != ""}
    since = _time("since", fields["since"]) if "since" in fields else _first_time(fields)
    # A column that is there and empty says "never"; where there is none, the configuration says for how long.
    expires = _time("expires", fields["expires"]) if "expires" in fields else 0 if "expires" in contact.fields else None
    return Entry(
        contact.address,
        parse_cause(_text(fields["cause"])) if "cause" in fields else _meaning(fields) or cause,
        since,
        expires,
        parse_text("source", _text(fields.get("source", ""))) or source,
        parse_text("note", _text(fields.get("note", "")) or _note(fields)),
    )


def _meaning(fields: Mapping[str, Any]) -> str:
    """What another's column says of the cause; ``""`` where none does."""
    for name in _CAUSES:
        word = _text(fields.get(name, "")).lower()
        if word in _MEANINGS:
            return _MEANINGS[word]
        if name in ("type", "error_type") and word.isdecimal():
            return parse_cause(word)
    return ""


def _note(fields: Mapping[str, Any]) -> str:
    """A smarthost's words in another's column. Where they are the cause alone, they say no more."""
    return next((_text(fields[name]) for name in _NOTES if name in fields and not _meaning({name: fields[name]})), "")


def _first_time(fields: Mapping[str, Any]) -> int | None:
    name = next((name for name in _TIMES if name in fields), "")
    return _time(name, fields[name], seconds=True) if name else None


def _time(name: str, value: object, *, seconds: bool = False) -> int | None:
    """
    :param seconds: whether a small number counts those; ours count milliseconds.
    :raises ValueError: it is no time.
    """
    text = _text(value)
    if text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_TIME)):
        number = int(text)
        return parse_time(name, number * 1000 if seconds and number < _LAST_SECOND else number)
    for parse in (datetime.fromisoformat, parsedate_to_datetime):  # local time, where no zone is given
        try:
            moment = parse(text)
            return parse_time(name, int(moment.replace(microsecond=0).timestamp()) * 1000 + moment.microsecond // 1000)
        except (ValueError, OverflowError, OSError):
            continue
    raise ValueError(f"{name}: {text!r} is no time, such as 2026-11-24T18:00:00Z")


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
