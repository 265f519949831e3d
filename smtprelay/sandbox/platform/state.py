"""What the platform knows of one customer. Calls change it, and so may a test, as the platform's people would."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from smtprelay.sandbox.platform.batches import Batch, failure, links
from smtprelay.sandbox.platform.clock import now
from smtprelay.sandbox.platform.records import (
    AT_ONCE,
    PAUSED,
    SENT,
    WAITING,
    Customer,
    Domain,
    Import,
    MailingList,
    Service,
    Task,
    Template,
)


@dataclass(slots=True)
class State:
    """Everything. Test what is asked for later with `fail`, `unsubscribe`, `set_quota`, `disable`.

    :param is_set_up: whether the DNS of a domain is right for the platform.
    :param lag: how often imports and checks of templates are said to be in work before they are done.
    :ivar mailboxes: address → password; the smarthost's credentials.
    """

    is_set_up: Callable[[str], bool]
    customer: Customer = field(default_factory=Customer)
    service: Service = field(default_factory=Service)
    lists: dict[int, MailingList] = field(default_factory=dict)
    imports: dict[int, Import] = field(default_factory=dict)
    templates: dict[int, Template] = field(default_factory=dict)
    tasks: dict[int, Task] = field(default_factory=dict)
    batches: list[Batch] = field(default_factory=list)
    domains: dict[str, Domain] = field(default_factory=lambda: {"bestedm.org": Domain(1, "bestedm.org", 0)})
    mailboxes: dict[str, str] = field(default_factory=dict, repr=False)
    created: deque[datetime] = field(default_factory=deque)  # tasks, in the last hour
    lag: int = 1
    now: Callable[[], datetime] = now
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1001))

    def new_id(self) -> int:
        return next(self._ids)

    # What happens on the platform's side

    def fail(self, address: str, type_: str, day: date | None = None) -> None:
        """Mail to an address, of today or another day, has come back. :param type_: "1", "2" …, or one of your own."""
        batch = self.smtp_batch(day or self.now().date())
        if recipient := batch.delivered(address):
            recipient.failure = type_
            self.service.available += 1
        else:
            batch.add(address, self.now(), type_)

    def unsubscribe(self, list_id: int, address: str, at: datetime | None = None) -> None:
        """:raises KeyError: there is no such list."""
        chosen = self.lists[list_id]
        chosen.addresses.pop(address, None)
        chosen.unsubscribed.append((at or self.now(), address))

    def set_quota(self, available: int) -> None:
        self.service.available = available
        self.service.bought = max(self.service.bought, available)

    def disable(self) -> None:
        """The service is stopped: nothing is sent. Set ``service.status`` to ``enabled`` for it to go on."""
        self.service.status = "disabled"

    # Sending

    def took(self, recipients: Sequence[str]) -> str | None:
        """Mail has come over SMTP. :returns: the reply that refuses it, or None: what fails of it comes back."""
        if self.service.status != "enabled":
            return "550 5.7.1 Service of this account is disabled"
        if len(recipients) > self.service.available:
            return "550 5.7.1 Sending quota exceeded"
        at = self.now()
        self._send(self.smtp_batch(at.date()), recipients, at)
        return None

    def smtp_batch(self, day: date) -> Batch:
        """What went over SMTP on a day is one batch."""
        for batch in self.batches:
            if batch.day == day and not batch.send_id:
                return batch
        return self._begin(f"{day:%Y%m%d}-{self.customer.id}-SMTP", day)

    def run_tasks(self) -> None:
        """Send what is due; each call does so first."""
        for task in self.tasks.values():
            if task.status == AT_ONCE or (task.status == WAITING and task.time <= self.now()):
                self._run(task)

    def _run(self, task: Task) -> None:
        chosen = list(self.lists[task.list_id].addresses) if task.list_id in self.lists else []
        recipients = chosen[task.start - 1 : task.quantity or None]
        if self.service.status != "enabled" or len(recipients) > self.service.available:
            task.status = PAUSED
            return
        at = self.now()
        task.batch = self._begin(task.ident, at.date(), task.id)
        content = "".join(self.templates[id_].content for id_ in task.templates if id_ in self.templates)
        task.batch.links = links(content, self.new_id)
        self._send(task.batch, recipients, at)
        task.status, task.began = SENT, at

    def _begin(self, ident: str, day: date, send_id: int = 0) -> Batch:
        self.batches.append(Batch(self.new_id(), self.new_id(), ident, day, send_id))
        return self.batches[-1]

    def _send(self, batch: Batch, recipients: Sequence[str], at: datetime) -> None:
        """Points are taken for what is delivered; what failed is given back at once."""
        for address in recipients:
            if not batch.add(address, at, failure(address)).failure:
                self.service.available -= 1

    def may_create_task(self, limit: int = 100) -> bool:
        """Whether fewer than so many were created in the last hour; it counts as one."""
        while self.created and self.created[0] <= self.now() - timedelta(hours=1):
            self.created.popleft()
        if len(self.created) >= limit:
            return False
        self.created.append(self.now())
        return True
