"""Chapter 2 without its failures: what was sent on a day, task by task and batch by batch, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from xml.etree.ElementTree import Element

from smtprelay.platform.answer import Answer
from smtprelay.platform.call import Call, M, Resource, call, on_day, only_one, parameters
from smtprelay.platform.read import count, day, instant, number, one_of, text
from smtprelay.platform.values import Value


class SendState(Value):
    """How far a task is. The document knows of -5 to 4, and says of these what they mean."""

    CANCELLED = "-3", "cancelled", "取消发送"
    PAUSED = "-2", "paused", "暂停发送"
    NOT_YET = "-1", "not to be sent for the time being", "暂不发送"
    WAITING = "1", "waits to be sent", "等待发送"
    SENDING = "2", "is being sent", "正在发送"
    SENT = "3", "was sent", "发送完成"


class AddressType(Value):
    """Where the addresses of a task are from."""

    CONTACTS = "0", "a contact list", "使用用户联系人分类中的邮件地址来进行发送"
    SUBSCRIBERS = "1", "a list of subscribers", "使用邮件订阅列表中的邮件地址来进行发送"


class TrackState(Value):
    """What is counted of those who read a task's mail."""

    NOTHING = "0", "nothing", "不跟踪"
    OPENS = "1", "who opens it", "跟踪邮件打开情况"
    CLICKS = "2", "who opens it, and who follows a link", "跟踪邮件打开与链接点击情况"


@dataclass(frozen=True, slots=True)
class WebTask:
    """A task of the platform's web interface, or of chapter 6.

    :param id: what chapter 3 calls send_id.
    :param ident: the number of its batch.
    :param ordered: addresses that it is to be sent to; 0: all of the list.
    :param addresses: addresses of the list when the task was made.
    :param due: when it is to be sent, in Asia/Shanghai.
    :param began: when that began, in Asia/Shanghai.
    :param ended: when that ended, in Asia/Shanghai.
    :param sent: mails that were sent.
    :param unsent: mails that were not sent; those that failed later are not among them.
    """

    id: int | None
    ident: str
    sender: str
    sender_name: str
    reply_to: str
    template_id: int | None
    template_name: str
    address_type: AddressType
    list_id: int | None
    list_name: str
    ordered: int
    addresses: int
    due: datetime | None
    state: SendState
    began: datetime | None
    ended: datetime | None
    sent: int
    unsent: int
    tracking: TrackState


