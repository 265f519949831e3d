"""Chapter 6, what is told of tasks, and from whom they come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from xml.etree.ElementTree import Element

from smtprelay.message import parse_address
from smtprelay.platform.answer import Answer
from smtprelay.platform.read import count, instant, number, one_of, text
from smtprelay.platform.statistics import AddressType, SendState, TrackState
from smtprelay.platform.values import Value
from smtprelay.values import parse_domain


class Start(Value):
    """Whether a task waits for its time."""

    WAIT = "1", "is sent when its time comes", "等待发送"
    HOLD = "-1", "is not sent for the time being", "暂不发送"
    NOW = "2", "is sent at once", "立即发送"


class SenderKind(Value):
    """Which addresses a task's mail may come from."""

    ALL = "all", "all addresses of all domains", "所有域名下的所有发件人"
    DOMAIN = "domain", "all addresses of a domain", "某个域名下的所有发件人"
    ADDRESS = "address", "one address", "某个域名下的一个发件人"


@dataclass(frozen=True, slots=True)
class Sender:
    """Which addresses a task's mail comes from.

    >>> Sender.address("news@example.com") == Sender.parse("news@example.com")
    True
    >>> Sender.domain("example.com") == Sender.parse("example.com")
    True
    >>> Sender.all() == Sender.parse("all")
    True

    :param name: the address, or the domain.
    """

    kind: SenderKind
    name: str = ""

    @classmethod
    def address(cls, address: str) -> Sender:
        """This one. :raises ValueError: it is none."""
        return cls(SenderKind.ADDRESS, parse_address(address))

    @classmethod
    def domain(cls, domain: str) -> Sender:
        """Those of this domain. :raises ValueError: it is none."""
        return cls(SenderKind.DOMAIN, parse_domain(domain))

    @classmethod
    def all(cls) -> Sender:
        """Those of all domains."""
        return cls(SenderKind.ALL)

    @classmethod
    def parse(cls, text: str) -> Sender:
        """What a person writes: an address, a domain, or ``all``. :raises ValueError: it is none of these."""
        if text == SenderKind.ALL:
            return cls.all()
        return cls.address(text) if "@" in text else cls.domain(text)


@dataclass(frozen=True, slots=True)
class UsedTemplate:
    """A template of a task."""

    id: int | None
    name: str


@dataclass(frozen=True, slots=True)
class Task:
    """A task.

    :param ident: the number of its batch.
    :param sender_address: in the platform's words.
    :param ordered: addresses that it is to be sent to; 0: all of the list.
    :param addresses: addresses that it is really sent to.
    :param due: when it is to be sent, in Asia/Shanghai.
    :param began: when that began, in Asia/Shanghai.
    :param ended: when that ended, in Asia/Shanghai.
    :param sent: mails that were sent.
    :param unsent: mails that could not be.
    """

    id: int
    ident: str
    sender: Sender
    sender_address: str
    sender_name: str
    reply_to: str
    templates: tuple[UsedTemplate, ...]
    address_type: AddressType
    list_id: int | None
    list_name: str
    ordered: int
    addresses: int
    due: datetime | None
    began: datetime | None
    ended: datetime | None
    sent: int
    unsent: int
    state: SendState
    tracking: TrackState


def read_tasks(answer: Answer) -> Sequence[Task]:
    """6.1"""
    return [_task(row) for row in answer.rows("task", "task_list")]


def _task(row: Element) -> Task:
    return Task(
        id=count(row, "id"),
        ident=text(row, "sn"),
        sender=Sender(one_of(SenderKind, row, "acct_type"), text(row, "acct_address", "acct_domain")),
        sender_address=text(row, "sender"),
        sender_name=text(row, "sender_name"),
        reply_to=text(row, "replyto"),
        templates=tuple(UsedTemplate(number(each, "tpl_id"), text(each, "tpl_name")) for each in row.iter("template")),
        address_type=one_of(AddressType, row, "addr_type"),
        list_id=number(row, "list_id"),
        list_name=text(row, "list_name"),
        ordered=count(row, "send_qty"),
        addresses=count(row, "send_qty_remark", "send_qty_remak"),
        due=instant(row, "send_time"),
        began=instant(row, "time_start"),
        ended=instant(row, "time_end"),
        sent=count(row, "send_count"),
        unsent=count(row, "error_count"),
        state=one_of(SendState, row, "send_status", "send_satus"),
        tracking=one_of(TrackState, row, "track_status"),
    )
