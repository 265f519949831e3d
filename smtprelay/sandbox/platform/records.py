"""What the platform keeps for a customer: plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from smtprelay.sandbox.platform.batches import Batch

VARIABLES = 10
PAUSED, ON_HOLD, WAITING, AT_ONCE, SENT = -2, -1, 1, 2, 3  # statuses of a task


@dataclass(slots=True)
class Customer:
    id: int = 2369
    username: str = "sandbox"
    company: str = "沙盒有限公司"
    contact: str = "王小明"
    phone: str = "0755-26000000"
    mobile: str = "13800000000"
    email: str = "ops@example.com"
    im: str = "10001"
    address: str = "深圳市南山区科技园"


@dataclass(slots=True)
class Service:
    """The service that was bought. :param type: ``all``, or ``day`` for a quota a day."""

    status: str = "enabled"
    type: str = "all"
    send_type: str = "local"
    beginning: date = date(2018, 1, 1)
    expiration: date = date(2099, 12, 31)
    available: int = 100_000
    bought: int = 100_000


@dataclass(slots=True)
class Address:
    id: int
    list_id: int
    address: str
    added: datetime
    fullname: str = ""
    sex: str = ""
    birthday: str = ""
    phone: str = ""
    area: str = ""
    variables: list[str] = field(default_factory=lambda: [""] * VARIABLES)


@dataclass(slots=True)
class MailingList:
    id: int
    subject: str
    description: str = ""
    status: str = "enabled"
    addresses: dict[str, Address] = field(default_factory=dict)
    unsubscribed: list[tuple[datetime, str]] = field(default_factory=list)


@dataclass(slots=True)
class Import:
    """A file of addresses that has come. :param lag: how often it is still said to be in work."""

    list_id: int
    text: str
    lag: int


@dataclass(slots=True)
class Template:
    """:param lag: how often it is still said to be checked; until then, no task may use it."""

    id: int
    name: str
    subjects: dict[int, str]
    content: str
    created: datetime
    updated: datetime
    lag: int
    text_content: str = ""
    encoding: str = "base64"
    attachments: dict[int, tuple[str, bytes]] = field(default_factory=dict)

    @property
    def colour(self) -> str:
        """``red`` is what may not be sent: here, what offers invoices."""
        return "red" if "发票" in "".join([*self.subjects.values(), self.content]) else "green"

    @property
    def is_usable(self) -> bool:
        return self.lag == 0 and self.colour != "red"


@dataclass(slots=True)
class Task:
    """:param account: an address, or ``all`` of `domain`. :param quantity: up to which address of the list; 0: all."""

    id: int
    ident: str
    templates: Sequence[int]
    domain: str
    account: str
    fullname: str
    list_id: int
    time: datetime
    start: int = 1
    quantity: int = 0
    status: int = WAITING
    track_status: str = "0"
    track_domain: str = ""
    replyto: str = ""
    subs_link: str = "1"
    planned: int = 0
    began: datetime | None = None
    batch: Batch | None = None

    @property
    def sent(self) -> int:
        return self.batch.count()[""] if self.batch else 0

    @property
    def failed(self) -> int:
        return len(self.batch.recipients) - self.sent if self.batch else 0


@dataclass(slots=True)
class Domain:
    """:param customer_id: 0 for the platform's own."""

    id: int
    name: str
    customer_id: int