@dataclass(frozen=True, slots=True)
class DayStatistics:
    """What was sent on a day, by the web interface and by SMTP.

    :param day: in Asia/Shanghai.
    :param web_planned: mails of the web interface's tasks.
    :param web_failed: mails of the web interface that failed.
    :param web_sent: mails that the web interface sent.
    :param invalid: addresses that cannot exist.
    :param malformed: addresses that are none.
    :param planned: mails that were to be sent.
    :param planned_deduction: what they would have cost.
    :param sent: mails that were sent.
    :param failed: mails of these that could not be delivered.
    :param deducted: what it cost.
    """

    day: date | None
    web_planned: int
    web_failed: int
    web_sent: int
    invalid: int
    malformed: int
    planned: int
    planned_deduction: int
    sent: int
    failed: int
    deducted: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What came of a batch.

    :param task_id: of its statistics; not the send_id.
    :param day: on which it was sent, in Asia/Shanghai.
    :param planned: mails that were to be sent, those to bad addresses among them.
    :param sent: mails that were sent.
    :param invalid: addresses that cannot exist, or are none.
    :param failed: mails that could not be delivered, or were not sent because they would have been refused.
    :param delivered: mails that arrived.
    :param not_exist: failed: there is no such mailbox.
    :param over_quota: failed: the mailbox is full.
    :param user_reject: failed: the recipient refuses it.
    :param spam: not sent: it was judged as spam.
    :param deducted: what it cost.
    """

    task_id: int | None
    day: date | None
    ident: str
    planned: int
    sent: int
    invalid: int
    failed: int
    delivered: int
    not_exist: int
    over_quota: int
    user_reject: int
    spam: int
    deducted: int


@dataclass(frozen=True, slots=True)
class Deduction:
    """What a day cost.

    :param day: in Asia/Shanghai.
    :param kind: what for, in the platform's words.
    :param sent: mails.
    :param deducted: what they cost.
    """

    day: date | None
    company: str
    kind: str
    sent: int
    deducted: int


class Statistics(Resource[M]):
    """What was sent."""

    @call
    def web_tasks(
        self, date: date | None = None, *, ident: str = "", id: int | None = None, state: SendState | None = None
    ) -> Call[list[WebTask]]:
        """2.1: the tasks of a day, or one of them.

        :param date: the day, in Asia/Shanghai.
        :param ident: the number of a batch, from 3.1.
        :param id: of a task, as 6.2 gave it.
        :param state: those of one state only.
        :raises ValueError: not one of `date`, `ident` and `id` is given; or no such `state` is possible.
        """
        query = {"do": "list-task"} | only_one(date=on_day(date), ident=ident, id=id)
        if state is not None:
            query["state"] = _possible(state)
        return Call("2.1", "task.php", query, _web_tasks, repeatable=True)

    @call
    def day(self, date: date) -> Call[DayStatistics]:
        """2.2: the figures of a day.

        :param date: in Asia/Shanghai.
        """
        return Call("2.2", "statistic.php", parameters(date=on_day(date)), _day, repeatable=True)

    @call
    def batches(self, date: date | None = None, *, ident: str = "", id: int | None = None) -> Call[list[Batch]]:
        """2.4: the figures of a day's batches, or of one of them.

        :param date: the day, in Asia/Shanghai.
        :param ident: the number of a batch, from 3.1.
        :param id: of a task, as 6.2 gave it.
        :raises ValueError: none of them is given, or both `ident` and `id` are.
        """
        given = (bool(ident), id is not None)
        if all(given) or not (date or any(given)):
            raise ValueError("give `date`, `ident` or `id`, and not both of the last two")
        query = parameters(date=on_day(date), ident=ident or None, id=id)
        return Call("2.4", "stask.php", query, _batches, repeatable=True)

    @call
    def deductions(self, date: date) -> Call[list[Deduction]]:
        """2.5: what a day cost. What one task cost is in `batches`.

        :param date: in Asia/Shanghai.
        """
        return Call("2.5", "deduction.php", parameters(date=on_day(date)), _deductions, repeatable=True)


def _possible(state: SendState) -> str:
    if state.value not in map(str, range(-5, 5)):
        raise ValueError("a state is a number from -5 to 4")
    return state.value


def _web_tasks(answer: Answer) -> list[WebTask]:
    return [_web_task(row) for row in answer.rows("task", "task_list")]


def _web_task(row: Element) -> WebTask:
    return WebTask(
        id=number(row, "id"),
        ident=text(row, "sn"),
        sender=text(row, "sender"),
        sender_name=text(row, "sender_name"),
        reply_to=text(row, "replyto"),
        template_id=number(row, "tpl_id"),
        template_name=text(row, "tpl_name"),
        address_type=one_of(AddressType, row, "addr_type"),
        list_id=number(row, "list_id"),
        list_name=text(row, "list_name"),
        ordered=count(row, "send_qty"),
        addresses=count(row, "send_qty_remark", "send_qty_remak"),
        due=instant(row, "send_time"),
        state=one_of(SendState, row, "send_status", "send_satus"),
        began=instant(row, "time_start"),
        ended=instant(row, "time_end"),
        sent=count(row, "send_count"),
        unsent=count(row, "error_count"),
        tracking=one_of(TrackState, row, "track_status"),
    )


def _day(answer: Answer) -> DayStatistics:
    root = answer.xml("statistic")
    figures = ("ws_qty", "ws_error", "ws_count", "invalid_addr", "format_error", "send_count", "deduc_count")
    actual = ("actual_send", "send_error", "actual_deduc")
    return DayStatistics(day(root, "date"), *(count(root, name) for name in (*figures, *actual)))


def _batches(answer: Answer) -> list[Batch]:
    return [_batch(row) for row in answer.rows("task", "data")]


def _batch(row: Element) -> Batch:
    return Batch(
        task_id=number(row, "task_id"),
        day=day(row, "task_date"),
        ident=text(row, "task_ident"),
        planned=count(row, "totalsum"),
        sent=count(row, "total"),
        invalid=count(row, "invalid"),
        failed=count(row, "failed"),
        delivered=count(row, "success"),
        not_exist=count(row, "email_not_exist"),
        over_quota=count(row, "over_quota"),
        user_reject=count(row, "user_reject"),
        spam=count(row, "rubbish"),
        deducted=count(row, "actual"),
    )


def _deductions(answer: Answer) -> list[Deduction]:
    return [
        Deduction(
            day=day(row, "date"),
            company=text(row, "company"),
            kind=text(row, "deduction"),
            sent=count(row, "send_num"),
            deducted=count(row, "total"),
        )
        for row in answer.rows("list", "data")
    ]
