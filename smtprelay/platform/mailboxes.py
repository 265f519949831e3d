"""Chapter 7.7–7.10: the mailboxes of a domain, each of which is a log-in to the platform's smarthost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from smtprelay.message import parse_address
from smtprelay.platform.answer import Answer
from smtprelay.platform.call import Call, M, Pages, Resource, call, paged, parameters
from smtprelay.platform.domains import PATH, for_customer
from smtprelay.platform.read import number, text
from smtprelay.platform.result import Result, read_result
from smtprelay.values import parse_domain

UNASKED = 30  # mailboxes of a page, where no other number is asked for


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A log-in to the smarthost.

    :param name: the local part of the address.
    :param address: its username at the smarthost.
    """

    customer_id: int | None
    domain: str
    name: str
    address: str


class Mailboxes(Resource[M]):
    """The mailboxes of a domain: 20 at most. Managers have those of their customers too."""

    @paged
    def list(self, domain: str, *, customer_id: int | None = None, limit: int = UNASKED) -> Pages[Mailbox]:
        """7.7: the mailboxes of a domain.

        :param customer_id: of this customer: for managers only.
        :param limit: how many come with one call.
        :raises ValueError: it is no domain.
        """
        about = {"do": "mailbox-list", "domain": parse_domain(domain), **for_customer(customer_id)}
        return Pages(
            lambda page: Call("7.7", PATH, about | parameters(page=page, limit=limit), _mailboxes, repeatable=True),
            min(limit, UNASKED),
        )

    @call
    def add(self, address: str, password: str, *, customer_id: int | None = None) -> Call[Result]:
        """7.8: add a mailbox to its domain. :raises ValueError: the address is none, or the password empty."""
        query, form = _about("mailbox-add", address, customer_id), _secret(password)
        return Call("7.8", PATH, query, _done, form, secrets=[password])

    @call
    def delete(self, address: str, *, customer_id: int | None = None) -> Call[Result]:
        """7.9: delete a mailbox. :raises ValueError: the address is none."""
        return Call("7.9", PATH, _about("mailbox-del", address, customer_id), read_result)

    @call
    def set_password(self, address: str, password: str, *, customer_id: int | None = None) -> Call[Result]:
        """7.10: change the password of a mailbox. :raises ValueError: the address is none, or the password empty."""
        query, form = _about("mailbox-edit", address, customer_id), _secret(password)
        return Call("7.10", PATH, query, _done, form, repeatable=True, secrets=[password])


def _about(do: str, address: str, customer_id: int | None) -> dict[str, str]:
    return {"do": do, "mailbox": parse_address(address), **for_customer(customer_id)}


def _secret(password: str) -> dict[str, str]:
    """What goes by POST: the document puts it into the URL, which is written to logs on its way."""
    if not password:
        raise ValueError("the password is empty")
    return {"pwd": password}


def _done(answer: Answer) -> Result:
    """What the platform says beside may be the password."""
    return replace(read_result(answer), data="")


def _mailboxes(answer: Answer) -> Sequence[Mailbox]:
    return [
        Mailbox(number(row, "customer_id"), text(row, "domain"), text(row, "name"), text(row, "mailbox"))
        for row in answer.rows("data", "mailbox_list")
    ]
