"""What the platform answers, in whatever state: it is read, or refused in words that say why."""

from __future__ import annotations

import json
import time
import tracemalloc
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from unittest.mock import patch
from xml.etree.ElementTree import Element, SubElement, tostring

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smtprelay.platform import almost_xml, elements, long_json
from smtprelay.platform import answer as answers
from smtprelay.platform.answer import Answer
from smtprelay.platform.errors import CallFailed, UnreadableAnswer
from smtprelay.platform.statuses import Status

PIECES = st.sampled_from(
    [
        *("<a>", "</a>", "<b>", "</b>", "<a/>", "<", ">", "/", "&", "&amp;", "&#0;", "&#xD800;", "&nbsp;", "]]>", '"'),
        *(
            "<![CDATA[",
            "![CDATA[",
            "]]",
            "<!--",
            "-->",
            "<?xml version='1.0' encoding='GBK'?>",
            "<!DOCTYPE a>",
            "<html>",
        ),
        *("<result>", "<status>", "</status>", "</result>", "success", "\x00", "\ufeff", "\n", "{", "[", "é", "中文"),
        f"&#{'9' * 5000};",
    ]
)
DAMAGED = st.one_of(
    st.binary(),
    st.lists(PIECES, max_size=30).map(lambda pieces: "".join(pieces).encode()),
    st.lists(PIECES, max_size=30).map(lambda pieces: "".join(pieces).encode("gb18030")),
)
NAMES = st.sampled_from(["id", "email", "task", "list", "var10"])
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=20)


def xml(body: str | bytes) -> Element:
    return Answer(body.encode() if isinstance(body, str) else body).xml()


def fields(body: str | bytes) -> dict[str, str | None]:
    return {element.tag: element.text for element in xml(body)}


@st.composite
def documents(draw: st.DrawFn) -> Element:
    root = Element("data")
    for _ in range(draw(st.integers(1, 3))):
        row = SubElement(root, "row")
        for name in draw(st.lists(NAMES, unique=True, min_size=1)):
            SubElement(row, name).text = draw(TEXTS)
    return root


@given(DAMAGED)
def test_any_octets_are_read_or_refused(body: bytes) -> None:
    answer = Answer(body)
    for read in (answer.xml, answer.json, answer.lines):
        said = ""
        try:
            read()
        except (UnreadableAnswer, CallFailed) as error:
            said = str(error)
        assert len(said) < 500
        assert "\n" not in said


@given(documents(), st.data())
def test_what_breaks_off_is_refused_wherever_it_does(document: Element, data: st.DataObject) -> None:
    """Of a list of addresses nobody would see that its second half is missing."""
    whole = tostring(document, "utf-8")
    cut = data.draw(st.integers(1, len(whole) - 1))
    with pytest.raises(UnreadableAnswer):
        xml(whole[:cut])


@given(documents())
def test_ampersands_that_are_none_change_nothing_else(document: Element) -> None:
    for element in document.iter():
        element.text = (element.text or "").replace("<", "(").replace(">", ")").replace("&", "+")
    whole = tostring(document, "unicode")
    damaged = xml(whole.replace("<row>", "<name>A & B&C</name><row>"))
    assert {name.text for name in damaged.findall("name")} == {"A & B&C"}
    for name in damaged.findall("name"):
        damaged.remove(name)
    assert tostring(damaged, "unicode") == whole


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb2312", "gb18030"])
@pytest.mark.parametrize("declared", ["UTF-8", "GBK", "ISO-8859-1", "no-such-charset", "punycode"])
def test_chinese_is_read_whatever_is_declared(encoding: str, declared: str) -> None:
    body = f'<?xml version="1.0" encoding="{declared}"?><customer><company>例子公司</company></customer>'
    assert fields(body.encode(encoding)) == {"company": "例子公司"}
    assert Answer("2018-08-22\t张三@example.com".encode(encoding)).lines() == ["2018-08-22\t张三@example.com"]
    assert Answer(json.dumps({"a": "中"}, ensure_ascii=False).encode(encoding)).json() == {"a": "中"}


