"""Chapter 1: who we are, and what we may still send."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from smtprelay.platform.answer import Answer
from smtprelay.platform.call import Call, M, Resource, call
from smtprelay.platform.read import day, number, one_of, text
from smtprelay.platform.values import Value


class ServiceStatus(Value):
    """Whether the account may send."""

    ENABLED = "enabled", "may send", "允许使用群发服务"
    DISABLED = "disabled", "may not send", "禁止使用群发服务"


class ServiceType(Value):
    """What the quota counts."""

    ALL = "all", "by the total bought", "按群发总量进行发送"
    DAY = "day", "by the day", "按每日发送量进行发送"


class SendType(Value):
    """Whose servers send."""

    REMOTE = "remote", "the customer's own servers", "客户使用自己的服务器与平台对接发送"
    LOCAL = "local", "the platform's servers", "使用平台服务器来进行发送"


@dataclass(frozen=True, slots=True)
class Customer:
    """The account's owner."""

    id: int | None
    username: str
    company: str
    contact: str
    phone: str
    mobile: str
    email: str
    im: str
    address: str


@dataclass(frozen=True, slots=True)
class Service:
    """The account's service.

    :param begins: first day, in Asia/Shanghai.
    :param ends: last day, in Asia/Shanghai.
    :param available: recipients that can still be sent to; None where it does not tell.
    :param bought: recipients that were ever bought.
    """

    id: int | None
    status: ServiceStatus
    type: ServiceType
    send_type: SendType
    begins: date | None
    ends: date | None
    available: int | None
    bought: int | None


class Account(Resource[M]):
    """The account that is logged in."""

    @call
    def customer(self) -> Call[Customer]:
        """1.1: who owns the account."""
        return Call("1.1", "account.php", {"do": "customer-info"}, _customer, repeatable=True)

    @call
    def service(self) -> Call[Service]:
        """1.2: whether it may send, how much and until when."""
        return Call("1.2", "account.php", {"do": "service-info"}, _service, repeatable=True)


def _customer(answer: Answer) -> Customer:
    root = answer.xml("customer")
    words = ("username", "company", "contact", "phone", "mobile", "email", "im", "address")
    return Customer(number(root, "id"), *(text(root, name) for name in words))


def _service(answer: Answer) -> Service:
    root = answer.xml("service")
    return Service(
        number(root, "id"),
        one_of(ServiceStatus, root, "service_status"),
        one_of(ServiceType, root, "service_type"),
        one_of(SendType, root, "send_type"),
        day(root, "beginning_date"),
        day(root, "expiration_date"),
        number(root, "qty_available"),
        number(root, "qty_buytotal"),
    )
