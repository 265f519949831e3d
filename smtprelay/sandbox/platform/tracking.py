"""Chapter 3: who has opened the mails of a task, and clicked on what."""

from __future__ import annotations

from smtprelay.sandbox.platform.batches import Batch, Link, Recipient
from smtprelay.sandbox.platform.forms import Node, Refused, Text, listing, record
from smtprelay.sandbox.platform.request import Request, need, number
from smtprelay.sandbox.platform.state import State

BROWSER, SYSTEM, FROM = "Chrome", "Windows 10", "192.0.2.7"


def overview(state: State, request: Request) -> Node:
    """3.1"""
    batch = _batch(state, request)
    openers = [one for one in batch.recipients if one.opened]
    clickers = [one for one in openers if one.clicked]
    delivered = batch.count()[""]
    track = record(
        "track",
        track_id=batch.track_id,
        task_id=batch.task_id,
        task_sn=batch.ident,
        send_id=batch.send_id,
        send_count=len(batch.recipients),
        real_send_count=delivered,
        error_send_count=len(batch.recipients) - delivered,
        open_unique=len(openers),
        open_total=len(openers),
        **_times("open", openers),
        click_unique=len(clickers),
        click_total=sum(len(one.clicked) for one in clickers),
        **_times("click", clickers),
        open_ratio=_ratio(len(openers), delivered),
        click_ratio=_ratio(len(clickers), delivered),
    )
    return track.with_nodes(listing("link_statistic", [_link(batch, link) for link in batch.links]))


def opens(state: State, request: Request) -> Node:
    """3.2"""
    openers = [one for one in _batch(state, request).recipients if one.opened]
    return listing(
        "data",
        [
            record(
                "user",
                email_id=one.id,
                email=one.address,
                browser=BROWSER,
                os=SYSTEM,
                ip_first=FROM,
                ip_last=FROM,
                open_total=1,
                click_total=len(one.clicked),
                **_times("open", [one]),
                **_times("click", [one] if one.clicked else []),
            )
            for one in openers
        ],
    )


def clicks(state: State, request: Request) -> Node:
    """3.3"""
    batch = _batch(state, request)
    return listing(
        "data",
        [
            record(
                "click",
                click_id=f"{one.id}{link.id}",
                email=one.address,
                link=link.url,
                click_unique=1,
                click_total=1,
                **_times("click", [one]),
            )
            for link in _links(batch, request)
            for one in batch.clicked(link)
        ],
    )


def export(state: State, request: Request) -> Text:
    """3.4"""
    track_id, email_id = number(request.get("track_id")), request.get("email_id")
    batch = next((one for one in state.batches if one.track_id == track_id), None)
    if batch is None:
        raise Refused("not_exist", "跟踪统计不存在")
    found = [one for one in batch.recipients if one.opened]
    if request.get("is_click") == "1":
        found = [one for one in found if one.clicked]
    if request.get("link_id"):
        links = _links(batch, request)
        found = [one for one in found if any(link in one.clicked for link in links)]
    if email_id:
        found = [one for one in found if str(one.id) == email_id]
    return Text([one.address for one in found])


def link_clicks(state: State, request: Request) -> Node:
    """3.5"""
    batch = _batch(state, request)
    return listing("data", [_link(batch, link) for link in _links(batch, request)])


def _batch(state: State, request: Request) -> Batch:
    """The one of a task or a batch's number; where both are given, the number counts."""
    ident, id_ = request.get("ident"), request.get("id")
    need(ident or id_)
    for batch in state.batches:
        if batch.is_called(ident, id_):
            return batch
    raise Refused("not_exist", "任务不存在或者没有统计")


def _links(batch: Batch, request: Request) -> list[Link]:
    return [link for link in batch.links if request.get("link_id") in ("", str(link.id))]


def _link(batch: Batch, link: Link) -> Node:
    clickers = batch.clicked(link)
    return record(
        "link",
        link_id=link.id,
        link=link.url,
        click_unique=len(clickers),
        click_total=len(clickers),
        **_times("click", clickers),
    )


def _times(what: str, recipients: list[Recipient]) -> dict[str, object]:
    times = [one.opened for one in recipients if one.opened]
    return {f"{what}_first": min(times, default=None), f"{what}_last": max(times, default=None)}


def _ratio(part: int, whole: int) -> str:
    return f"{part / whole if whole else 0:.2%}"
