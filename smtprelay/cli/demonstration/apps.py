"""The apps that send in the demo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

DOMAIN = "example.com"
SENDER = f"billing@{DOMAIN}"
PASSWORD = "sandbox-password"


@dataclass(frozen=True, slots=True)
class App:
    """An app that sends one mail.

    :param subject: what it must end with when it arrives, decoded: the newsletter has two that take turns.
    """

    name: str
    send: Callable[[], None]
    recipient: str
    subject: str


def apps(port: int) -> list[App]:
    """All of them; they send to this port of loopback."""
    from smtprelay.sandbox.apps import Endpoint, PhpSample, attachment_mail, plain_mail, python_sample, receipt_mail

    endpoint = Endpoint("127.0.0.1", port, SENDER, PASSWORD)
    subject, body = "测试 umail 邮件系统", "<h1>这是 smtp 测试邮件</h1>\r\n.a line that begins with a dot\r\n"
    return [
        App(
            "the platform's PHP sample, one reply behind",
            lambda: PhpSample(endpoint, behind=True).sendmail("php1@example.org", SENDER, subject, body),
            "php1@example.org",
            subject,
        ),
        App(
            "the same, reading in step",
            lambda: PhpSample(endpoint, behind=False).sendmail("php2@example.org", SENDER, subject, body),
            "php2@example.org",
            subject,
        ),
        App(
            "the platform's Python sample: gb2312, To joined with ;",
            lambda: python_sample(endpoint, ["py1@example.org", "py2@example.org"], "hello", "测试内容"),
            "py1@example.org",
            "hello",
        ),
        App(
            "a cron job: no Date, no Message-ID, no log-in",
            lambda: plain_mail(Endpoint("127.0.0.1", port), "admin@example.org", f"cron@{DOMAIN}"),
            "admin@example.org",
            "backup finished",
        ),
        App(
            "a report with an attachment of 5 MB",
            lambda: attachment_mail(endpoint, "boss@example.org", SENDER, 5_000_000),
            "boss@example.org",
            "月度报表 (monthly report)",
        ),
        App(
            "a shop that can only set header fields: X-SMTPRelay-Template: receipt",
            lambda: receipt_mail(endpoint, "wang@example.org", SENDER, "王小明"),
            "wang@example.org",
            "您的订单 A-20461 收据",
        ),
        App(
            'Python: relay.send(template="newsletter", …)',
            lambda: _newsletter(port, "chen@example.org", "陈静"),
            "chen@example.org",
            "秋茶上市",
        ),
    ]


def _newsletter(port: int, to: str, fullname: str) -> None:
    from smtprelay import Relay

    url = f"https://www.{DOMAIN}/"
    variables = {
        "language": "zh-CN",
        "fullname": fullname,
        "headline": "秋茶上市",
        "intro": "三款来自安溪高山的新茶。",
        "articles": [{"title": "冷泡茶的泡法", "text": "冰箱里静置八小时，不苦不涩。", "url": f"{url}cold-brew"}],
        "unsubscribe_url": f"{url}unsubscribe/7f3k9q",
    }
    with Relay(f"smtp://127.0.0.1:{port}", from_=SENDER) as relay:
        relay.send(to=to, template="newsletter", vars=variables, tag="newsletter")