@pytest.mark.parametrize("company", ["例子公司在深圳市福田区", "例子公司", "例子公"])
@pytest.mark.parametrize("encoding", ["utf-8", "gb18030"])
def test_a_character_that_was_cut_spoils_no_other(encoding: str, company: str) -> None:
    """PHP cuts names by octets. An even number of them is GBK too."""
    cut = "科技园".encode(encoding)[:-1]
    body = f"<customer><company>{company}</company><contact>".encode(encoding) + cut + b"</contact></customer>"
    read = fields(body)
    assert read["company"] == company
    assert (read["contact"] or "").startswith("科技")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            "<a><url>http://x/?a=1&lt=2&copy=3&param=4&notit;5&amp;section=6</url></a>",
            {"url": "http://x/?a=1&lt=2&copy=3&param=4&notit;5&section=6"},
        ),
        ("<a><name>&#20363;&#x5B50; & &copy;&#xD800;&#1a;</name></a>", {"name": "例子 & \xa9\ufffd&#1a;"}),
        (f"<a><name>&#{'1' * 5000};</name></a>", {"name": f"&#{'1' * 5000};"}),
        ("<a><name>A & B &lt;C&gt;</name></a>", {"name": "A & B <C>"}),
        ("<a><name><![CDATA[A & <B>]]></name></a>", {"name": "A & <B>"}),
        ("<a><name><![CDATA[A & <B>]]></name><x>&</x></a>", {"name": "A & <B>", "x": "&"}),
        ("<a><name>&nbsp;B</name></a>", {"name": "\xa0B"}),
        ("<a><name>1 < 2</name></a>", {"name": "1 < 2"}),
        ("<a><name>B\x00\x08</name></a>", {"name": "B"}),
        ("<a><send_id>7</task_sn><b>8</b></a>", {"send_id": "7", "b": "8"}),
        ("<a></info>done</info><b>8</b></a>", {"info": "done", "b": "8"}),
        ("<maillist><id>7</id></aillist>", {"id": "7"}),
        ("<a><total_num>7</total_num ></a>", {"total_num": "7"}),
        ("<a><total_num>7</total_num ><x>&</x></a>", {"total_num": "7", "x": "&"}),
        ("<a><b/><x>&</x></a>", {"b": None, "x": "&"}),
        ("\ufeff \n<a><b>7</b></a>\n\n", {"b": "7"}),
        ("<a><Var1>&</Var1></a>", {"Var1": "&"}),
    ],
)
def test_almost_xml_is_read(body: str, expected: dict[str, str | None]) -> None:
    assert fields(body) == expected


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("", "the answer is empty"),
        (" \n", "the answer is empty"),
        ("error", "XML was expected, and text came: 'error'"),
        ("<", "the answer is no XML"),
        ("<a><b>7</b>", "the answer breaks off within <a>"),
        ("<a><b>7</b", "the answer breaks off within <b>"),
        ("<a><b>7</b></x>8", "the answer breaks off within <a>"),
        ("<a><b><![CDATA[7", "the answer breaks off within CDATA"),
        ("<a><b>7</b></a><a><b>8</b></a>", "the answer goes on after </a>"),
        ("<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "XML with a DTD came, which is not read: it may be a bomb"),
        ("<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>", "XML with a DTD came"),
        (
            "<html><body><h1>502 Bad\n Gateway</h1></body></html>",
            "a page of HTML came in place of an answer: '502 Bad Gateway'",
        ),
        ("<!DOCTYPE html><title>&Uuml;ber</title>", "a page of HTML came in place of an answer: 'Über'"),
        ('<?xml version="1.0"?><!DOCTYPE html><html><head/></html>', "a page of HTML came in place of an answer"),
        (
            "<br />\n<b>Warning</b>:  mysql_connect() in <b>a.php</b>",
            "a page of HTML came in place of an answer: 'Warning : mysql",
        ),
    ],
)
def test_what_cannot_be_read_says_why(body: str, words: str) -> None:
    with pytest.raises(UnreadableAnswer) as caught:
        xml(body)
    assert str(caught.value).startswith(words)


def test_what_it_is_about() -> None:
    with pytest.raises(UnreadableAnswer, match="<customer> was expected, and <service> came: '<service/>'"):
        Answer(b"<service/>").xml("customer")
    with pytest.raises(
        CallFailed, match=r"the platform says not_exist: there is nothing with this id.*\(7\)"
    ) as caught:
        Answer(b"<result><status> not_exist </status><data>\n7 </data></result>").xml("customer")
    assert (caught.value.status, caught.value.data) == (Status.NOT_EXIST, "7")
    with pytest.raises(CallFailed, match=r"the platform says no_such_status$"):
        Answer(b"<result><status>no_such_status</status></result>").json()
    assert Answer(b"<result><status>error</status></result>").xml("result").findtext("status") == "error"


