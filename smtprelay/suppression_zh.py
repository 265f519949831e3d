"""The Chinese of why an address is not to be sent to; `smtprelay.retelling` says how it is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from smtprelay.failure_types import FAILURE_TYPES

CAUSES: Final[Mapping[str, str]] = {
    **dict(FAILURE_TYPES.values()),
    "unsubscribed": "已退订",
    "entered by hand": "人工录入",
    "failed (type {cause})": "投递失败（类型 {cause}）",
}
WHY: Final[Mapping[str, str]] = {
    **CAUSES,
    "{clause}, told by {source} on {day}": "{clause}，{source}于 {day} 告知",
    "{clause}, told by {source} on {day}: {note}": "{clause}，{source}于 {day} 告知：{note}",
    "{clause}, told by {source} on {day}, until {until}": "{clause}，{source}于 {day} 告知，有效期至 {until}",
    "{clause}, told by {source} on {day}, until {until}: {note}": (
        "{clause}，{source}于 {day} 告知，有效期至 {until}：{note}"
    ),
    "platform {account}": "平台账户 {account} ",
    "bounce of {id}": "邮件 {id} 的退信",
    "operator {name}": "操作员 {name} ",
    "import": "导入",
}
