"""Chapter 3: who opened the mails of a task, and who followed which link."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from xml.etree.ElementTree import Element

from smtprelay.platform.answer import Answer
from smtprelay.platform.call import Call, M, Resource, call, only_one, parameters
from smtprelay.platform.read import children, count, instant, number, text


@dataclass(frozen=True, slots=True)
class Link:
    """A link, and who followed it.

    :param click_unique: people who did.
    :param click_total: how often they did.
    :param click_first: in Asia/Shanghai, like all times of this chapter.
    """

    id: int | None
    link: str
    click_unique: int
    click_total: int
    click_first: datetime | None
    click_last: datetime | None


@dataclass(frozen=True, slots=True)
class Overview:
    """What is known of a task's mails.

    :param track_id: what 3.4 wants.
    :param task_id: of its statistics; what 2.3 wants.
    :param ident: the number of its batch.
    :param send_id: as 6.2 gave it.
    :param open_ratio: in the platform's words.
    :param click_ratio: likewise.
    """

    track_id: int | None
    task_id: int | None
    ident: str
    send_id: int | None
    sent: int
    delivered: int
    failed: int
    open_unique: int
    open_total: int
    open_first: datetime | None
    open_last: datetime | None
    click_unique: int
    click_total: int
    click_first: datetime | None
    click_last: datetime | None
    open_ratio: str
    click_ratio: str
    links: tuple[Link, ...]


@dataclass(frozen=True, slots=True)
class Open:
    """Somebody who opened a mail.

    :param ip_first: the address from which it was opened first.
    """

    email_id: int | None
    email: str
    browser: str
    os: str
    ip_first: str
    ip_last: str
    open_total: int
    click_total: int
    open_first: datetime | None
    open_last: datetime | None
    click_first: datetime | None
    click_last: datetime | None


@dataclass(frozen=True, slots=True)
class Click:
    """Somebody who followed a link."""

    id: int | None
    email: str
    link: str
    click_unique: int
    click_total: int
    click_first: datetime | None
    click_last: datetime | None


class Tracking(Resource[M]):
    """Those who read. Tasks of the web interface and of chapter 6 only."""

    @call
    def overview(self, id: int | None = None, *, ident: str = "") -> Call[Overview]:
        """3.1: the figures of a task; from here are its task_id, the number of its batch, and its track_id.

        :param id: of a task, as 6.2 gave it (send_id).
        :param ident: the number of a batch.
        :raises ValueError: not one of both is given.
        """
        query = {"do": "overview"} | only_one(id=id, ident=ident)
        return Call("3.1", "track.php", query, _overview, repeatable=True)

    @call
    def opens(self, id: int | None = None, *, ident: str = "") -> Call[list[Open]]:
        """3.2: who opened a task's mails.

        :param id: of a task, as 6.2 gave it (send_id).
        :param ident: the number of a batch.
        :raises ValueError: not one of both is given.
        """
        query = {"do": "open-detail"} | only_one(id=id, ident=ident)
        return Call("3.2", "track.php", query, _opens, repeatable=True)

    @call
    def clicks(self, id: int | None = None, *, ident: str = "", link_id: int | None = None) -> Call[list[Click]]:
        """3.3: who followed the links in a task's mails.

        :param id: of a task, as 6.2 gave it (send_id).
        :param ident: the number of a batch.
        :param link_id: this link only.
        :raises ValueError: not one of `id` and `ident` is given.
        """
        query = {"do": "click-detail"} | only_one(id=id, ident=ident) | parameters(link_id=link_id)
        return Call("3.3", "track.php", query, _clicks, repeatable=True)

    @call
    def export(
        self, track_id: int, *, clicked: bool = False, link_id: int | None = None, email_id: int | None = None
    ) -> Call[list[str]]:
        """3.4: the addresses of those who read. The document does not show how they come: these are the lines, as they
        are.

        :param track_id: from 3.1.
        :param clicked: only those who followed a link.
        :param link_id: only those who followed this one.
        :param email_id: only this one, from 3.2.
        """
        query = parameters(track_id=track_id, is_click=clicked, link_id=link_id, email_id=email_id)
        return Call("3.4", "trackexport.php", query, _exported, repeatable=True)

    @call
    def links(self, id: int | None = None, *, ident: str = "", link_id: int | None = None) -> Call[list[Link]]:
        """3.5: the links in a task's mails, and how many followed each.

        :param id: of a task, as 6.2 gave it (send_id).
        :param ident: the number of a batch.
        :param link_id: this link only.
        :raises ValueError: not one of `id` and `ident` is given.
        """
        query = {"do": "link-stat"} | only_one(id=id, ident=ident) | parameters(link_id=link_id)
        return Call("3.5", "track.php", query, _links, repeatable=True)


def _overview(answer: Answer) -> Overview:
    root = answer.xml("track")
    links = root.find("link_statistic")
    return Overview(
        track_id=number(root, "track_id"),
        task_id=number(root, "task_id"),
        ident=text(root, "task_sn"),
        send_id=number(root, "send_id"),
        sent=count(root, "send_count"),
        delivered=count(root, "real_send_count"),
        failed=count(root, "error_send_count"),
        open_unique=count(root, "open_unique"),
        open_total=count(root, "open_total"),
        open_first=instant(root, "open_first"),
        open_last=instant(root, "open_last"),
        click_unique=count(root, "click_unique"),
        click_total=count(root, "click_total"),
        click_first=instant(root, "click_first"),
        click_last=instant(root, "click_last"),
        open_ratio=text(root, "open_ratio"),
        click_ratio=text(root, "click_ratio"),
        links=tuple(_link(row) for row in children(root if links is None else links, "link")),
    )


def _opens(answer: Answer) -> list[Open]:
    return [
        Open(
            email_id=number(row, "email_id"),
            email=text(row, "email"),
            browser=text(row, "browser"),
            os=text(row, "os"),
            ip_first=text(row, "ip_first"),
            ip_last=text(row, "ip_last"),
            open_total=count(row, "open_total"),
            click_total=count(row, "click_total"),
            open_first=instant(row, "open_first"),
            open_last=instant(row, "open_last"),
            click_first=instant(row, "click_first"),
            click_last=instant(row, "click_last"),
        )
        for row in answer.rows("user", "data")
    ]


def _clicks(answer: Answer) -> list[Click]:
    return [
        Click(
            id=number(row, "click_id"),
            email=text(row, "email"),
            link=text(row, "link"),
            click_unique=count(row, "click_unique"),
            click_total=count(row, "click_total"),
            click_first=instant(row, "click_first"),
            click_last=instant(row, "click_last"),
        )
        for row in answer.rows("click", "data")
    ]


def _exported(answer: Answer) -> list[str]:
    lines = answer.lines()
    if lines and not any("@" in line for line in lines):  # an error in plain text
        raise answer.without_addresses()
    return lines


def _links(answer: Answer) -> list[Link]:
    return [_link(row) for row in answer.rows("link", "data")]


def _link(row: Element) -> Link:
    return Link(
        id=number(row, "link_id"),
        link=text(row, "link"),
        click_unique=count(row, "click_unique"),
        click_total=count(row, "click_total"),
        click_first=instant(row, "click_first"),
        click_last=instant(row, "click_last"),
    )