@pytest.mark.parametrize("body", [b"<result><status>success</status></result>", b"<result/>"])
def test_success_in_place_of_what_was_asked_for_is_no_failure_and_no_answer(body: bytes) -> None:
    with pytest.raises(UnreadableAnswer, match="<customer> was expected, and <result> came"):
        Answer(body).xml("customer")
    with pytest.raises(UnreadableAnswer, match="a text file was expected, and XML came"):
        Answer(body).lines()


@pytest.mark.parametrize("body", ["<data>参数错误</data>", "<data><![CDATA[A & B]]></data>", "<data>A & B</data>"])
def test_words_in_place_of_a_list_are_no_empty_list(body: str) -> None:
    """A day on which the platform fails is not one without failures."""
    for read in (lambda answer: list(answer.rows("task", "data")), lambda answer: answer.xml("data")):
        with pytest.raises(UnreadableAnswer, match="text stands in <data> where elements were expected"):
            read(Answer(body.encode()))


def test_lines_end_where_lines_end() -> None:
    """Other characters that Unicode ends a line with may stand in a name."""
    assert Answer("a@example.com\tA\x85B\u2028C\r\n\r\nb@example.com\rc@example.com".encode()).lines() == [
        "a@example.com\tA\x85B\u2028C",
        "b@example.com",
        "c@example.com",
    ]


@pytest.mark.parametrize(
    "piece",
    [
        "<a>",
        "</a>",
        "<",
        "<!",
        "<![CDATA[",
        "]]>",
        "&",
        "&#1",
        "<!--",
        "<a",
        "<a ",
        "[",
        "{",
        "![CDATA[",
        "<html>",
        "<a></b>",
    ],
)
def test_much_of_anything_takes_no_longer_than_its_length(piece: str) -> None:
    """What grows with its square takes minutes for these."""
    body = ("<a>" + piece * (2**18 // len(piece))).encode()
    began = time.process_time()
    for whole in (body, body[3:], body + b"</a>"):
        for read in (Answer(whole).xml, Answer(whole).json, Answer(whole).lines):
            with suppress(UnreadableAnswer, CallFailed):
                read()
    assert time.process_time() - began < 20


def test_text_in_many_parts_takes_no_longer_than_its_length() -> None:
    """Each part was copied with each one after it: four megabytes took eight seconds, and 256 would take half a day."""
    body = f"<a></b>{'a<!>' * 2**20}</b></a>&"
    began = time.process_time()
    assert fields(body) == {"b": "a" * 2**20}
    assert time.process_time() - began < 4


@pytest.mark.parametrize(
    "body",
    [
        "<list>" + "<recipient><email>a@example.com</email></recipient>\n" * 20_000 + "<recipient>",
        "<list>A&B" + "<recipient><email>a@example.com</email></recipient>\n" * 20_000 + "<recipient>",
    ],
)
def test_a_list_is_read_row_by_row(body: str) -> None:
    """The whole list as elements took twelve times its length, and asyncio waited a second for the collection of 20 MB
    of them."""
    rows = Answer(body.encode()).rows("recipient", "list")
    next(rows)
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableAnswer, match="the answer breaks off within <recipient>"):
            deque(rows, maxlen=0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * len(body)


def test_a_list_in_json_is_read_item_by_item() -> None:
    items = Answer(b'[ {"email": "a"},\n"b" , ["c"], null, 7 ] \n').items()
    assert list(items) == [{"email": "a"}, "b", ["c"], None, 7]
    assert list(Answer(b" [ ]\n").items()) == []
    for damaged in ('["a",', '["a"', '["a" "b"]', '["a",]', '["a"] 7', '["a", [', '["a", ' + "[" * 10_000):
        items = Answer(damaged.encode()).items()
        assert next(items) == "a"
        with pytest.raises(UnreadableAnswer, match="JSON was expected"):
            deque(items, maxlen=0)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("<a>" * 40 + "</a>" * 40, "the answer has too many elements within elements"),
        ("<a><b>" + "<c/>" * 100_001 + "</b></a>", "the answer has too many elements within elements"),
        ("<a>" + "<b/>" * 100_001 + "</a>", "the answer has too many elements"),
    ],
)
def test_what_would_take_gigabytes_is_refused(body: str, words: str) -> None:
    """20 MB of `<a>` took 2 GB: well-formed XML had no limit but its length."""
    for whole in (body, body.replace("<a>", "<a>&", 1)):
        with pytest.raises(UnreadableAnswer) as caught:
            xml(whole)
        assert str(caught.value).startswith(words)


