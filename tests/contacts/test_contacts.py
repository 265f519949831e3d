"""Contact files as people have them."""

from __future__ import annotations

import doctest
import io
import tracemalloc

import pytest

import smtprelay.contacts.file
import smtprelay.contacts.values
from smtprelay.contacts import FIELDS, BadLine, Contact, ContactFile, ContactsError, Duplicate, Format
from smtprelay.contacts.lines import MAX_LINE

PLATFORM_LINE = "wang@example.org;王芳;F;1990-02-03;13800138000;北京;一;二;三;4;5;6;7;8;9;十"


def read(content: str | bytes, form: Format | None = None) -> list[Contact | BadLine | Duplicate]:
    return list(ContactFile(io.BytesIO(content.encode() if isinstance(content, str) else content), form))


def contacts(content: str | bytes) -> list[Contact]:
    found = [item for item in read(content) if isinstance(item, Contact)]
    assert found == read(content)
    return found


def bad(content: str | bytes) -> dict[int, str]:
    return {item.line: item.reason for item in read(content) if isinstance(item, BadLine)}


@pytest.mark.parametrize("module", [smtprelay.contacts.file, smtprelay.contacts.values])
def test_examples(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_the_platforms_line(encoding: str, end: str) -> None:
    (contact,) = contacts((PLATFORM_LINE + end).encode(encoding))
    assert contact.address == "wang@example.org"
    values = ("王芳", "F", "1990-02-03", "13800138000", "北京", "一", "二", "三", "4", "5", "6", "7", "8", "9", "十")
    assert contact.variables == dict(zip(FIELDS, values, strict=True))


def test_all_fields_are_defined() -> None:
    (contact,) = contacts("a@example.org")
    assert contact.variables == dict.fromkeys(FIELDS, "")


def test_a_field_that_a_contact_does_not_have_leaves_that_of_all_alone() -> None:
    (contact,) = contacts("a@example.org;王芳;;;;;;two")
    variables = contact.variables_over({"fullname": "you", "var1": "AUTUMN", "var2": "x"})
    assert (variables["fullname"], variables["var1"], variables["var2"], variables["sex"]) == (
        "王芳",
        "AUTUMN",
        "two",
        "",
    )


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_finds_its_delimiter_and_its_columns(delimiter: str) -> None:
    header = delimiter.join(["Name", "E-Mail", "city, or village;", "FULLNAME"])
    header = header.replace("city, or village;", '"city, or village;"')
    (contact,) = contacts(f"{header}\r\n" + delimiter.join(["Ada", " ada@example.org ", '"1 ""x"""', "A. L."]))
    assert contact.address == "ada@example.org"
    assert contact.line == 2
    assert contact.fields["city, or village;"] == '1 "x"'
    assert contact.fields["Name"] == "Ada"
    assert contact.variables["fullname"] == "A. L."  # a column that is called so, before one that means it
    assert contact.variables["var10"] == ""


def test_without_a_look_for_duplicates_each_line_counts() -> None:
    records = ContactFile(io.BytesIO(b"EmailAddress\na@example.org\nnobody\na@example.org\n")).records()
    assert [(type(record), record.line) for record in records] == [(Contact, 2), (BadLine, 3), (Contact, 4)]


def test_csv_of_chinese_columns() -> None:
    (contact,) = contacts("姓名,邮箱,手机,城市\n王芳,wang@example.org,138,北京\n".encode("gb18030"))
    assert (contact.address, contact.fields["城市"]) == ("wang@example.org", "北京")
    assert (contact.variables["fullname"], contact.variables["phone"]) == ("王芳", "138")


def test_csv_record_of_several_lines() -> None:
    first, second = contacts('address,note\na@example.org,"one\n\nthree"\nb@example.org,\n')
    assert first.fields["note"] == "one\n\nthree"
    assert (first.line, second.line) == (2, 5)


def test_csv_quote_that_is_never_closed_costs_its_own_line() -> None:
    rest = [f"{i}@example.org,x" for i in range(200)]
    found = read("\n".join(["address,note", 'bad@example.org,"open', *rest]))
    assert isinstance(found[0], BadLine)
    assert [item.address for item in found[1:] if isinstance(item, Contact)] == [f"{i}@example.org" for i in range(200)]


def test_csv_line_that_is_longer_or_shorter_than_its_header() -> None:
    found = read("address,a,b\nx@example.org\ny@example.org,1,2,3\nz@example.org,1,2,\n")
    assert found == [
        Contact("x@example.org", {"address": "x@example.org", "a": "", "b": ""}, 2),
        BadLine(3, "the line has 4 fields, and the header has 3"),
        Contact("z@example.org", {"address": "z@example.org", "a": "1", "b": "2"}, 4),
    ]


def test_csv_rows_that_are_empty_in_all_columns_are_none() -> None:
    """Excel leaves them behind the last row that was filled, and each was told as a bad line."""
    found = read('address,a\n,\nx@example.org,1\n , \n,"",,\n,2\n,\n')
    assert found == [
        Contact("x@example.org", {"address": "x@example.org", "a": "1"}, 3),
        BadLine(6, "'' is not an address of the form local@domain"),
    ]


def test_json_lines() -> None:
    first, second = contacts(
        '{"email": "a@example.org", "n": [1, {"x": null}]}\n\n{"address":"b@example.org","area":null}'
    )
    assert first.fields["n"] == [1, {"x": None}]
    assert second.variables["area"] == ""
    assert second.line == 3


def test_bad_lines_say_why() -> None:
    lines = [
        '{"address": "a@example.org"}',
        "{",
        "[]",
        '{"name": "nobody"}',
        '{"address": 1}',
        '{"address": "a b@example.org"}',
        "[" * 100_000,
        '{"address": "' + "\\ud800" + '@example.org"}',
    ]
    reasons = bad("\n".join(lines))
    assert list(reasons) == [2, 3, 4, 5, 6, 7, 8]
    assert "not JSON" in reasons[2]
    assert "object" in reasons[3]
    assert "'name'" in reasons[4]
    assert "string" in reasons[5]
    assert "local@domain" in reasons[6]
    assert "nested" in reasons[7]
    assert bad("a@example.org" + ";x" * 16) == {
        1: "the line has 17 fields; the address and 15 others are all there are"
    }


def test_duplicates_are_told_and_the_first_one_counts() -> None:
    assert read("a@example.org;first\nA@example.org;another mailbox\na@EXAMPLE.org;again\n") == [
        Contact("a@example.org", {"fullname": "first"}, 1),
        Contact("A@example.org", {"fullname": "another mailbox"}, 2),
        Duplicate(3, "a@example.org"),
    ]


def test_gb18030_is_known_behind_a_thousand_lines_of_ascii() -> None:
    content = b"".join(b"%d@example.org\n" % i for i in range(1000)) + "x@example.org;王芳\n".encode("gb18030")
    assert contacts(content)[-1].fields == {"fullname": "王芳"}


def test_gb18030_that_looks_like_utf8_in_one_line() -> None:
    """Two characters of GB18030 may be valid UTF-8; a file has other lines."""
    odd = "摹摹".encode("gb18030")
    assert odd.decode("utf-8")
    first, *_ = contacts(b"a@example.org;" + odd + "\nb@example.org;王芳\nc@example.org;张伟\n".encode("gb18030"))
    assert first.fields == {"fullname": "摹摹"}


def test_damaged_line_in_a_file_of_utf8_does_not_change_the_others() -> None:
    lines = [f"{i}@example.org;王芳".encode() for i in range(3)]
    found = read(b"\n".join([lines[0], lines[1][:-1], lines[2]]))
    assert [item.line for item in found if isinstance(item, Contact) and item.fields["fullname"] == "王芳"] == [1, 3]
    assert found[1] == BadLine(2, "this is not UTF-8, which the file is for the most part")


def test_line_without_end_of_its_own() -> None:
    content = b"a@example.org\nb@example.org;" + b"x" * MAX_LINE * 3 + b"\nc@example.org\n"
    found = read(content)
    assert [item.line for item in found if isinstance(item, Contact)] == [1, 3]
    assert bad(content) == {2: "the line is longer than 1 MiB"}


@pytest.mark.parametrize("content", ["", "\n \n", "\ufeff", b"\xff\xff\n"])
def test_nothing(content: str | bytes) -> None:
    with pytest.raises(ContactsError, match="no line that can be read"):
        read(content)


def test_nothing_that_can_be_read_says_why() -> None:
    with pytest.raises(ContactsError, match=r"\(line 2: this is not UTF-8"):
        read(b"\xef\xbb\xbf\n" + "a@example.org;王芳\n".encode("gb18030"))


@pytest.mark.parametrize("first", ["sep=;", "SEP=,", '"sep=;"', "sep=\t"])
def test_the_line_for_excel_is_no_header(first: str) -> None:
    assert read(f"\ufeff{first}\r\naddress;name\r\na@example.org;Ada\r\n") == [
        Contact("a@example.org", {"fullname": "Ada", "name": "Ada", "address": "a@example.org"}, 3)
    ]


def test_gb18030_has_a_bom_too() -> None:
    (contact,) = contacts("\ufeff邮箱,姓名\na@example.org,王芳\n".encode("gb18030"))
    assert contact.fields["姓名"] == "王芳"


def test_utf16_is_told() -> None:
    with pytest.raises(ContactsError, match="UTF-16"):
        read(PLATFORM_LINE.encode("utf-16"))


def test_a_workbook_is_told() -> None:
    """It was told that some octets of its first line are not GB18030."""
    with pytest.raises(ContactsError, match="workbook"):
        read(b"PK\x03\x04\x14\x00\x06\x00" + bytes(range(256)))


def test_header_without_addresses() -> None:
    with pytest.raises(ContactsError, match="'first', 'second'"):
        read("first,second\n1,2\n")
    with pytest.raises(ContactsError, match="two columns 'a'"):
        read("address,a,a\n")


def test_format_that_is_given() -> None:
    assert read("damaged\na@example.org;Ada\n", Format.PLATFORM) == [
        BadLine(1, "'damaged' is not an address of the form local@domain"),
        Contact("a@example.org", {"fullname": "Ada"}, 2),
    ]


def test_memory_is_bounded() -> None:
    """By what is known of a contact to tell it from the next; each line has 300 octets."""
    count = 20_000
    content = io.BytesIO(b"".join(b"%d@example.org;%s\n" % (i, b"x" * 280) for i in range(count)))
    tracemalloc.start()
    try:
        assert sum(isinstance(item, Contact) for item in ContactFile(content)) == count
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 250 * count
