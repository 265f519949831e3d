"""The answers of chapter 1."""

from __future__ import annotations

from datetime import date

from smtprelay.platform.account import Account, Customer, SendType, Service, ServiceStatus, ServiceType
from tests.platform_api.sample import Refused, Sample

SAMPLES = [
    Sample(
        "1.1.customer",
        Account.customer.describe(None),
        verbatim=Refused("<id> should be a number: '用户 ID'"),
        fields={
            "id": "7",
            "username": "example",
            "company": "例子公司",
            "contact": "王小明",
            "phone": "0755-12345678",
            "mobile": "13528775736",
            "email": "owner@example.com",
            "im": "12345",
            "address": "深圳市福田区",
        },
        value=Customer(
            id=7,
            username="example",
            company="例子公司",
            contact="王小明",
            phone="0755-12345678",
            mobile="13528775736",
            email="owner@example.com",
            im="12345",
            address="深圳市福田区",
        ),
    ),
    Sample(
        "1.2.service",
        Account.service.describe(None),
        verbatim=Refused("<id> should be a number: '用户 ID'"),
        repaired=Refused("<id> should be a number: '用户 ID'"),
        fields={
            "id": "7",
            "service_status": "enabled",
            "service_type": "all",
            "send_type": "local",
            "beginning_date": "2018-01-01",
            "expiration_date": "2018-12-31",
            "qty_available": "12345",
            "qty_buytotal": "100000",
        },
        value=Service(
            id=7,
            status=ServiceStatus.ENABLED,
            type=ServiceType.ALL,
            send_type=SendType.LOCAL,
            begins=date(2018, 1, 1),
            ends=date(2018, 12, 31),
            available=12345,
            bought=100000,
        ),
    ),
]