@pytest.mark.parametrize("long", ["<", "<a", "&", " ", "a "])
def test_no_text_is_endless(long: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To look for a tag in 32 MB of `<` kept the interpreter for 8 seconds, and all mail with it."""
    for module in (elements, almost_xml):
        monkeypatch.setattr(module, "MAX_TEXT", 10_000)
    text = long * (10_000 // len(long) + 1)
    for body in (f"<a><b>{text}</b></a>", f"<a>&<b><![CDATA[{text}]]></b></a>", f"<a>&<b>{text}</b></a>"):
        with pytest.raises(UnreadableAnswer, match="the answer has too long a text in one of its elements"):
            xml(body)


def test_json_is_read_a_piece_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """An object of 32 MB kept the interpreter for 6 seconds, and a list in a list for 4."""
    for module in (answers, long_json):
        monkeypatch.setattr(module, "MAX_VALUE", 10_000)
    rows = [{"email": f"a{i}@example.com", "n": [i]} for i in range(1000)]
    as_list, as_object = json.dumps(rows), json.dumps({str(i): row for i, row in enumerate(rows)}, indent=1)
    assert len(as_list) > 30_000
    with patch.object(json, "loads", side_effect=AssertionError):
        assert list(Answer(as_list.encode()).items()) == rows
        assert list(Answer(as_object.encode()).items()) == rows
    for damaged in (as_list[:-1], as_object[:-1], as_list[:-1] + "}", as_object + ",", f"[[{'0,' * 10_000}0]]"):
        with pytest.raises(UnreadableAnswer, match="JSON was expected"):
            deque(Answer(damaged.encode()).items(), maxlen=0)
    with pytest.raises(UnreadableAnswer, match="JSON was expected"):
        Answer(as_object.encode()).json()


@given(st.lists(st.integers() | st.text() | st.none()), st.integers(1, 40))
def test_json_is_read_wherever_a_piece_ends(rows: list[object], size: int) -> None:
    longest = max((len(json.dumps(row)) for row in rows), default=0)
    with patch.object(long_json, "MAX_VALUE", longest + 2 + size):
        assert list(Answer(json.dumps(rows).encode()).items()) == rows
        assert list(Answer(json.dumps({"a" * i: row for i, row in enumerate(rows[:9])}).encode()).items()) == rows[:9]


@pytest.mark.parametrize(
    "read",
    [
        lambda: Answer(b"a@b\n" * 3).lines(),
        lambda: list(Answer(b"[1, 2, 3]").items()),
        lambda: list(Answer(b"<a><b/><b/><b/></a>").rows("b", "a")),
    ],
)
def test_more_rows_than_memory_is_for_are_refused(read: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """32 MB of lines with two characters took 1.4 GB."""
    assert read()
    monkeypatch.setattr(answers, "MAX_ROWS", 2)
    with pytest.raises(UnreadableAnswer, match="more than 2 rows came"):
        read()


def test_a_line_ends() -> None:
    with pytest.raises(UnreadableAnswer, match="a longer one came"):
        Answer(b"a" * (2 * elements.SLICE)).lines()
    assert Answer(b"\n" * (2 * elements.SLICE) + b"a\n").lines() == ["a"]


def test_a_million_attributes_are_not_read_in_one_go() -> None:
    """They kept the interpreter for seconds."""
    attributes = " ".join(f"c{i}='d'" for i in range(1_000_000))
    with patch.object(elements.Builder, "start", autospec=True, side_effect=elements.Builder.start) as start:
        assert fields(f"<a><b {attributes}>7</b></a>") == {"b": "7"}
    assert not any(given for call in start.mock_calls for given in call.args[2:])


def test_many_rows_are_read() -> None:
    rows = "<recipient><email>a@example.com</email><type>3</type></recipient>" * 20_000
    assert len(xml(f"<list>{rows}</list>")) == 20_000
    assert len(xml(f"<list><note>A & B</note>{rows}</list>")) == 20_001
