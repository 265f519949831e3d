"""Chapter 7.1–7.6: the domains that may send, and whether their DNS is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from smtprelay.platform.answer import Answer
from smtprelay.platform.call import Call, M, Resource, call, parameters
from smtprelay.platform.read import count, number, one_of, text
from smtprelay.platform.result import Result, read_result
from smtprelay.platform.statuses import Status
from smtprelay.platform.values import Value
from smtprelay.values import parse_domain

PATH = "bs.php"


class DomainStatus(Value):
    """What the platform knows of a domain."""

    NEITHER = "0", "neither added nor verified", "系统中不存在并验证不通过"
    VERIFIED = "1", "not added, but its DNS is right", "系统不存在但验证通过"
    ADDED = "2", "added, but its DNS is not right", "添加成功但验证不通过"
    ADDED_AND_VERIFIED = "3", "added, and its DNS is right", "添加成功并验证通过"


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain of a customer.

    :param customer_id: 0: it is the platform's own.
    """

    customer_id: int
    domain: str


@dataclass(frozen=True, slots=True)
class AddedDomain:
    """A domain that was added.

    :param id: 0 where the platform tells none.
    :param verified: whether its DNS was found right at once.
    """

    id: int
    verified: bool


@dataclass(frozen=True, slots=True)
class DomainState:
    """What the platform finds when it looks at a domain's DNS.

    :param domain_id: 0: it was not added.
    :param words: the platform's own, in Chinese.
    """

    customer_id: int | None
    domain_id: int
    domain: str
    status: DomainStatus
    words: str


class Domains(Resource[M]):
    """The domains that may send. Those given may be in Chinese characters: the platform gets A-labels."""

    @call
    def list(self, customer_id: int | None = None) -> Call[Sequence[Domain]]:
        """7.1: the domains of the account.

        :param customer_id: of this customer: for managers only.
        """
        query = {"do": "domain-list", **for_customer(customer_id)}
        return Call("7.1", PATH, query, _domains, repeatable=True)

    @call
    def add(self, domain: str) -> Call[AddedDomain]:
        """7.2: add a domain. :raises ValueError: it is none."""
        return Call("7.2", PATH, {"do": "customer-domain-add", "domain": parse_domain(domain)}, _added)

    @call
    def check(self, *domains: str) -> Call[Sequence[DomainState]]:
        """7.3: have the platform look at the DNS of domains, whether they were added or not.

        :raises ValueError: one is none, or there is none.
        """
        if not domains:
            raise ValueError("which domains? Give one or more")
        form = {"domains": ",".join(map(parse_domain, domains))}
        return Call("7.3", PATH, {"do": "domain-check"}, _states, form, repeatable=True)

    @call
    def add_for(self, customer_id: int, domain: str) -> Call[AddedDomain]:
        """7.4: add a domain to a customer: for managers only. :raises ValueError: it is none."""
        query = parameters(do="domain-add", customer_id=customer_id, domain=parse_domain(domain))
        return Call("7.4", PATH, query, _added)

    @call
    def delete_for(self, customer_id: int, domain: str) -> Call[Result]:
        """7.5: delete a domain of a customer: for managers only. :raises ValueError: it is none."""
        query = parameters(do="domain-del", customer_id=customer_id, domain=parse_domain(domain))
        return Call("7.5", PATH, query, read_result)

    @call
    def delete(self, domain: str) -> Call[Result]:
        """7.6: delete a domain. One that is verified cannot be deleted. :raises ValueError: it is none."""
        return Call("7.6", PATH, {"do": "customer-domain-del", "domain": parse_domain(domain)}, read_result)


def for_customer(customer_id: int | None) -> dict[str, str]:
    """The parameters with which a manager makes a call for a customer; none where an account makes its own."""
    return {} if customer_id is None else parameters(customer_id=customer_id, user_type="manager")


def _domains(answer: Answer) -> Sequence[Domain]:
    return [Domain(count(row, "customer_id"), text(row, "domain")) for row in answer.rows("data", "domain_list")]


def _added(answer: Answer) -> AddedDomain:
    result = read_result(answer)
    return AddedDomain(result.id, result.status == Status.SUCCESS_AND_CHECK_OK)


def _states(answer: Answer) -> Sequence[DomainState]:
    return [
        DomainState(
            number(row, "customer_id"),
            count(row, "domain_id"),
            text(row, "val", "domain"),
            one_of(DomainStatus, row, "status"),
            text(row, "info"),
        )
        for row in answer.rows("domain", "domain_list")
    ]
