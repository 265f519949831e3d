"""The mail itself, where it may be shown: captured, or `[status] show_bodies`. It was written by strangers."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import quote

from starlette.responses import HTMLResponse, Response

from smtprelay.control import BadRequest
from smtprelay.web.access import Visit
from smtprelay.web.mail import Mail, read
from smtprelay.web.message import as_lines
from smtprelay.web.site import NO_PAGE, Site

MAX_SOURCE = 256 * 1024  # octets that are shown; the rest can be downloaded

# Its own styles and pictures, and nothing else: no script, no form, nothing from elsewhere, nobody else's frame.
_FRAME_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'self'; sandbox"
)
# What has Chromium connect elsewhere before it asks the policy: nobody should learn that a mail was looked at.
_CONNECTING = re.compile(r"<(?=(?:link|iframe|frame|object|embed|portal|fencedframe)\b)", re.IGNORECASE)


class Bodies:
    """Pages of the mail itself."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._reading = asyncio.Semaphore(2)  # mails in memory

    async def page(self, visit: Visit) -> Response:
        """GET: text, attachments, and the frame for the HTML."""
        mail = await self._mail(visit)
        return self._site.page(visit, "mail.html", id=visit.request.path_params["id"], mail=mail)

    async def html(self, visit: Visit) -> Response:
        """GET: what is within the frame."""
        mail = await self._mail(visit)
        headers = {
            "Content-Security-Policy": _FRAME_POLICY,
            "Referrer-Policy": "no-referrer",
            "X-DNS-Prefetch-Control": "off",
        }
        return HTMLResponse(await asyncio.to_thread(_CONNECTING.sub, "<x-", mail.html), headers=headers)

    async def source(self, visit: Visit) -> Response:
        """GET: its octets, for a person."""
        content = await self._content(visit)
        text = await asyncio.to_thread(as_lines, content[:MAX_SOURCE])
        message_id = visit.request.path_params["id"]
        return self._site.page(visit, "source.html", id=message_id, text=text, is_cut=len(content) > MAX_SOURCE)

    async def file(self, visit: Visit) -> Response:
        """GET: its octets, to be kept."""
        return _download(await self._content(visit), f"{visit.request.path_params['id']}.eml")

    async def attachment(self, visit: Visit) -> Response:
        """GET: to be kept, never shown."""
        mail = await self._mail(visit)
        number = visit.request.path_params["number"]
        if not 1 <= number <= len(mail.attachments):
            raise NO_PAGE
        found = mail.attachments[number - 1]
        return _download(found.content, found.name)

    async def _content(self, visit: Visit) -> bytes:
        message_id = visit.request.path_params["id"]
        try:
            message = await self._site.backstage.operator.show(message_id)
        except BadRequest:
            raise NO_PAGE from None
        if not self._site.shows_mail(message):
            raise NO_PAGE
        return await self._site.read(message_id)

    async def _mail(self, visit: Visit) -> Mail:
        async with self._reading:
            return await asyncio.to_thread(read, await self._content(visit))


def _download(content: bytes, name: str) -> Response:
    """RFC 6266: a file whatever its type, under the name that its sender gave it."""
    disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    return Response(content, media_type="application/octet-stream", headers={"Content-Disposition": disposition})
