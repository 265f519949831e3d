"""A contact file, from its first line to its last."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import BinaryIO

from smtprelay.contacts.formats import guess_format, reader
from smtprelay.contacts.lines import read_lines, survey
from smtprelay.contacts.values import BadLine, Contact, ContactsError, Duplicate, Format


class ContactFile:
    """The contacts in a file. Each iteration begins at its start, and no line is lost: each that is not blank (in all
    columns, of CSV), and no header of CSV, comes out as a `Contact`, a `BadLine` or a `Duplicate` (a record of CSV may
    be several lines).

    >>> import io
    >>> for item in ContactFile(io.BytesIO("a@example.org;王芳\\nnobody\\na@EXAMPLE.ORG\\n".encode())):
    ...     print(item)
    Contact(address='a@example.org', fields={'fullname': '王芳'}, line=1)
    BadLine(line=2, reason="'nobody' is not an address of the form local@domain")
    Duplicate(line=3, address='a@example.org')

    Duplicates are known by about 100 octets of memory a contact.

    :ivar format: as it was given, or as the first line tells.
    :ivar encoding: ``"utf-8"`` or ``"gb18030"``, as the whole file tells (`smtprelay.contacts.lines.survey`).
    :ivar lines: how many there are.
    :ivar digest: SHA-256 of its octets, in hexadecimal.
    :param stream: of octets, in which can be sought.
    :raises ContactsError: no line can be used.
    """

    def __init__(self, stream: BinaryIO, form: Format | None = None) -> None:
        self._stream = stream
        found = survey(stream)
        self.encoding, self.lines, self.digest = found.encoding, found.lines, found.digest
        head = next((line for line in read_lines(stream, self.encoding) if line.text), None)
        if head is None:
            bad = next((line for line in read_lines(stream, self.encoding) if line.problem), None)
            reason = f" (line {bad.number}: {bad.problem})" if bad else ""
            raise ContactsError(f"There is no line that can be read{reason}.")
        self.format = form or guess_format(head)
        self._read = reader(self.format, head)

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()

    def records(self) -> Iterator[Contact | BadLine]:
        """The same without looking for duplicates, and without memory for them."""
        return self._read(read_lines(self._stream, self.encoding))

    def __iter__(self) -> Iterator[Contact | BadLine | Duplicate]:
        seen: set[bytes] = set()
        for item in self.records():
            if isinstance(item, Contact):
                key = hashlib.blake2b(item.address.encode(), digest_size=16).digest()
                if key in seen:
                    yield Duplicate(item.line, item.address)
                    continue
                seen.add(key)
            yield item
