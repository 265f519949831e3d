"""The platform's line of a contact: ``address;fullname;sex;birthday;phone;area;var1;…;var10`` (its API, 4.9)."""

from __future__ import annotations

from smtprelay.contacts.values import FIELDS, Contact
from smtprelay.message import parse_address

_END = frozenset(";\r\n")  # of a value, or of the line


def read_line(text: str, number: int) -> Contact:
    """The contact of a line. :raises ValueError: it has none."""
    address, *values = (value.strip() for value in text.split(";"))
    if any(values[len(FIELDS) :]):
        raise ValueError(
            f"the line has {1 + len(values)} fields; the address and {len(FIELDS)} others are all there are"
        )
    return Contact(parse_address(address), {k: v for k, v in zip(FIELDS, values, strict=False) if v}, number)


def write_line(contact: Contact) -> str:
    """The line of a contact, without its end. Fields that the platform does not know are left out.

    >>> write_line(Contact("wang@example.org", {"fullname": "王芳", "var1": 7}))
    'wang@example.org;王芳;;;;;7;;;;;;;;;'

    :raises ValueError: a value cannot stand in it; the text tells whose.
    """
    values = [contact.address, *(_written(contact, name) for name in FIELDS)]
    for name, value in zip(("address", *FIELDS), values, strict=True):
        if not _END.isdisjoint(value):
            raise ValueError(
                f"{contact.address!r}: {name} is {value!r}: a semicolon or a line break would end it there"
            )
    return ";".join(values)


def _written(contact: Contact, name: str) -> str:
    match contact.fields.get(name):
        case None:
            return ""
        case str() | int() | float() as value:
            return str(value)
        case value:
            raise ValueError(f"{contact.address!r}: {name} is {value!r}: only text and numbers can stand in a line")
