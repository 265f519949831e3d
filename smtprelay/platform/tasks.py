"""Chapter 6, and 5.1: campaigns, each a template that goes to the addresses of a contact list."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from smtprelay.message import parse_address
from smtprelay.platform.call import Call, M, Pages, Resource, call, on_day, paged, parameters
from smtprelay.platform.result import Result, read_result
from smtprelay.platform.statistics import SendState, TrackState
from smtprelay.platform.task_values import Sender, SenderKind, Start, Task, read_tasks
from smtprelay.values import SHANGHAI, parse_domain

MOST_IN_AN_HOUR = 100  # tasks that may be made
UNASKED = 30  # tasks of a page, where no other number is asked for
_PATH = "task.php"
_SOON = timedelta(minutes=1)  # what is sent at once must not be past when the platform reads it


class Tasks(Resource[M]):
    """The campaigns."""

    @paged
    def list(
        self,
        *,
        id: int | None = None,
        date: date | None = None,
        state: SendState | None = None,
        limit: int = UNASKED,
    ) -> Pages[Task]:
        """6.1: the tasks.

        :param id: only this one.
        :param date: only those that are to be sent on this day, in Asia/Shanghai.
        :param state: only those that are in it.
        :param limit: how many come with one call.
        """
        query = parameters(do="task-list", id=id, date=on_day(date), send_status=state, limit=limit)
        return Pages(
            lambda page: Call("6.1", _PATH, query | parameters(page=page), read_tasks, repeatable=True),
            min(limit, UNASKED),
        )

    @call
    def create(
        self,
        tpl_id: int | Sequence[int],
        list_id: int,
        sender: Sender,
        sender_name: str,
        time: datetime | None = None,
        *,
        start: Start = Start.WAIT,
        first: int = 1,
        last: int = 0,
        unsubscribe_link: bool = True,
        tracking: TrackState = TrackState.NOTHING,
        track_domain: str | None = None,
        reply_to: str | None = None,
    ) -> Call[Result]:
        """5.1 and 6.2: schedule a task; the result has its id. 100 an hour are taken.

        :param tpl_id: of a template that passed its check, or of several.
        :param list_id: of the contacts that it goes to.
        :param sender: the address that it comes from: `Sender`.
        :param sender_name: shown with that address.
        :param time: when it is to be sent, with a zone. It may be left out only with `Start.NOW`.
        :param start: whether it waits for its time.
        :param first: the first address of the list that it goes to, from 1.
        :param last: the last address of the list that it goes to; 0: all.
        :param unsubscribe_link: whether each mail gets a link to unsubscribe.
        :param tracking: what is counted of those who read it.
        :param track_domain: of the links by which that is done.
        :param reply_to: the address that answers go to.
        :raises ValueError: a parameter cannot be right. :raises TooManyCalls: 100 were made within the hour.
        """
        if time is None and start is not Start.NOW:
            raise ValueError("when? Give `time`, or start=Start.NOW")
        form = _written(tpl_id, list_id, sender, sender_name, first, last, track_domain, reply_to) | parameters(
            status=start, time=_time(time, start), subs_link=unsubscribe_link, track_status=tracking
        )
        return Call("6.2", _PATH, {"do": "add-task"}, read_result, form, hourly=MOST_IN_AN_HOUR)

    @call
    def edit(
        self,
        id: int,
        *,
        tpl_id: int | Sequence[int] | None = None,
        list_id: int | None = None,
        sender: Sender | None = None,
        sender_name: str | None = None,
        time: datetime | None = None,
        start: Start | None = None,
        first: int | None = None,
        last: int | None = None,
        unsubscribe_link: bool | None = None,
        tracking: TrackState | None = None,
        track_domain: str | None = None,
        reply_to: str | None = None,
    ) -> Call[Result]:
        """6.3: change what is given of a task that was not sent yet.

        :param tpl_id: of a template that passed its check, or of several.
        :param list_id: of the contacts that it goes to.
        :param sender: whom it comes from.
        :param sender_name: shown with that address.
        :param time: when it is to be sent, with a zone.
        :param start: whether it waits for its time.
        :param first: the first address of the list that it goes to, from 1.
        :param last: the last address of the list that it goes to; 0: all.
        :param unsubscribe_link: whether each mail gets a link to unsubscribe.
        :param tracking: what is counted of those who read it.
        :param track_domain: of the links by which that is done.
        :param reply_to: the address that answers go to.
        :raises ValueError: nothing is given, or a parameter cannot be right.
        """
        due = _time(time, start)
        # `send_time` is in the document's list of parameters, `time` in the request that it prints.
        form = _written(tpl_id, list_id, sender, sender_name, first, last, track_domain, reply_to) | parameters(
            send_status=start, send_time=due, time=due, subs_link=unsubscribe_link, track_status=tracking
        )
        if not form:
            raise ValueError("nothing is given: give what is to be changed")
        return Call("6.3", _PATH, parameters(do="edit-task", id=id), read_result, form)

    @call
    def delete(self, id: int) -> Call[Result]:
        """6.4: delete a task."""
        return Call("6.4", _PATH, parameters(do="del-task", id=id), read_result)


def _written(
    tpl_id: int | Sequence[int] | None,
    list_id: int | None,
    sender: Sender | None,
    sender_name: str | None,
    first: int | None,
    last: int | None,
    track_domain: str | None,
    reply_to: str | None,
) -> dict[str, str]:
    """What `create` and `edit` write alike. :raises ValueError: it cannot be right."""
    if isinstance(tpl_id, Sequence) and not tpl_id:
        raise ValueError("there is no template: give one or more")
    if sender_name is not None and not sender_name.strip():
        raise ValueError("the sender's name is empty: the platform wants one")
    if first is not None and first < 1:
        raise ValueError("`first` is counted from 1")
    if last is not None and last != 0 and last < (first or 1):
        raise ValueError("`last` comes after `first`, or is 0: all")
    return parameters(
        tpl_id=",".join(map(str, tpl_id)) if isinstance(tpl_id, Sequence) else tpl_id,
        maillist_id=list_id,
        **(_account(sender) if sender else {}),
        send_fullname=sender_name,
        send_qty_start=first,
        send_qty=last,
        track_domain=track_domain and parse_domain(track_domain),
        send_replyto=reply_to and parse_address(reply_to),
    )


def _account(sender: Sender) -> dict[str, str]:
    match sender.kind:
        case SenderKind.ADDRESS:
            return {"send_domain": sender.name.rpartition("@")[2], "send_account": sender.name}
        case SenderKind.DOMAIN:
            return {"send_domain": sender.name, "send_account": "all"}
        case SenderKind.ALL:
            return {"send_domain": "all", "send_account": "all"}
    raise ValueError(f"{sender.kind!r} is no kind of sender that a task can have")


def _time(time: datetime | None, start: Start | None) -> datetime | None:
    """:raises ValueError: it has no zone: what `datetime.now()` gives would be sent hours too early in London."""
    if time is None:
        return datetime.now(SHANGHAI) + _SOON if start is Start.NOW else None
    if time.tzinfo is None:
        raise ValueError(f"{time} where? Give `time` a zone: tzinfo=SHANGHAI, or .astimezone() where it is local")
    return time
