"""The platform's failure types by their numbers (2.3 of its document), and what each says of an address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from smtprelay.words import Sentence

FAILURE_TYPES: Final[Mapping[str, tuple[Sentence, str]]] = {  # in English and in Chinese
    "1": (Sentence("no such mailbox"), "邮箱不存在"),
    "2": (Sentence("the mailbox is full"), "邮箱已满"),
    "3": (Sentence("the recipient wants no such mail"), "用户拒收"),
    "5": (Sentence("judged as spam"), "被判为垃圾邮件"),
    "8": (Sentence("the address is invalid"), "无效地址"),
    "9": (Sentence("the address has a bad format"), "地址格式错误"),
}
