"""The platform's line of a contact: ``address;fullname;sex;birthday;phone;area;var1;…;var10`` (its API, 4.9)."""

from __future__ import annotations

import re

from smtprelay.contacts.values import FIELDS, Contact
from smtprelay.message import parse_address

# How the platform writes them (4.9.1), and how people do.
_SEXES = {"男": "M", "女": "F", "male": "M", "female": "F", "m": "M", "f": "F"}
_DAY = re.compile(r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?")


def read_line(text: str, number: int) -> Contact:
    """The contact of a line. :raises ValueError: it has none."""
    address, *values = (value.strip() for value in text.split(";"))
    if any(values[len(FIELDS) :]):
        raise ValueError(
            f"the line has {1 + len(values)} fields; the address and {len(FIELDS)} others are all there are"
        )
    return Contact(parse_address(address), {k: v for k, v in zip(FIELDS, values, strict=False) if v}, number)


def parse_separator(text: str) -> str:
    """What is to stand between lines of contacts, in place of a line break (4.9.2). :raises ValueError: it cannot."""
    if not text or ";" in text:
        raise ValueError(f"{text!r} cannot stand between contacts: give anything that is in none of them, but no ';'")
    return text


def write_line(contact: Contact, separator: str = "\n") -> str:
    """The line of a contact, without its end. Fields that the platform does not know are left out; sex and birthday are
    written as it wants them, where that can be told.

    >>> write_line(Contact("wang@example.org", {"fullname": "王芳", "sex": "女", "birthday": "1990/5/1", "var1": 7}))
    'wang@example.org;王芳;F;1990-05-01;;;7;;;;;;;;;'

    :param separator: what is to stand between the lines.
    :raises ValueError: a value cannot stand in it; the text tells whose.
    """
    breaks = ("\r", "\n") if separator == "\n" else (separator,)
    end = "a line break" if separator == "\n" else repr(separator)
    values = [contact.address, *(_written(contact, name) for name in FIELDS)]
    for name, value in zip(("address", *FIELDS), values, strict=True):
        # With a separator "||", a value that ends with "|" would make the line end too early.
        if ";" in value or any(one in value + one[:-1] for one in breaks):
            raise ValueError(f"{contact.address!r}: {name} is {value!r}: a semicolon or {end} would end it there")
    return ";".join(values)


def _written(contact: Contact, name: str) -> str:
    match contact.fields.get(name):
        case None:
            return ""
        case str() | int() | float() as value:
            return _in_its_form(name, str(value))
        case value:
            raise ValueError(f"{contact.address!r}: {name} is {value!r}: only text and numbers can stand in a line")


def _in_its_form(name: str, value: str) -> str:
    if name == "sex":
        return _SEXES.get(value.strip().lower(), value)
    if name == "birthday" and (day := _DAY.fullmatch(value.strip())):
        return f"{day[1]}-{day[2]:0>2}-{day[3]:0>2}"
    return value
