"""The words of a delivery status notification, for the person who sent the message: in English and in Chinese."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Words:
    """The sentences of one language; ``{}`` is filled in.

    :param happened: by the action of the notification.
    :param remedies: what to do, by *subject.detail* of the enhanced status code (RFC 3463 §3), or by subject alone;
        ``""`` is for all others.
    """

    relay: str
    subject: str
    accepted: str
    number: str
    happened: Mapping[str, str]
    answered: str
    answered_nameless: str
    reason: str
    advice: str
    until: str
    attached: str
    remedies: Mapping[str, str]

    def remedy(self, status: str) -> str:
        """What to do about an enhanced status code."""
        detail = status.partition(".")[2]
        subject = detail.partition(".")[0]
        return self.remedies.get(detail) or self.remedies.get(subject) or self.remedies[""]


ENGLISH = Words(
    relay="This is the mail relay {}. It reports on a message of yours:",
    subject="Subject: {}",
    accepted="Accepted: {}",
    number="Number: {}",
    happened={
        "failed": "It could not be delivered to the following address, and will not be tried again:",
        "delayed": "It could not be delivered yet to the following address; it is still being tried:",
        "relayed": "It was passed on to a mail system that confirms no deliveries, for the following address:",
    },
    answered="The mail server {} answered:",
    answered_nameless="The mail server answered:",
    reason="Reason: {}",
    advice="What to do: {}",
    until="You need not send it again: it is tried until {}, and you are told if that does not succeed.",
    attached="Attached are a report for programs, and the message or its header.",
    remedies={
        "1": "Check the address for typing errors. If it is right, ask the recipient by other means whether it still "
        "exists, and take it off your lists if it does not.",
        "1.2": "Check the part of the address after the @: no mail system of that name exists.",
        "1.7": "Check the sender's address that your program uses: it is not a valid one.",
        "1.8": "Check the sender's address that your program uses: its domain does not exist.",
        "1.10": "Use another address: the domain after the @ takes no mail at all.",
        "2": "The mailbox takes no mail at present. Ask the recipient by other means what happened.",
        "2.2": "The recipient's mailbox is full. Tell the recipient by other means, and send again when there is room.",
        "2.3": "Make the message smaller: send a link in place of large attachments.",
        "3.4": "Make the message smaller: send a link in place of large attachments.",
        "4": "Check the part of the address after the @. If it is right, send again later; the mail system of the "
        "recipient could not be reached.",
        "4.7": "It was tried again and again until its time ran out. Please send again later; if that fails too, "
        "tell your mail administrator.",
        "6": "The mail system of the recipient cannot handle the format of the message. Send it as plain text.",
        "6.7": "Ask the recipient for an address in plain Latin letters: a mail system on the way cannot handle "
        "this one.",
        "7": "The message was refused by a rule, often because it was taken for unwanted mail. Do not send it again "
        "unchanged: show this notification to your mail administrator.",
        "": "Show this notification to your mail administrator.",
    },
)

CHINESE = Words(
    relay="这里是邮件中继 {}。以下是关于您所发邮件的通知：",
    subject="主题：{}",
    accepted="接收时间：{}",
    number="编号：{}",
    happened={
        "failed": "邮件无法送达以下地址，系统不会再次尝试：",
        "delayed": "邮件暂时未能送达以下地址，系统仍在继续尝试：",
        "relayed": "以下地址的邮件已转交给不提供送达确认的邮件系统：",
    },
    answered="邮件服务器 {} 的答复：",
    answered_nameless="邮件服务器的答复：",
    reason="原因：{}",
    advice="处理办法：{}",
    until="您无需重新发送：系统将持续尝试至 {}，若仍未成功会再通知您。",
    attached="附件为供程序读取的投递报告，以及原邮件或其邮件头。",
    remedies={
        "1": "请检查地址是否有拼写错误。若地址无误，请通过其他方式向收件人确认该地址是否仍在使用"
        "；若已停用，请将其从名单中删除。",
        "1.2": "请检查地址中 @ 之后的部分：不存在该名称的邮件系统。",
        "1.7": "请检查您的程序所使用的发件人地址：该地址无效。",
        "1.8": "请检查您的程序所使用的发件人地址：其域名不存在。",
        "1.10": "请改用其他地址：@ 之后的域名不接收任何邮件。",
        "2": "该邮箱目前无法接收邮件，请通过其他方式联系收件人了解情况。",
        "2.2": "收件人的邮箱已满。请通过其他方式告知收件人，待其清理后再发送。",
        "2.3": "邮件过大：请用链接代替大附件。",
        "3.4": "邮件过大：请用链接代替大附件。",
        "4": "请检查地址中 @ 之后的部分。若无误，请稍后重新发送：目前无法连接收件人的邮件系统。",
        "4.7": "系统在规定期限内多次尝试均未成功。请稍后重新发送；若仍然失败，请告知邮件管理员。",
        "6": "收件人的邮件系统无法处理该邮件的格式，请以纯文本重新发送。",
        "6.7": "请向收件人索取只含拉丁字母的邮箱地址：途中有邮件系统无法处理当前地址。",
        "7": "邮件因对方的规则被拒收，通常是被判为垃圾邮件。请勿原样重发，请将本通知交给邮件管理员。",
        "": "请将本通知交给邮件管理员。",
    },
)
