"""What the domain rules and repair say in English is said in Chinese to who reads that: all of it, and nothing else."""

from __future__ import annotations

import ast
import errno
import re
import socket
import string
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from smtprelay.findings_zh import FINDINGS
from smtprelay.network import why_failed
from smtprelay.platform import CallFailed, PlatformError, UnreadableAnswer
from smtprelay.platform.elements import TOO_LONG
from smtprelay.platform.statuses import Status
from smtprelay.platform_zh import SYSTEM
from smtprelay.problems import PLATFORM_SILENT
from smtprelay.repairs_zh import REPAIRS
from smtprelay.resolver.answers import RecordType
from smtprelay.retelling import MAX_DEPTH, Retelling
from smtprelay.words import in_language
from smtprelay.words_zh import RETOLD

PACKAGE = Path(__file__).parent.parent / "smtprelay"
TELLING = [
    *(path for folder in ("domains", "repair", "resolver") for path in PACKAGE.glob(f"{folder}/**/*.py")),
    *(PACKAGE / "verifier.py", PACKAGE / "preparation.py"),
]
PLACES = ("where", "place.where", "place.body")  # may be empty, and go before a repair
REFUSING = ("UnreadableAnswer", "PlatformUnreachable", "NotAuthorised", "NotXML")  # by the platform's HTTP API
VALUES = {
    "data": "text",
    "asked": "TXT of a.test",
    "self": "user at https://a.test/",
}  # what stands in a placeholder, where not everything does
# What is put into a record or a header field, and what cannot stand alone.
OTHERS = {
    *(
        "1. IN TXT",
        "1. IN MX 1.",
        "1 include:1 -all",
        "1; charset=1",
        "from 1 (1)",
        " with 1",
        "for <1>; ",
        "by 11 id 11",
    ),
    *("part 1: ", " and ", " or more", "1 of 1", "1 or more of 1", "1 (1 look-ups)"),
}
retell = Retelling(RETOLD)


def told() -> Iterator[str]:
    """Everything in the code that reads like a sentence, with something in its placeholders."""
    for path in TELLING:
        tree = ast.parse(path.read_bytes())
        left_out = {id(part) for node in ast.walk(tree) for part in _not_told(node)}
        for node in ast.walk(tree):
            text = "" if id(node) in left_out else _text(node)
            if re.search("[a-z]{2,} | [a-z]{2,}", text):
                yield text


def said_of_the_platform() -> Iterator[str]:
    """Why it does not tell what it is asked."""
    for path in (PACKAGE / "platform").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in REFUSING:
                text = _text(node.args[0])
                yield f"the answer {text}" if node.func.id == "NotXML" else text


def _not_told(node: ast.AST) -> Iterator[ast.AST]:
    """Docstrings; refusals, which apps hear; lists of words; what is within an f-string."""
    if isinstance(node, ast.JoinedStr):
        yield from (part for part in ast.walk(node) if part is not node and isinstance(part, ast.Constant))
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        yield node.value
    elif isinstance(node, ast.Call) and (
        (isinstance(node.func, ast.Name) and node.func.id in ("Reject", "_names"))
        or (isinstance(node.func, ast.Attribute) and node.func.attr in ("split", "compile"))
    ):
        yield from ast.walk(node)


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if not isinstance(node, ast.JoinedStr):
        return ""
    parts = (part.value if isinstance(part, ast.Constant) else _value(part) for part in node.values)
    return "".join(map(str, parts))


def _value(part: ast.AST) -> str:
    assert isinstance(part, ast.FormattedValue)
    name = ast.unparse(part.value)
    return "" if name in PLACES else VALUES.get(name, "1")


SAID = sorted((set(told()) | set(said_of_the_platform())) - OTHERS - {"", "the answer ", "the answer 1"})


@pytest.mark.parametrize("text", SAID)
def test_everything_has_its_chinese(text: str) -> None:
    assert re.search("[\u4e00-\u9fff]", retell(text))


def test_nothing_has_chinese_that_is_not_said() -> None:
    others = [PACKAGE / name for name in ("steps.py", "suppression.py", "network.py")]
    code = "\n".join(path.read_text("utf-8") for path in [*TELLING, *others, *PACKAGE.glob("platform/*.py")])
    words = set(re.findall("[a-z]{2,}", re.sub(r"\\?[\"'\\\n]", "", code)))
    for sentence in RETOLD.keys() - SYSTEM.keys():
        assert set(re.findall("[a-z]{2,}", re.sub(r"\{\w+\}|'", "", sentence))) <= words, sentence
    assert not FINDINGS.keys() & REPAIRS.keys()
    assert len(SAID) > 100  # it sees them


@pytest.mark.parametrize("sentence", RETOLD)
def test_the_chinese_has_the_same_placeholders(sentence: str) -> None:
    def placeholders(text: str) -> set[str]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}

    assert placeholders(RETOLD[sentence]) == placeholders(sentence)


