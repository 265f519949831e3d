"""Contact files of any content."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from smtprelay.contacts import FIELDS, BadLine, Contact, ContactFile, ContactsError, Duplicate, Format

ENCODINGS = st.sampled_from(["utf-8-sig", "gb18030"])
# GB18030 has all of Unicode but surrogates; a BOM within a file is none.
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufeff"), max_size=20).map(str.strip)
VALUES = st.lists(TEXT, min_size=len(FIELDS), max_size=len(FIELDS))
TABLES = st.lists(VALUES, min_size=1, max_size=5)
ENDS = st.sampled_from(["\n", "\r\n"])


def address(i: int) -> str:
    return f"{i}@example.org"


def read(content: bytes, form: Format | None = None) -> list[Contact | BadLine | Duplicate]:
    return list(ContactFile(io.BytesIO(content), form))


@given(TABLES, ENCODINGS, ENDS)
def test_csv_comes_back(table: list[list[str]], encoding: str, end: str) -> None:
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator=end)
    writer.writerow(["address", *FIELDS, "标记"])
    writer.writerows([address(i), *values, "中文标记"] for i, values in enumerate(table))
    found = read(file.getvalue().encode(encoding))
    assert [(item.address, [item.fields[name] for name in FIELDS]) for item in found if isinstance(item, Contact)] == [
        (address(i), values) for i, values in enumerate(table)
    ]


@given(TABLES, ENCODINGS, ENDS)
def test_the_platforms_lines_come_back(table: list[list[str]], encoding: str, end: str) -> None:
    table = [[value.replace(";", "").strip() for value in values] for values in table]
    marked = [";".join([address(i), *values]) + end for i, values in enumerate(table)]
    names = [f"mark{i}@example.org;中文标记{end}" for i in range(len(table) + 1)]  # they tell the encoding
    found = read("".join(marked + names).encode(encoding))
    assert [item.variables for item in found[: len(table)] if isinstance(item, Contact)] == [
        dict(zip(FIELDS, values, strict=True)) for values in table
    ]
    assert not any(isinstance(item, BadLine) for item in found)


@given(st.lists(st.dictionaries(TEXT.filter(lambda name: "a" not in name.lower()), TEXT, max_size=4), min_size=1))
def test_json_comes_back(objects: list[dict[str, str]]) -> None:
    lines = [json.dumps({"address": address(i), **fields}) for i, fields in enumerate(objects)]
    found = read("\n".join(lines).encode())
    for i, fields in enumerate(objects):
        item = found[i]
        assert isinstance(item, Contact)
        assert item.address == address(i)
        assert {name: item.fields[name] for name in fields if name} == {n: v for n, v in fields.items() if n}


LINES = st.one_of(
    st.sampled_from([b"", b" ", b"a@example.org", b"a@EXAMPLE.org;x", "b@example.org;王芳".encode("gb18030")]),
    st.sampled_from([b"{}", b'{"address": "a@example.org"}', "c@example.org;王".encode(), b"\xff\xfe", b"d@@", b"\r"]),
    st.binary(max_size=30).map(lambda octets: octets.replace(b"\n", b"")),
)


@given(st.lists(LINES), st.sampled_from([Format.PLATFORM, Format.JSONL]), st.sampled_from([b"\n", b"\r\n"]))
def test_no_line_is_lost(lines: list[bytes], form: Format, end: bytes) -> None:
    """Good, bad, duplicate and blank ones are all there are."""
    file = io.BytesIO(end.join(lines))
    try:
        contacts = ContactFile(file, form)
    except ContactsError:
        return
    found = [item.line for item in contacts]
    blank = [i for i in range(1, contacts.lines + 1) if i not in found]
    assert found == sorted(set(found))
    assert contacts.lines >= len(file.getvalue().splitlines()) - file.getvalue().count(b"\r")
    for i in blank:
        text = lines[i - 1].removeprefix(b"\xef\xbb\xbf" if i == 1 else b"").decode(contacts.encoding)
        assert not text.strip()


@given(st.lists(st.just(b" ,") | LINES.filter(lambda line: b'"' not in line and b"\r" not in line)))
def test_no_line_of_csv_is_lost(lines: list[bytes]) -> None:
    contacts = ContactFile(io.BytesIO(b"\n".join([b"address,note", *lines])))
    found = [item.line for item in contacts]
    assert found == sorted(set(found))
    for i in set(range(2, contacts.lines + 1)) - set(found):
        assert not lines[i - 2].decode(contacts.encoding).replace(",", "").strip()


@given(st.lists(st.sampled_from(["a@example.org", "a@Example.ORG", "A@example.org", "b@example.org", "nobody"])))
def test_each_address_once(addresses: list[str]) -> None:
    if not addresses:
        return
    found = read("\n".join(addresses).encode(), Format.PLATFORM)
    people = [f"{local}@{domain.lower()}" for local, at, domain in (a.partition("@") for a in addresses) if at]
    assert [item.address for item in found if isinstance(item, Contact)] == list(dict.fromkeys(people))
    repeated = Counter(people) - Counter(set(people))
    assert Counter(item.address for item in found if isinstance(item, Duplicate)) == repeated
    assert sum(isinstance(item, BadLine) for item in found) == addresses.count("nobody")


@given(st.binary())
def test_any_octets(content: bytes) -> None:
    """They are contacts, or a ContactsError, and never another one."""
    try:
        items = read(content)
    except ContactsError:
        return
    assert all(isinstance(item, Contact | BadLine | Duplicate) for item in items)
