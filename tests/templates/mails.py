"""The example templates with all that they can show, rendered as the relay renders them."""

from __future__ import annotations

import base64
import email
import email.policy
import re
from collections.abc import Mapping
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from smtprelay.templating.examples import examples
from smtprelay.templating.job import Job, Part
from smtprelay.templating.library import Templates

NOW = 1795500000_000  # 2026-11-24
LONG = "Donaudampfschifffahrtsgesellschaftskapitänswitwenrentenauszahlungsstelle"  # nothing to break it at
URL = "https://www.example.com/"

# What people see, by template and language; the third one is there to burst the frame.
MAILS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("receipt", "en"): {"fullname": "Alice Brown", "code": "482 913", "url": URL},
    ("receipt", "zh-CN"): {
        "fullname": "王小明",
        "order": "A-20461",
        "code": "482 913",
        "total": "¥348.00",
        "url": URL,
        "items": [
            {"name": "铁观音（秋茶）250 克", "quantity": 2, "price": "¥236.00"},
            {"name": "青花瓷盖碗", "quantity": 1, "price": "¥112.00"},
        ],
    },
    ("receipt", "de"): {
        "fullname": LONG,
        "order": LONG,
        "code": LONG,
        "url": URL,
        "items": [{"name": LONG, "quantity": 1_000_000, "price": "€1,000,000.00"}],
    },
    ("newsletter", "en"): {"fullname": "Alice Brown", "var1": "AUTUMN-10"},
    ("newsletter", "zh-CN"): {
        "fullname": "王小明",
        "var1": "QIU-2026",
        "headline": "秋茶上市：安溪三款新茶",
        "intro": "三款来自安溪高山的新茶，以及一位读者为初冬夜晚准备的煮茶方子。",
        "articles": [
            {"title": "铁观音的春与秋", "text": "同一片茶叶，为何春天有兰花香，秋天却带板栗香。", "url": URL},
            {"title": "冷泡茶的泡法", "text": "冰箱里静置八小时，不苦不涩，几乎不费工夫。", "url": URL},
        ],
    },
    ("newsletter", "de"): {
        "fullname": LONG,
        "var1": LONG,
        "headline": LONG,
        "intro": LONG,
        "articles": [{"title": LONG, "text": LONG, "url": URL}],
    },
    ("notice", "en"): {
        "title": "Backup finished",
        "text": "The nightly backup of db1 has ended.\n\nStarted: 02:00\nEnded: 02:41\nSize: 18.4 GB\n\nNothing to do.",
        "url": URL,
    },
    ("notice", "zh-CN"): {
        "title": "备份已完成",
        "text": "数据库 db1 的夜间备份已经结束。\n\n开始：02:00\n结束：02:41\n大小：18.4 GB\n\n无需任何操作。",
        "url": URL,
    },
    ("notice", "de"): {"title": LONG, "text": LONG, "url": URL},
}
SHOWN = [key for key in MAILS if key[1] != "de"]


def rendered(
    template: str,
    language: str,
    variables: Mapping[str, Any],
    content: bytes = b"",
    *,
    directory: Path | None = None,
) -> EmailMessage:
    """A mail of one of the examples.

    :param variables: those that are not given are as meta.toml's example.
    :param content: the app's own message.
    :param directory: of other templates.
    """
    return rendered_in_turn(Templates(directory or examples()), template, language, variables, content, times=1)[0]


def rendered_in_turn(
    templates: Templates,
    template: str,
    language: str,
    variables: Mapping[str, Any],
    content: bytes = b"",
    *,
    times: int,
) -> list[EmailMessage]:
    """The same to several people."""
    declared = {name: variable.sample for name, variable in templates.meta(template)[0].variables.items()}
    part = Part(b"From: shop@example.com\r\n", "li@example.org", {**declared, "language": language, **variables})
    return [
        email.message_from_bytes(octets, policy=email.policy.default)
        for octets in templates.render(Job(template, (part,) * times, content, NOW))
    ]


def body(message: EmailMessage, subtype: str) -> str:
    """A body of it, as text."""
    part = message.get_body((subtype,))
    assert part
    content: str = part.get_content()
    return content.replace("\r\n", "\n")


def page(message: EmailMessage) -> str:
    """Its HTML as a mail program shows it: with the pictures that came along."""
    pictures = {
        part["Content-ID"].strip("<>"): f"data:{part.get_content_type()};base64,"
        + base64.b64encode(part.get_content()).decode()
        for part in message.walk()
        if part.get_content_maintype() == "image"
    }
    return re.sub(r"cid:([\w.@-]+)", lambda match: pictures[match[1]], body(message, "html"))
