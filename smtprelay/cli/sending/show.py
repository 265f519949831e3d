"""What is shown of a run: a bar on a terminal, JSON lines elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from smtprelay.cli.sending.tally import Noted, Tally
from smtprelay.client.receipt import Receipt, Result
from smtprelay.contacts import BadLine, Duplicate
from smtprelay.errors import Refused, SMTPRelayError

if TYPE_CHECKING:
    from rich.progress import Progress


class Show(Protocol):
    """Shows each item when it is counted, and in the end how many there were."""

    def item(self, item: Noted, tally: Tally) -> None: ...

    def summary(self, tally: Tally, key: str) -> None: ...


@contextmanager
def showing(total: int, done: str, *, lines: bool) -> Iterator[Show]:
    """
    :param total: lines of the file.
    :param done: what becomes of a message, in words.
    :param lines: as JSON lines, not as a bar.
    """
    if lines:
        yield _Lines()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = ("{task.fields[rate]:,.0f}/s", "{task.fields[failed]:,} failed")
    with Progress(BarColumn(), MofNCompleteColumn(), *map(TextColumn, columns), TimeRemainingColumn()) as progress:
        yield _Bar(progress, total, done)


def show_receipt(receipt: Receipt, done: str, *, lines: bool) -> None:
    """What came of one message.

    :param done: in words.
    """
    others: dict[str, SMTPRelayError] = {**receipt.refused, **receipt.doubtful}
    if lines:
        refused = {address: _error(error) for address, error in others.items()}
        _print({"id": receipt.id, "accepted": receipt.accepted, "refused": refused, "before": receipt.repeated})
        return
    print(f"{receipt.id}: {done}{' before, and not again' if receipt.repeated else ''}")
    for address, error in others.items():
        print(f"{address}: {error}")


class _Lines:
    """One JSON object an item, at once."""

    def item(self, item: Noted, tally: Tally) -> None:
        _print(_facts(item))

    def summary(self, tally: Tally, key: str) -> None:
        _print({
            "summary": {
                "sent": tally.sent, "before": tally.before, "refused": tally.refused, "later": tally.later,
                "bad_lines": tally.bad_lines, "duplicates": tally.duplicates, "complete": tally.complete,
                "seconds": round(tally.seconds, 3), "idempotency_key": key,
            }
        })  # fmt: skip


def _print(value: dict[str, Any]) -> None:
    print(json.dumps(value, ensure_ascii=False), flush=True)


def _facts(item: Noted) -> dict[str, Any]:
    match item:
        case BadLine():
            return {"line": item.line, "bad": item.reason}
        case Duplicate():
            return {"line": item.line, "duplicate": item.address}
        case Result(receipt=Receipt() as receipt):
            return {"line": item.contact.line, "address": item.address, "id": receipt.id, "before": receipt.repeated}
        case Result(error=error):
            assert error
            return {"line": item.contact.line, "address": item.address, **_error(error)}


def _error(error: SMTPRelayError) -> dict[str, Any]:
    facts: dict[str, Any] = {"error": type(error).__name__, "text": str(error)}
    return facts | {"code": error.code, "enhanced": error.enhanced} if isinstance(error, Refused) else facts


class _Bar:
    """A bar with rate, failures and time left; what fails is printed above it."""

    def __init__(self, progress: Progress, total: int, done: str) -> None:
        self._progress = progress
        self._done = done
        self._task = progress.add_task("", total=total, failed=0, rate=0.0)

    def item(self, item: Noted, tally: Tally) -> None:
        self._progress.update(self._task, advance=1, failed=tally.failed, rate=tally.rate)
        match item:
            case BadLine():
                self._say(f"line {item.line}: {item.reason}")
            case Result(error=SMTPRelayError() as error):
                self._say(f"line {item.contact.line}, {item.address}: {error}")

    def summary(self, tally: Tally, key: str) -> None:
        before = f", {tally.before:,} of them before" if tally.before else ""
        counts = {
            "refused": tally.refused, "not taken now": tally.later, "bad lines": tally.bad_lines,
            "duplicates": tally.duplicates,
        }  # fmt: skip
        others = "".join(f"; {count:,} {what}" for what, count in counts.items() if count)
        self._say(f"{tally.sent:,} {self._done}{before}{others}; {tally.seconds:.1f} s, {tally.rate:,.0f}/s")

    def _say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)
