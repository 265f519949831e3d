"""What was sent, and what came of it: by the recipients' local parts, so that a test sees it from the address."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

FAILURES = {  # what a local part begins with → the type of the failure
    "nosuch": "1",
    "full": "2",
    "refuse": "3",
    "spam": "5",
    "invalid": "8",
}
MEANINGS = {
    "1": "邮箱不存在",
    "2": "邮箱空间满",
    "3": "用户拒收",
    "5": "系统判定为垃圾邮件拒发",
    "8": "无效地址",
    "9": "格式错误",
}
NEVER_SENT = ("8", "9")
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_LINK = re.compile(r"""href=["']?(https?://[^"'\s>]+)""", re.IGNORECASE)


def is_address(text: str) -> bool:
    return bool(_ADDRESS.fullmatch(text))


def failure(address: str) -> str:
    """The type of the failure with which mail to an address ends; "" where it arrives."""
    if not is_address(address):
        return "9"
    return next((type_ for start, type_ in FAILURES.items() if address.lower().startswith(start)), "")


@dataclass(frozen=True, slots=True)
class Link:
    id: int
    url: str


def links(content: str, new_id: Callable[[], int]) -> tuple[Link, ...]:
    """The links of a mail, each once."""
    return tuple(Link(new_id(), url) for url in dict.fromkeys(match[1] for match in _LINK.finditer(content)))


@dataclass(slots=True)
class Recipient:
    """One address of a batch. Who begins with ``opens`` does so; with ``clicks``, on each link too.

    :param failure: the type; "" where it was delivered.
    """

    id: int
    address: str
    failure: str
    opened: datetime | None = None
    clicked: Sequence[Link] = ()


@dataclass(slots=True)
class Batch:
    """What was sent for one task, or in a day over SMTP.

    :param task_id: of the statistics; not the id that creating the task gave, which is `send_id`; 0 for SMTP.
    """

    task_id: int
    track_id: int
    ident: str
    day: date
    send_id: int = 0
    links: Sequence[Link] = ()
    recipients: list[Recipient] = field(default_factory=list)
    _last: dict[str, Recipient] = field(default_factory=dict)

    def is_called(self, ident: str, id_: str) -> bool:
        """Whether it is the one of this number; without one, of this task, which mail over SMTP has not."""
        return self.ident == ident if ident else bool(self.send_id) and str(self.send_id) == id_

    def add(self, address: str, at: datetime, failure: str) -> Recipient:
        recipient = Recipient(len(self.recipients) + 1, address, failure)
        clicks = address.lower().startswith("clicks")
        if not failure and (clicks or address.lower().startswith("opens")):
            recipient.opened, recipient.clicked = at, self.links if clicks else ()
        self.recipients.append(recipient)
        self._last[address] = recipient
        return recipient

    def delivered(self, address: str) -> Recipient | None:
        """The last mail to an address, where it did not fail."""
        recipient = self._last.get(address)
        return recipient if recipient and not recipient.failure else None

    def count(self) -> Counter[str]:
        """How many recipients there are of each failure; of "", how many have their mail."""
        return Counter(recipient.failure for recipient in self.recipients)

    def clicked(self, link: Link) -> list[Recipient]:
        return [recipient for recipient in self.recipients if link in recipient.clicked]
