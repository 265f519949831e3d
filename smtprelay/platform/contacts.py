"""Chapter 4: lists of contacts, and the addresses in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import islice
from pathlib import Path
from typing import TypeVar

from smtprelay.contacts import Contact, parse_separator, write_line
from smtprelay.message import parse_address
from smtprelay.platform.call import Call, M, Pages, Progress, Resource, Upload, call, paged, parameters
from smtprelay.platform.contact_values import (
    VARIABLES,
    Address,
    ContactList,
    ListStatus,
    Sex,
    Subscriber,
    Unsubscribed,
    UploadState,
    read_addresses,
    read_export,
    read_list,
    read_lists,
    read_unsubscribed,
    read_upload_state,
)
from smtprelay.platform.result import Result, read_result

MOST_AT_ONCE = 500  # contacts with one call; more should go as a file (4.9.2)
UNASKED = 50  # addresses of a page, where no other number is asked for
T = TypeVar("T")
_PATH = "mloperate.php"


class Contacts(Resource[M]):
    """The lists, and who is on them."""

    @call
    def lists(self) -> Call[Sequence[ContactList]]:
        """4.1: all lists."""
        return Call("4.1", _PATH, {"do": "maillist-list"}, read_lists, repeatable=True)

    @call
    def list(self, list_id: int) -> Call[ContactList]:
        """4.2: one list."""
        return Call("4.2", _PATH, parameters(do="maillist-detail", id=list_id), read_list, repeatable=True)

    @call
    def add_list(
        self, name: str, *, description: str | None = None, status: ListStatus = ListStatus.ENABLED
    ) -> Call[Result]:
        """4.3: make a list; the result has its id."""
        form = parameters(subject=name, status=status, description=description)
        return Call("4.3", _PATH, {"do": "maillist-add"}, read_result, form)

    @call
    def edit_list(
        self,
        list_id: int,
        *,
        name: str | None = None,
        description: str | None = None,
        status: ListStatus | None = None,
    ) -> Call[Result]:
        """4.4: change what is given of a list. :raises ValueError: nothing is given."""
        form = _some(parameters(subject=name, status=status, description=description))
        return Call("4.4", _PATH, parameters(do="maillist-edit", id=list_id), read_result, form, repeatable=True)

    @call
    def delete_list(self, list_id: int) -> Call[Result]:
        """4.5: delete a list, with its addresses."""
        return Call("4.5", _PATH, parameters(do="maillist-del", id=list_id), read_result)

    @call
    def export(self, list_id: int) -> Call[Sequence[Subscriber]]:
        """4.6: every address of a list, with its name."""
        return Call("4.6", _PATH, parameters(do="subscription-export", id=list_id), read_export, repeatable=True)

    @call
    def unsubscribed(self, list_id: int) -> Call[Sequence[Unsubscribed]]:
        """4.7: who unsubscribed from a list, and when."""
        return Call("4.7", _PATH, parameters(do="unsubscribe-export", id=list_id), read_unsubscribed, repeatable=True)

    @paged
    def addresses(
        self,
        list_id: int | None = None,
        *,
        address_id: int | None = None,
        keyword: str | None = None,
        limit: int = UNASKED,
    ) -> Pages[Address]:
        """4.8: addresses with all that is known of them.

        :param list_id: only those of this list; 0: those of no list.
        :param address_id: only this one.
        :param keyword: only those that have it in address or name.
        :param limit: how many come with one call.
        """
        query = parameters(do="ml-addr-list", list_id=list_id, address_id=address_id, keyword=keyword, limit=limit)
        return Pages(
            lambda page: Call("4.8", _PATH, query | parameters(page=page), read_addresses, repeatable=True),
            min(limit, UNASKED),
        )

    @call
    def add(
        self,
        list_id: int,
        address: str,
        *,
        fullname: str | None = None,
        sex: Sex | None = None,
        birthday: date | None = None,
        phone: str | None = None,
        area: str | None = None,
        variables: Mapping[int, str] | None = None,
    ) -> Call[Result]:
        """4.9.1: add an address to a list; the result has its id.

        :param variables: by their numbers, 1 to 10.
        :raises ValueError: the address is none, or a number is.
        """
        known = parameters(fullname=fullname, sex=sex, birthday=birthday, phone=phone, area=area)
        form = {"address": parse_address(address), **known, **_variables(variables)}
        return Call("4.9.1", _PATH, parameters(do="ml-addr-add", list_id=list_id, return_id=1), read_result, form)

    @call
    def add_many(self, list_id: int, contacts: Iterable[Contact], *, separator: str = "\n") -> Call[Result]:
        """4.9.2: add contacts to a list, 500 at most: `upload` takes more.

        :param contacts: as they are read from a file; fields that are none of the platform's do not go along.
        :param separator: what stands between them on their way. Another one lets values have line breaks.
        :raises ValueError: there are too many or none, or one has a value with a semicolon or the separator.
        """
        lines = [write_line(contact, parse_separator(separator)) for contact in islice(contacts, MOST_AT_ONCE + 1)]
        if not 1 <= len(lines) <= MOST_AT_ONCE:
            raise ValueError(f"1 to {MOST_AT_ONCE} contacts go with one call; more go as a file, by `upload`")
        separate = None if separator == "\n" else separator  # which is what the platform expects where none is given
        query = parameters(do="ml-addr-add", list_id=list_id, addr_type="string", separate=separate)
        return Call("4.9.2", _PATH, query, read_result, {"ml_addr": separator.join(lines)})

    @call
    def upload(self, list_id: int, file: Path, *, progress: Progress | None = None) -> Call[Result]:
        """4.9.3: add the contacts of a file to a list. The platform reads it later, and leaves out what is no address
        or there already: the result has the id to ask `upload_state` with.

        :param file: in UTF-8, a line for each contact: `smtprelay.contacts.write_line`.
        :param progress: is called with the octets that went, and all of them.
        :raises OSError: the file cannot be read.
        """
        query, uploads = parameters(do="ml-addr-add-file", list_id=list_id), (Upload("file", file.name, file),)
        return Call("4.9.3", _PATH, query, read_result, {}, uploads, progress=progress)

    @call
    def upload_state(self, upload_id: int) -> Call[UploadState]:
        """4.9.4: how far the platform is with a file. It looks for new ones from time to time: asking every 5 seconds
        is enough.

        :raises CallFailed: there is no such upload.
        """
        return Call(
            "4.9.4", _PATH, parameters(do="ml-addr-add-file-query", id=upload_id), read_upload_state, repeatable=True
        )

    @call
    def edit(
        self,
        address_id: int,
        *,
        address: str | None = None,
        fullname: str | None = None,
        sex: Sex | None = None,
        birthday: date | None = None,
        phone: str | None = None,
        area: str | None = None,
        variables: Mapping[int, str] | None = None,
    ) -> Call[Result]:
        """4.10: change what is given of an address of a list.

        :param address_id: the address's, as `addresses` tells it.
        :param variables: by their numbers, 1 to 10.
        :raises ValueError: nothing is given, the address is none, or a number is.
        """
        known = parameters(fullname=fullname, sex=sex, birthday=birthday, phone=phone, area=area)
        its = parameters(address=None if address is None else parse_address(address))
        form = _some(its | known | _variables(variables))
        return Call("4.10", _PATH, parameters(do="ml-addr-edit", id=address_id), read_result, form, repeatable=True)

    @call
    def delete(self, address_id: int) -> Call[Result]:
        """4.11: delete an address of a list.

        :param address_id: the address's, as `addresses` tells it.
        """
        return Call("4.11", _PATH, parameters(do="ml-addr-del", id=address_id), read_result)

    @call
    def empty(self, list_id: int) -> Call[Result]:
        """4.12: delete all addresses of a list."""
        return Call("4.12", _PATH, parameters(do="ml-addr-empty", list_id=list_id), read_result)

    @call
    def subscribe(self, list_id: int, *addresses: str, names: Mapping[str, str] | None = None) -> Call[Result]:
        """4.13: have addresses subscribe to a list.

        :param names: by address, as it is given; else it is the local part.
        :raises ValueError: there is none, one is none, or a name cannot be written or is nobody's.
        """
        if strangers := [address for address in names or {} if address not in addresses]:
            raise ValueError(f"there is a name for {strangers[0]!r}, which is not among the addresses")
        lines = [f"{parse_address(address)}\t{_name(address, names or {})}" for address in _some(addresses)]
        query = parameters(do="ml-sub", list_id=list_id)
        return Call("4.13", _PATH, query, read_result, {"maillist": "\n".join(lines)})

    @call
    def unsubscribe(self, list_id: int, *addresses: str) -> Call[Result]:
        """4.14: have addresses unsubscribe from a list. :raises ValueError: there is none, or one is none."""
        query = parameters(do="ml-unsub", list_id=list_id)
        return Call("4.14", _PATH, query, read_result, {"address": "\n".join(map(parse_address, _some(addresses)))})


def _some(given: T) -> T:
    """:raises ValueError: it is empty."""
    if not given:
        raise ValueError("nothing is given: give one or more")
    return given


def _variables(values: Mapping[int, str] | None) -> dict[str, str]:
    """:raises ValueError: there is no variable of such a number."""
    for number in values or {}:
        if number not in VARIABLES:
            raise ValueError(f"there is no variable {number}: they are 1 to {VARIABLES[-1]}")
    return {f"var{number}": value for number, value in (values or {}).items()}


def _name(address: str, names: Mapping[str, str]) -> str:
    """:raises ValueError: it would be read as something else."""
    name = names.get(address) or address.rpartition("@")[0]
    if any(mark in name for mark in ",;\t\r\n"):
        raise ValueError(f"{address!r}: the name {name!r} must be without commas, semicolons, tabs and line breaks")
    return name
