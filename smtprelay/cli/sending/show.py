"""What is shown of a run: a bar on a terminal, JSON lines elsewhere."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from smtprelay.cli.sending.route import Way
from smtprelay.cli.sending.tally import Noted, Tally
from smtprelay.client.receipt import Receipt, Result
from smtprelay.contacts import BadLine, Duplicate
from smtprelay.errors import Refused, SMTPRelayError

if TYPE_CHECKING:
    from rich.progress import Progress


_SHOWN = 5  # contacts that fail for the same reason; the others are counted


class Show(Protocol):
    """Shows each item when it is counted, and in the end how many there were."""

    def item(self, item: Noted, tally: Tally) -> None: ...

    def summary(self, tally: Tally, key: str) -> None: ...


@contextmanager
def showing(total: int, way: Way, *, lines: bool) -> Iterator[Show]:
    """
    :param total: lines of the file.
    :param lines: as JSON lines, not as a bar.
    """
    if lines:
        yield _Lines(way)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = ("{task.fields[rate]:,.0f}/s", "{task.fields[failed]:,} failed")
    with Progress(BarColumn(), MofNCompleteColumn(), *map(TextColumn, columns), TimeRemainingColumn()) as progress:
        yield _Bar(progress, total, way)


def show_receipt(receipt: Receipt, way: Way, *, lines: bool) -> None:
    """What came of one message."""
    others: dict[str, SMTPRelayError] = {**receipt.refused, **receipt.doubtful}
    if lines:
        refused = {address: _error(error) for address, error in others.items()}
        _print({**_taken(receipt, way), "accepted": receipt.accepted, "refused": refused})
        return
    name = "" if way is Way.DRY_RUN else f"{receipt.id}: "
    print(f"{name}{way}{' before, and not again' if receipt.repeated else ''}")
    for address, error in others.items():
        print(f"{address}: {error}")


def show_end(tally: Tally, way: Way, key: str, *, again: bool, named: bool) -> None:
    """On standard error, what ended the run early, and how to go on.

    :param again: whether the key is one of --again.
    :param named: whether the key is the caller's own.
    """
    if tally.unheard:
        # What is left goes there, and not to a traceback.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"The results cannot be written: {tally.unheard}.", file=sys.stderr)
    if tally.unreachable:
        print(tally.unreachable, file=sys.stderr)
    if way is Way.RELAY and not tally.complete:
        how = f" with --idempotency-key {key} in place of --again" if again else ""
        print(f"Not all was sent. To go on, run the same command again{how}.", file=sys.stderr)
    elif way is Way.RELAY and tally.status and not named:  # another file would be another key
        print(f"For the rest, mend it and add --idempotency-key {key}: nobody gets it twice then.", file=sys.stderr)


class _Lines:
    """One JSON object an item, at once."""

    def __init__(self, way: Way) -> None:
        self._way = way

    def item(self, item: Noted, tally: Tally) -> None:
        _print(_facts(item, self._way))

    def summary(self, tally: Tally, key: str) -> None:
        dry = self._way is Way.DRY_RUN
        sent = {"can_be_sent": tally.sent} if dry else {"sent": tally.sent, "before": tally.before}
        _print({
            "summary": {
                **sent, "refused": tally.refused, "suppressed": tally.suppressed, "later": tally.later,
                "bad_lines": tally.bad_lines, "duplicates": tally.duplicates, "complete": tally.complete,
                "seconds": round(tally.seconds, 3), "idempotency_key": key,
            }
        })  # fmt: skip


def _print(value: dict[str, Any]) -> None:
    print(json.dumps(value, ensure_ascii=False), flush=True)


def _facts(item: Noted, way: Way) -> dict[str, Any]:
    match item:
        case BadLine():
            return {"line": item.line, "bad": item.reason}
        case Duplicate():
            return {"line": item.line, "duplicate": item.address}
        case Result(receipt=Receipt() as receipt):
            return {"line": item.contact.line, "address": item.address, **_taken(receipt, way)}
        case Result(error=error):
            assert error
            return {"line": item.contact.line, "address": item.address, **_error(error)}


def _taken(receipt: Receipt, way: Way) -> dict[str, Any]:
    """Of a dry run nobody knows an id."""
    return {"can_be_sent": True} if way is Way.DRY_RUN else {"id": receipt.id, "before": receipt.repeated}


def _error(error: SMTPRelayError) -> dict[str, Any]:
    facts: dict[str, Any] = {"error": type(error).__name__, "text": str(error)}
    return facts | {"code": error.code, "enhanced": error.enhanced} if isinstance(error, Refused) else facts


class _Bar:
    """A bar with rate, failures and time left; what fails is printed above it."""

    def __init__(self, progress: Progress, total: int, way: Way) -> None:
        self._progress = progress
        self._way = way
        self._reasons: Counter[str] = Counter()
        self._task = progress.add_task("", total=total, failed=0, rate=0.0)

    def item(self, item: Noted, tally: Tally) -> None:
        self._progress.update(self._task, advance=1, failed=tally.failed, rate=tally.rate)
        match item:
            case BadLine():
                self._say(f"line {item.line}: {item.reason}")
            case Result(error=Refused(suppressed=True)):
                pass  # often many, and nothing is to be mended: they are counted
            case Result(error=SMTPRelayError() as error):
                self._reasons[str(error)] += 1
                if self._reasons[str(error)] <= _SHOWN:
                    self._say(f"line {item.contact.line}, {item.address}: {error}")

    def summary(self, tally: Tally, key: str) -> None:
        for reason, count in self._reasons.items():
            if count > _SHOWN:
                self._say(f"{count - _SHOWN:,} more for the same reason: {reason}")
        before = f", {tally.before:,} of them before" if tally.before else ""
        counts = {
            "suppressed": tally.suppressed, "refused": tally.refused, "not taken now": tally.later,
            f"bad line{'s' * (tally.bad_lines != 1)}": tally.bad_lines,
            f"duplicate{'s' * (tally.duplicates != 1)}": tally.duplicates,
        }  # fmt: skip
        others = "".join(f"; {count:,} {what}" for what, count in counts.items() if count)
        self._say(f"{tally.sent:,} {self._way}{before}{others}; {tally.seconds:.1f} s, {tally.rate:,.0f}/s")

    def _say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
