"""Chapter 2.3: the addresses to which mail has failed."""

from __future__ import annotations

from datetime import date

from smtprelay.sandbox.platform.batches import MEANINGS, Batch
from smtprelay.sandbox.platform.forms import Answer, Json, Refused, Text, listing, record
from smtprelay.sandbox.platform.quirks import Quirk
from smtprelay.sandbox.platform.request import Request, day, need
from smtprelay.sandbox.platform.state import State

NAMES = {"format_error": "9", "invalid_addr": "8", "not_exist": "1", "over_quota": "2", "user_reject": "3"}
ALL = ("all", "-1")
OF_A_TASK = ("1", "2", "3")  # these want a task or a batch

Row = tuple[str, str, int]  # address, type, task


def addresses(state: State, request: Request) -> Answer:
    """2.3.1"""
    return _form([{"email": address} for address, _, _ in _rows(state, request)], request, bare=True)


def everything(state: State, request: Request) -> Answer:
    """2.3.2"""
    rows = []
    for address, type_, task_id in _rows(state, request):
        kind = {"type": type_}
        if Quirk.NEW_NAMES in request.quirks:
            kind = {"error_type": type_, "error_type_dec": MEANINGS.get(type_, "其他")}
        rows.append({"email": address, **kind, "task_id": str(task_id)})
    return _form(rows, request)


def _form(rows: list[dict[str, str]], request: Request, *, bare: bool = False) -> Answer:
    """:param bare: JSON has a list of addresses."""
    match request.get("out_type"):
        case "":
            return Text([row["email"] for row in rows])
        case "file":
            head = "\t".join(rows[0] if rows else ["email"])
            return Text([head, *("\t".join(row.values()) for row in rows)], "text/csv")
        case "json":
            return Json([row["email"] for row in rows] if bare else rows)
        case "xml":
            return listing("fail_recipient_list", [record("recipient", **row) for row in rows])
    raise Refused("error", "参数错误")


def _rows(state: State, request: Request) -> list[Row]:
    first = day(request.get("date"))
    last = day(request.get("date_end")) if request.get("date_end") else first
    type_ = need(request.get("type"))
    type_ = NAMES.get(type_, type_)
    if type_ in OF_A_TASK:
        need(request.get("task_id") or request.get("task_ident"))
    return [
        (recipient.address, recipient.failure, batch.task_id)
        for batch in state.batches
        if _is_asked_for(batch, request, first, last)
        for recipient in batch.recipients
        if recipient.failure and (type_ in ALL or recipient.failure == type_)
    ]


def _is_asked_for(batch: Batch, request: Request, first: date, last: date) -> bool:
    return (
        first <= batch.day <= last
        and request.get("task_id") in ("", str(batch.task_id))
        and request.get("task_ident") in ("", batch.ident)
    )
