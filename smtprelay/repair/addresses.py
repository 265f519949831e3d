"""Lists of addresses in header fields (RFC 5322 §3.4), as apps write them: read, mended, and written again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from smtprelay.message import AddressError, parse_address
from smtprelay.repair.words import decode_words, encode_words

_TOKEN = re.compile(
    r'"(?:[^"\\]|\\.?)*+(?P<closed>")?'  # a quoted string
    r'|<(?:[^"<>,;]|"(?:[^"\\]|\\.)*+")*+>?'  # an address in angle brackets
    r"|\[[^\[\]]*+\]?"  # a domain literal; it may hold colons
    r'|[^"<>\[(),:;]++'  # words
    r"|.",
    re.DOTALL,
)
_PARENTHESIS = re.compile(r"\\.|[()]", re.DOTALL)
_PLAIN_PHRASE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~. \t-]*")  # RFC 5322 §3.2.3, and §4.1's dots
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)

_UNBALANCED = "unbalanced quote or parenthesis removed"
_SEMICOLON = "';' between addresses replaced by ','"
_EMPTY = "empty address removed"
FORM = "address put into form"


@dataclass(frozen=True, slots=True)
class Mailbox:
    """One address with what stands around it.

    :param text: as it leaves.
    :param phrase: the display name, as it leaves.
    :param address: in normal form; ``""`` where there is no address in it.
    """

    text: str
    phrase: str
    address: str


@dataclass(frozen=True, slots=True)
class AddressList:
    """A field's addresses.

    :param text: the field's value, as it should leave.
    :param faults: what was mended, for people; none where the field can stay as it came.
    """

    text: str
    mailboxes: tuple[Mailbox, ...]
    faults: tuple[str, ...]


def read_addresses(text: str, *, join_names: bool = False, downgrade: bool = False) -> AddressList:
    """The addresses of a field's value.

    :param join_names: whether a name with a comma belongs together: ``Foo, Inc. <a@b>``.
    :param downgrade: whether an address that needs SMTPUTF8 gives way to its text (in attached messages, where
        nothing can say that it does).
    """
    return _Reader(join_names, downgrade).read(text)


class _Reader:
    """Takes a list apart at its separators."""

    def __init__(self, join_names: bool, downgrade: bool) -> None:
        self._join_names = join_names
        self._downgrade = downgrade
        self._faults: dict[str, None] = {}  # a set that keeps its order
        self._mailboxes: list[Mailbox] = []
        self._written: list[str] = []
        self._group: tuple[str, list[str]] | None = None  # the open one: its name, and the members as they leave
        self._may_end = False  # whether nothing may stand before the next separator
        self._begin_part()

    def _begin_part(self) -> None:
        self._part: list[str] = []
        self._blank = True
        self._addressed = False

    def read(self, text: str) -> AddressList:
        tokens = list(_lex(text, self._faults))
        last_semicolon = max((i for i, mark in enumerate(tokens) if mark == ";"), default=-1)
        for i, mark in enumerate(tokens):
            if mark == ":" and i < last_semicolon and self._group is None and (name := self._name()):
                self._open_group(name)
            elif mark == ";":
                self._end_part()
                self._semicolon()
            elif mark == "," and (self._blank or self._addressed or not self._join_names):
                self._end_part()
                self._may_end = False
            else:
                self._add(mark)
        self._end_part()
        return AddressList(", ".join(self._written), tuple(self._mailboxes), tuple(self._faults))

    def _add(self, token: str) -> None:
        self._part.append(token)
        self._blank = self._blank and token.isspace()
        self._addressed = self._addressed or token[0] == "<" or (token[0] not in '"(' and "@" in token)

    def _end_part(self) -> None:
        written = "".join(self._part).strip()
        mailbox = _mailbox(self._part, self._downgrade) if written else None
        if mailbox and mailbox.text:
            self._mailboxes.append(mailbox)
            text = mailbox.text
            if text != written:
                self._faults[FORM] = None
                if not mailbox.address and self._group is None:
                    text += ":;"  # words alone are no address; an empty group may be any (as in RFC 6857 §3.1)
            (self._written if self._group is None else self._group[1]).append(text)
        elif mailbox or not self._may_end:
            self._faults[_EMPTY] = None
        self._begin_part()

    def _name(self) -> str:
        """What was read of a name, before any address."""
        return "" if self._blank or self._addressed else _phrase(self._part)

    def _open_group(self, name: str) -> None:
        if name != "".join(self._part).strip():
            self._faults[FORM] = None
        self._group = name, []
        self._may_end = True
        self._begin_part()

    def _semicolon(self) -> None:
        if self._group is None:
            self._faults[_SEMICOLON] = None
        else:
            name, members = self._group
            self._written.append(f"{name}:{' ' if members else ''}{', '.join(members)};")
            self._group = None
        self._may_end = True


def _lex(text: str, faults: dict[str, None]) -> Iterator[str]:
    """The tokens of a list. A quote or a parenthesis without its partner means nothing, and goes."""
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        assert match is not None  # the last alternative takes anything
        first = text[position]
        end = _end_of_comment(text, position) if first == "(" else match.end()
        if end and (first != '"' or match["closed"]):
            yield text[position:end]
            position = end
        else:
            faults[_UNBALANCED] = None
            partners = '"' if first == '"' else "()"
            text = text[position:].translate({ord(char): None for char in partners})
            position = 0


def _end_of_comment(text: str, start: int) -> int:
    """Where the comment ends (RFC 5322 §3.2.2: they nest); 0 where it does not."""
    depth = 0
    for match in _PARENTHESIS.finditer(text, start):
        depth += {"(": 1, ")": -1}.get(match[0], 0)
        if not depth:
            return match.end()
    return 0


def _mailbox(tokens: list[str], downgrade: bool) -> Mailbox:
    written = "".join(tokens).strip()
    at = max((i for i, token in enumerate(tokens) if token[0] == "<" and token.strip("<> \t")), default=-1)
    spelled = _bare_text(tokens) if at < 0 else tokens[at].strip("<> \t")
    address = _normal_form(spelled)
    if not address or (downgrade and not address.isascii()):
        return Mailbox(_words_alone(tokens, written), _phrase(tokens), "")
    phrase = "" if at < 0 else _phrase(tokens[:at] + tokens[at + 1 :], address)
    if spelled.lower() == address.lower() and written.isascii() and (at < 0 or _in_form(tokens, at, spelled)):
        return Mailbox(written, phrase, address)
    shown = spelled if spelled.lower() == address.lower() else address
    comments = [_comment(token) for token in tokens if token[0] == "("]
    return Mailbox(" ".join(filter(None, [phrase, shown if at < 0 else f"<{shown}>", *comments])), phrase, address)


def _words_alone(tokens: list[str], written: str) -> str:
    """What stands where an address should, as it leaves."""
    if not written.isascii():
        return encode_words(_text(tokens))
    if ":" in tokens:  # it would begin a group that somebody else ends
        return _phrase([token for token in tokens if token != ":"])
    return written


def _normal_form(text: str) -> str:
    try:
        return parse_address(text)
    except AddressError:
        return ""


def _in_form(tokens: list[str], at: int, spelled: str) -> bool:
    """Whether a name, an address in angle brackets and comments stand as they should (``name-addr``)."""
    return (
        tokens[at] == f"<{spelled}>"
        and all(map(_is_plain, tokens[:at]))
        and all(token[0] == "(" or token.isspace() for token in tokens[at + 1 :])
    )


def _is_plain(token: str) -> bool:
    return token.isascii() and (token[0] in '"(' or _PLAIN_PHRASE.fullmatch(token) is not None)


def _phrase(tokens: list[str], address: str = "") -> str:
    """The display name as it leaves, without comments; none where it only repeats the address."""
    words = [token for token in tokens if token[0] != "("]
    if all(map(_is_plain, words)):
        return "".join(words).strip()
    name = _text(words)
    if not name or name.lower() == address.lower():
        return ""
    return quote_phrase(name)


def quote_phrase(name: str) -> str:
    """Text as a display name: a quoted string, or encoded words."""
    return '"' + re.sub(r'(["\\])', r"\\\1", name) + '"' if name.isascii() else encode_words(name)


def _bare_text(tokens: list[str]) -> str:
    return "".join(token for token in tokens if token[0] != "(").strip()


def _text(tokens: list[str]) -> str:
    """What a person reads there."""
    runs = groupby(tokens, lambda token: token[0] == '"')  # encoded words are none within quotes (RFC 2047 §5)
    texts = (
        "".join(_ESCAPED.sub(r"\1", token[1:-1]) for token in run)
        if quoted
        else decode_words("".join(token.strip("<>") for token in run))
        for quoted, run in runs
    )
    return " ".join("".join(texts).split())


def _comment(token: str) -> str:
    return token if token.isascii() else f"({encode_words(token[1:-1].strip())})"
