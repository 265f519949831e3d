"""Chapter 4, what is told of contacts: lists, their addresses, who unsubscribed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from xml.etree.ElementTree import Element

from smtprelay.platform.answer import Answer
from smtprelay.platform.errors import CallFailed, UnreadableAnswer
from smtprelay.platform.read import children, count, instant, one_of, parse_instant, text
from smtprelay.platform.statuses import Status
from smtprelay.platform.values import Value

VARIABLES = range(1, 11)


class ListStatus(Value):
    """Whether a contact list may be used."""

    ENABLED = "enabled", "in use", "正常使用"
    DISABLED = "disabled", "may not be used", "禁止使用"


class Sex(Value):
    """A contact's."""

    MALE = "M", "male", "男"
    FEMALE = "F", "female", "女"


class UploadState(Value):
    """How far the platform is with a file of contacts."""

    FINISHED = "success", "its addresses are in the list", "解析完成"
    READING = "no_complete", "it is still being read", "正在解析"


@dataclass(frozen=True, slots=True)
class ContactList:
    """A list of contacts.

    :param count: how many addresses it has.
    """

    id: int
    name: str
    description: str
    count: int
    status: ListStatus


@dataclass(frozen=True, slots=True)
class Subscriber:
    """An address of a list, as the export tells it."""

    address: str
    name: str


@dataclass(frozen=True, slots=True)
class Unsubscribed:
    """An address that wants no more of a list.

    :param at: when it said so, in Asia/Shanghai; None where it is not told.
    """

    address: str
    at: datetime | None


@dataclass(frozen=True, slots=True)
class Address:
    """An address of a list, with all that is known of it.

    :param list_id: 0: of no list.
    :param birthday: as it was entered: ``1986-08-15``; ``""`` where it was not.
    :param added: when, in Asia/Shanghai.
    :param variables: ``var1`` to ``var10``.
    """

    id: int
    list_id: int
    address: str
    fullname: str
    birthday: str
    phone: str
    area: str
    added: datetime | None
    variables: tuple[str, ...]


def read_lists(answer: Answer) -> Sequence[ContactList]:
    """4.1"""
    return [_list(row) for row in answer.rows("item", "maillist")]


def read_list(answer: Answer) -> ContactList:
    """4.2; the list comes as an item of one as well."""
    root = answer.xml("maillist", "item")
    return _list(next(children(root, "item"), root))


def read_export(answer: Answer) -> Sequence[Subscriber]:
    """4.6: lines of address and name. :raises UnreadableAnswer: one is something else."""
    return [_subscriber(line) for line in answer.lines()]


def read_unsubscribed(answer: Answer) -> Sequence[Unsubscribed]:
    """4.7: lines of time and address, in whichever order. :raises UnreadableAnswer: one is something else."""
    return [_unsubscribed(line) for line in answer.lines()]


def read_addresses(answer: Answer) -> Sequence[Address]:
    """4.8"""
    return [_address(row) for row in answer.rows("addr", "data")]


def read_upload_state(answer: Answer) -> UploadState:
    """4.9.4. :raises CallFailed: there is no such upload."""
    root = answer.xml("result")
    status = text(root, "status")
    if status in (UploadState.FINISHED, UploadState.READING):
        return UploadState(status)
    raise CallFailed(Status(status), text(root, "data"))


def _list(row: Element) -> ContactList:
    return ContactList(
        count(row, "id"),
        text(row, "subject"),
        text(row, "description"),
        count(row, "count"),
        one_of(ListStatus, row, "status"),
    )


def _subscriber(line: str) -> Subscriber:
    address, tab, name = (part.strip(" ") for part in line.partition("\t"))
    if not tab and "@" not in address:  # an error in plain text, it may be
        raise UnreadableAnswer("a line should be address, tab, name", line)
    return Subscriber(address, name)


def _unsubscribed(line: str) -> Unsubscribed:
    first, _, second = (part.strip() for part in line.partition("\t"))
    time, address = (second, first) if "@" in first else (first, second)
    if not address:
        raise UnreadableAnswer("a line should be time, tab, address", line)
    return Unsubscribed(address, parse_instant(time, "time"))


def _address(row: Element) -> Address:
    return Address(
        count(row, "id"),
        count(row, "list_id"),
        text(row, "address"),
        text(row, "fullname"),
        text(row, "birthday", "brithday").replace("0000-00-00", ""),
        text(row, "phone"),
        text(row, "area"),
        instant(row, "time"),
        tuple(text(row, f"var{i}") for i in VARIABLES),
    )
