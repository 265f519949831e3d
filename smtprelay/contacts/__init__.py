"""Files of contacts: the platform's lines, CSV with a header, JSON Lines; in UTF-8 or GB18030."""

from smtprelay.contacts.file import ContactFile
from smtprelay.contacts.formats import has_place
from smtprelay.contacts.platform_line import parse_separator, write_line
from smtprelay.contacts.values import FIELDS, BadLine, Contact, ContactsError, Duplicate, Format

__all__ = [
    "FIELDS",
    "BadLine",
    "Contact",
    "ContactFile",
    "ContactsError",
    "Duplicate",
    "Format",
    "has_place",
    "parse_separator",
    "write_line",
]
