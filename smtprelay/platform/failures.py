"""Chapter 2.3: the addresses to which mail has failed, and why."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

from smtprelay.failure_types import FAILURE_TYPES
from smtprelay.platform.answer import Answer
from smtprelay.platform.call import Call, M, Resource, call, on_day, parameters
from smtprelay.platform.errors import CallFailed
from smtprelay.platform.long_json import MAX_VALUE
from smtprelay.platform.read import Row, number, one_of, text
from smtprelay.platform.statuses import DONE, Status
from smtprelay.platform.values import Value

_COLUMNS = ("email", "type", "task_id")  # of a text file that does not name them
_HEAD = re.compile(r'\s*(?:email\s*(?:\t|$)|(?P<csv>"email"|email\s*,))')  # of one that does
_JSON_ALONE = re.compile(r'(?:null|"[^"\r\n]*")\s*')


class FailureType(Value):
    """Why mail to an address failed. The names of the document are understood as well: ``FailureType("not_exist")``."""

    ALL = "-1", "any failure", "全部错误失败无效拒收等地址"
    FORMAT_ERROR = "9", *FAILURE_TYPES["9"]
    INVALID_ADDRESS = "8", *FAILURE_TYPES["8"]
    NOT_EXIST = "1", *FAILURE_TYPES["1"]
    OVER_QUOTA = "2", *FAILURE_TYPES["2"]
    USER_REJECT = "3", *FAILURE_TYPES["3"]
    SPAM = "5", *FAILURE_TYPES["5"]

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        names = {
            "all": "-1",
            "format_error": "9",
            "invalid_addr": "8",
            "not_exist": "1",
            "over_quota": "2",
            "user_reject": "3",
        }
        return cls(names[value]) if isinstance(value, str) and value in names else super()._missing_(value)


_OF_A_TASK = frozenset({FailureType.NOT_EXIST, FailureType.OVER_QUOTA, FailureType.USER_REJECT})


@dataclass(frozen=True, slots=True)
class Failure:
    """Mail to an address has failed.

    :param address: as it was given to the platform; one of type 9 is none.
    :param task_id: of the statistics, as in 2.4 and 3.1; not the send_id. None where it is not told.
    :param description: the type in the platform's words; newer answers have it.
    """

    address: str
    type: FailureType
    task_id: int | None = None
    description: str = ""


class Failures(Resource[M]):
    """Addresses that mail did not reach."""

    @call
    def addresses(
        self,
        date: date,
        type: FailureType = FailureType.ALL,
        *,
        task_id: int | None = None,
        task_ident: str = "",
        date_end: date | None = None,
    ) -> Call[list[str]]:
        """2.3.1: the addresses alone; one may be there several times.

        :param date: the day, in Asia/Shanghai.
        :param type: these failures only.
        :param task_id: those of one task, by the number that its statistics have (3.1); not the send_id.
        :param task_ident: those of one batch.
        :param date_end: the last day, where `date` is the first; the document does not know it.
        :raises ValueError: types 1, 2 and 3 want `task_id` or `task_ident`; or the days are in the wrong order.
        """
        query = _which(date, type, task_id, task_ident, date_end)
        return Call("2.3.1", "failexport.php", query, _addresses, repeatable=True)

    @call
    def all(
        self,
        date: date,
        type: FailureType = FailureType.ALL,
        *,
        task_id: int | None = None,
        task_ident: str = "",
        date_end: date | None = None,
    ) -> Call[list[Failure]]:
        """2.3.2: the addresses, why each failed and in which task.

        :param date: the day, in Asia/Shanghai.
        :param type: these failures only.
        :param task_id: those of one task, by the number that its statistics have (3.1); not the send_id.
        :param task_ident: those of one batch.
        :param date_end: the last day, where `date` is the first; the document does not know it.
        :raises ValueError: types 1, 2 and 3 want `task_id` or `task_ident`; or the days are in the wrong order.
        """
        query = _which(date, type, task_id, task_ident, date_end)
        return Call("2.3.2", "failexportall.php", query, _failures, repeatable=True)


def _which(first: date, type_: FailureType, task_id: int | None, task_ident: str, last: date | None) -> dict[str, str]:
    if type_ in _OF_A_TASK and task_id is None and not task_ident:
        raise ValueError(f"give `task_id` or `task_ident` as well: the platform wants one of them with type {type_}")
    date, date_end = on_day(first), on_day(last)
    if date_end and date and date_end < date:
        raise ValueError("`date_end` is before `date`: give the first day as `date`, and the last as `date_end`")
    return parameters(
        date=date, date_end=date_end, type=type_, task_id=task_id, task_ident=task_ident or None, out_type="json"
    )


def _addresses(answer: Answer) -> list[str]:
    return [address for row in _rows(answer) if (address := text(row, "email"))]


def _failures(answer: Answer) -> list[Failure]:
    return [
        Failure(
            address=address,
            type=one_of(FailureType, row, "error_type", "type"),
            task_id=number(row, "task_id"),
            description=text(row, "error_type_dec"),
        )
        for row in _rows(answer)
        if (address := text(row, "email"))
    ]


def _rows(answer: Answer) -> Iterator[Row]:
    """JSON was asked for; what comes may be any of the four forms."""
    told = answer.begin
    if told.startswith("<"):
        yield from answer.rows("recipient", "fail_recipient_list")
    elif told.startswith(("[", "{")) or _JSON_ALONE.fullmatch(told):
        yield from _of_json(answer)
    else:
        yield from _of_text(answer)


def _of_json(answer: Answer) -> Iterator[Row]:
    is_long = len(answer.text) > MAX_VALUE
    for row in answer.items() if answer.begin.startswith("[") or is_long else _of_no_list(answer):
        match row:
            case str():
                yield {"email": row}
            case {"email": _}:
                yield row
            case _:
                raise answer.without_addresses()


def _of_no_list(answer: Answer) -> Iterable[Any]:
    match told := answer.json():
        case None:
            return []
        case {"status": _} if (status := text(told, "status")) not in DONE:
            raise CallFailed(Status(status), text(told, "data"))
        case {"email": _}:  # a list of one
            return [told]
        case str() if "@" in told or not told:
            return [told]
        case dict() if all(name.isdecimal() for name in told):  # PHP writes a list with gaps as an object
            return told.values()
    raise answer.without_addresses()


def _of_text(answer: Answer) -> Iterator[Row]:
    lines = answer.lines()
    columns: Sequence[str] = _COLUMNS
    head = _HEAD.match(lines[0]) if lines else None
    with_tabs = csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE)
    rows = csv.reader(lines, strict=True) if head and head["csv"] else with_tabs
    try:
        if head:
            columns = [name.strip() for name in next(rows)]
        elif lines and not any("@" in line for line in lines):
            raise answer.without_addresses()
        for row in rows:
            yield dict(zip(columns, row, strict=False))
    except csv.Error:
        raise answer.without_addresses() from None
