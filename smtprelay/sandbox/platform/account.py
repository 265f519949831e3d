"""Chapter 1: who the customer is, and what was bought."""

from __future__ import annotations

from smtprelay.sandbox.platform.forms import Node, record
from smtprelay.sandbox.platform.request import Request
from smtprelay.sandbox.platform.state import State


def customer(state: State, request: Request) -> Node:
    """1.1"""
    one = state.customer
    return record(
        "customer",
        id=one.id,
        username=one.username,
        company=one.company,
        contact=one.contact,
        phone=one.phone,
        mobile=one.mobile,
        email=one.email,
        im=one.im,
        address=one.address,
    )


def service(state: State, request: Request) -> Node:
    """1.2"""
    one = state.service
    return record(
        "service",
        id=state.customer.id,
        service_status=one.status,
        service_type=one.type,
        send_type=one.send_type,
        beginning_date=one.beginning,
        expiration_date=one.expiration,
        qty_available=one.available,
        qty_buytotal=one.bought,
    )