@pytest.mark.parametrize(
    ("text", "chinese"),
    [
        ("example.com has no SPF record", "example.com 没有 SPF 记录"),
        (
            (
                "'mx' in the SPF record of a.test leads to a name without SPF record, and receivers give up there: only"
                " the owner of b.test can mend that"
            ),
            "a.test 的 SPF 记录中的 'mx' 指向没有 SPF 记录的名称，收件方在此放弃判定：只有 b.test 的所有者能够修正",
        ),
        (
            (
                "the record at k._domainkey.a.test is no DKIM key: the record to publish is on the platform's page of"
                " the domain"
            ),
            "k._domainkey.a.test 处的记录不是 DKIM 密钥：应发布的记录见平台上该域名的页面",
        ),
        (
            (
                "we sign mail from a.test as b.test, which by DMARC's rules is another organisation: make a key for it"
                " with 'smtprelay dkim keygen a.test', because receivers are asked to reject what fails"
            ),
            (
                "我方以 b.test 签署来自 a.test 的邮件，而按 DMARC 的规则两者属于不同组织："
                "请执行 'smtprelay dkim keygen a.test' 为其生成密钥，因为收件方被要求对未通过的邮件执行 reject"
            ),
        ),
        (
            "v=spf1 include:spf.bestedm.org -all (1 of 10 look-ups)",
            "v=spf1 include:spf.bestedm.org -all（10 次查询中用了 1 次）",
        ),
        ("added Date", "已添加 Date"),
        (
            "part 1.2: To: raw gb18030 text encoded (RFC 2047), ';' between addresses replaced by ','",
            "第 1.2 部分：To：未编码的 gb18030 文本已编码（RFC 2047），地址之间的 ';' 已替换为 ','",
        ),
        ("body: 8-bit text encoded as base64", "正文：8 位文本已编码为 base64"),
    ],
)
def test_texts_within_texts(text: str, chinese: str) -> None:
    assert retell(text) == chinese


@pytest.mark.parametrize(
    ("error", "chinese"),
    [
        (OSError(errno.ECONNREFUSED, ""), "a.test:8080：连接被拒绝"),
        (OSError(errno.ECONNRESET, ""), "a.test:8080：连接被对方重置"),
        (OSError(errno.ETIMEDOUT, ""), "a.test:8080：连接超时"),
        (OSError(errno.ENETUNREACH, ""), "a.test:8080：网络不可达"),
        (OSError(errno.EHOSTUNREACH, ""), "a.test:8080：没有到主机的路由"),
        (socket.gaierror(-2, "Name or service not known"), "a.test:8080：无法解析该名称：名称或服务未知"),
        (OSError("TLS failed: there is no TLS at this port"), "a.test:8080：TLS 协商失败：该端口不支持 TLS"),
        (OSError("TLS failed: BAD_RECORD"), "a.test:8080：TLS 协商失败：BAD_RECORD"),
        (OSError("no answer in time"), "a.test:8080：未按时应答"),
    ],
)
def test_why_the_platform_is_not_reached(error: OSError, chinese: str) -> None:
    assert retell(f"a.test:8080: {why_failed(error)}") == chinese


@pytest.mark.parametrize(
    ("error", "chinese"),
    [
        (CallFailed(Status("error"), "用户错"), "平台答复 error：参数错误（用户错）"),
        (CallFailed(Status("busy")), "平台答复 busy"),
        (UnreadableAnswer(f"the answer {TOO_LONG}"), "答复中某个元素的文本过长"),
        (
            UnreadableAnswer("a page of HTML came in place of an answer", "Down"),
            "收到的不是答复，而是 HTML 页面：'Down'",
        ),
        (
            UnreadableAnswer("a.test answers HTTP 404 (look at base_url, http://a.test/)", "404: gone"),
            "a.test 答复 HTTP 404（请检查 base_url，http://a.test/）：'404: gone'",
        ),
        (
            UnreadableAnswer("XML with a DTD came, which is not read: it may be a bomb", "<!DOCTYPE"),
            "收到带有 DTD 的 XML，未予读取：可能是 XML 炸弹：'<!DOCTYPE'",
        ),
    ],
)
def test_what_the_platform_answers_instead(error: PlatformError, chinese: str) -> None:
    assert retell(str(error)) == chinese


def test_a_problem_with_the_platform_is_told_in_one_language() -> None:
    problem = PLATFORM_SILENT.of(name="main", since="now", problem="a.test: no answer in time")
    assert problem.tell(in_language("zh"))[0].startswith(
        "自 now 起平台的 HTTP 接口未能答复 main 的查询：a.test：未按时应答"
    )


@pytest.mark.parametrize("kind", get_args(RecordType))
def test_what_the_resolver_asked_for_is_told_whatever_it_was(kind: str) -> None:
    asked = f"DNS does not answer: {kind} of a.test: no usable answer from 127.0.0.1:53 within 5 s"
    assert retell(asked) == f"DNS 没有答复：a.test 的 {kind} 记录：127.0.0.1:53 在 5 秒内没有可用的答复"


@pytest.mark.parametrize(
    "text", ["", "X-Ray: on", "one, two", "a: b: c, d" * 500, "{0} has", "is no DKIM key{", "text"]
)
def test_what_is_not_known_stays_as_it_is(text: str) -> None:
    assert retell(text) == text


def test_however_deep_it_is_it_ends() -> None:
    deep = "a: " * (MAX_DEPTH + 1) + "is no DKIM key"
    assert retell(deep) == deep
