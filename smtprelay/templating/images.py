"""Pictures in HTML: those that go along with the message (``cid:``, RFC 2392)."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Callable, Mapping
from html import escape

from smtprelay.compose import Attachment

# In HTML as css-inline writes it: names in lower case, values in double quotes.
_SOURCE = re.compile(r'(<img(?:\s[^\s>"=]++(?:="[^"]*+")?)*?\ssrc=")([^"]*+)')
_CID = re.compile(r"""cid:([^"'()\s<>]+)""")  # it begins with letters that are fast to find
_CID_OF_ANY_CASE = re.compile(_CID.pattern, re.IGNORECASE)


def sources(html: str) -> list[str]:
    """Where the pictures are."""
    return [match[2] for match in _SOURCE.finditer(html)]


def content_ids(html: str) -> frozenset[str]:
    """The content ids that HTML shows."""
    return frozenset(_CID.findall(html.replace("CID:", "cid:")))


def on_the_web(html: str, urls: Mapping[str, str]) -> str:
    """The HTML with pictures loaded from the web.

    :param urls: of the pictures, by their content ids; others stay as they are.
    """
    return _CID_OF_ANY_CASE.sub(lambda match: escape(urls[match[1]]) if match[1] in urls else match[0], html)


def is_relative(source: str) -> bool:
    """Whether a picture is named as a file: ``logo.png``; nobody who receives the mail can load that."""
    return bool(source) and not source.startswith("/") and ":" not in source


def attach(html: str, load: Callable[[str], bytes | None]) -> tuple[str, list[Attachment]]:
    """The HTML with its relative pictures (``src="logo.png"``) as ``cid:``, and these.

    :param load: a file's content; None where there is none: the picture stays as it is then.
    """
    found: dict[str, Attachment] = {}

    def to_cid(match: re.Match[str]) -> str:
        source = match[2]
        if source not in found:
            data = load(source) if is_relative(source) and _is_image(source) else None
            if data is None:
                return match[0]
            name = source.rpartition("/")[2]
            found[source] = Attachment(name, data, content_id=f"{len(found) + 1}.{re.sub(r'[^A-Za-z0-9.]', '_', name)}")
        return f"{match[1]}cid:{found[source].content_id}"

    return _SOURCE.sub(to_cid, html), list(found.values())


def _is_image(name: str) -> bool:
    return (mimetypes.guess_type(name)[0] or "").startswith("image/")
