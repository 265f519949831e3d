"""Templates and static files, read when this module is imported: in a thread, before the first answer."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape
from starlette.responses import Response

from smtprelay.web.access import Visit
from smtprelay.web.language import clock_time, list_time, number
from smtprelay.words import capitalised, local_time, octets

_FOLDER = Path(__file__).parent
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOR_EVER = "public, max-age=31536000, immutable"

STATIC = {path.name: path.read_bytes() for path in sorted((_FOLDER / "static").iterdir()) if path.suffix in _TYPES}
VERSION = hashlib.sha256(b"".join(STATIC.values())).hexdigest()[:12]  # in the addresses, so that a new one is fetched


def breakable(address: str) -> Markup:
    """An address for a narrow column: where it has to break, it does so before the ``@``, or else before a dot."""
    local_part, at, domain = str(escape(address)).replace(".", "<wbr>.").rpartition("@")
    return Markup(f'{local_part}<span class="at">{at}{domain}</span>')  # noqa: S704 - it is escaped


_environment = jinja2.Environment(
    loader=jinja2.FileSystemLoader(_FOLDER / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    auto_reload=False,
    cache_size=-1,
)
_environment.filters.update(
    number=number,
    octets=octets,
    local_time=local_time,
    clock_time=clock_time,
    list_time=list_time,
    breakable=breakable,
    capitalised=capitalised,
)
_environment.globals["static"] = lambda name: f"/static/{name}?v={VERSION}"
for _name in _environment.list_templates():
    _environment.get_template(_name)  # compiled now: it takes milliseconds, and the loop has none to spare


def render(template: str, **values: Any) -> str:
    """A template with its values."""
    return _environment.get_template(template).render(values)


async def static(visit: Visit) -> Response:
    """A style sheet, script or picture of our own."""
    name = visit.request.path_params["name"]
    if name not in STATIC:
        return Response(status_code=404)
    cache = {"Cache-Control": _FOR_EVER} if visit.request.query_params.get("v") == VERSION else {}
    return Response(STATIC[name], media_type=_TYPES[Path(name).suffix], headers=cache)
