"""A call as it came: what PHP has in $_GET, $_POST, $_REQUEST and $_FILES."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Self, TypeVar

import starlette.requests
from starlette.datastructures import UploadFile

from smtprelay.sandbox.platform.forms import Refused
from smtprelay.sandbox.platform.quirks import Quirk
from smtprelay.values import SHANGHAI

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Upload:
    """A file. :param field: ``file``, or ``file[]`` where there are several."""

    field: str
    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Request:
    """One call.

    :param script: ``account.php``
    :param manager: whether the manager made it, not the customer.
    """

    script: str
    query: Mapping[str, str] = field(repr=False)  # passwords come here too
    form: Mapping[str, str] = field(repr=False)
    files: Sequence[Upload] = ()
    manager: bool = False
    quirks: Collection[Quirk] = ()

    @classmethod
    async def read(cls, http: starlette.requests.Request, manager: bool, quirks: Collection[Quirk]) -> Self:
        form, files = {}, []
        async with http.form() as fields:
            for name, value in fields.multi_items():
                if isinstance(value, UploadFile):
                    files.append(Upload(name, value.filename or "", await value.read()))
                else:
                    form[name] = value
        return cls(http.path_params["script"], http.query_params, form, files, manager, quirks)

    def without_form(self) -> Self:
        return replace(self, form={}, files=())

    @property
    def do(self) -> str:
        """Always of the query."""
        return self.query.get("do", "")

    def get(self, name: str, default: str = "") -> str:
        return self.query.get(name, default)

    def post(self, name: str, default: str = "") -> str:
        return self.form.get(name, default)

    def either(self, name: str, default: str = "") -> str:
        """The form's comes first, as in PHP."""
        return self.form.get(name, self.query.get(name, default))


def need(value: str) -> str:
    """:raises Refused: a parameter is missing."""
    if not value:
        raise Refused("error", "参数错误")
    return value


def number(value: str) -> int:
    """:raises Refused: it is missing, or none."""
    try:
        return int(need(value))
    except ValueError:
        raise Refused("error", "参数错误") from None


def day(value: str) -> date:
    """A day as the document wants it: ``2012-03-02``, not ``2012-3-2``. :raises Refused:"""
    try:
        if len(need(value)) == len("2012-03-02"):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise Refused("error", "日期格式错误")


def moment(value: str) -> datetime:
    """``2017-7-4 16:08:56``, ``2017-7-4 16:08`` or ``2017-7-4``. :raises Refused:"""
    for form in ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d"):
        try:
            return datetime.strptime(need(value), form).replace(tzinfo=SHANGHAI)
        except ValueError:
            continue
    raise Refused("error", "时间格式错误")


def page(rows: list[T], request: Request, usual: int) -> list[T]:
    """The rows of the page that is asked for; all, where none is."""
    if "page" not in request.query and "limit" not in request.query:
        return rows
    limit = number(request.get("limit", str(usual)))
    first = (number(request.get("page", "1")) - 1) * limit
    return rows[max(first, 0) : max(first, 0) + limit]


def log_in(header: str) -> tuple[str, str]:
    """Username and password of ``Authorization: Basic …``; two empty ones where there are none."""
    scheme, _, word = header.partition(" ")
    try:
        username, _, password = base64.b64decode(word, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return (username, password) if scheme.lower() == "basic" else ("", "")
