"""The control socket as HTTP and JSON: imported when somebody connects to it."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any, TypeVar, get_args

import structlog
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, Router
from uvicorn.protocols.http.h11_impl import H11Protocol

from smtprelay import http_server
from smtprelay.clock import now_ms
from smtprelay.control import BadRequest, Facilities
from smtprelay.control_values import MESSAGE
from smtprelay.domains.verdict import to_json
from smtprelay.keyring import RotationRefused, Wish
from smtprelay.message import parse_address
from smtprelay.signing import Kind
from smtprelay.spool import Query, Selector, SpoolError, State
from smtprelay.suppression_list import MAX_ENTRIES, PAGE, Entry, operator_source, words_of
from smtprelay.values import parse_domain

log = structlog.get_logger("control")

T = TypeVar("T")

JSON = "application/json"
MAX_LISTED = 10_000  # messages of one answer
MAX_LOGGED = 20  # addresses that a line of the log names
MAX_DIGITS = 13  # of a time in milliseconds, until the year 2286


async def serve(socks: Sequence[socket.socket], app: Router, *, until: asyncio.Event) -> None:
    """Answer until the event is set."""
    await http_server.serve(socks, app, until=until, protocol=_PeerProtocol)


def app(facilities: Facilities) -> Router:
    """What the control socket answers."""
    operator, keyring, suppressions = facilities.operator, facilities.keyring, facilities.suppressions

    async def queue(request: Request) -> Any:
        words = dict(request.query_params)
        limit, before = _limit(words.pop("limit", "50")), words.pop("before", "")
        listed = operator.messages(_query(words), limit, before)
        first = await anext(listed, None)  # what fails, fails before the answer begins
        return StreamingResponse(_array(first, listed), media_type=JSON)

    async def show(request: Request) -> Any:
        return await operator.show(request.path_params["id"])

    async def source(request: Request) -> Any:
        return Response(await operator.source(request.path_params["id"]), media_type=MESSAGE)

    async def stats(_request: Request) -> Any:
        return await operator.stats()

    async def act(request: Request) -> Any:
        words = await _words(request)
        action, reason = request.path_params["action"], str(words.pop("as", None) or "")
        done = await operator.act(action, _selector(words), reason)
        _log_action(request, action, {**words, "as": reason, "recipients": done.recipients})
        return asdict(done)

    async def account(request: Request) -> Any:
        name, action = request.path_params["name"], request.path_params["action"]
        if action not in ("suspend", "resume"):
            raise BadRequest(f"{action} is neither suspend nor resume")
        count = await (operator.suspend(name) if action == "suspend" else operator.resume(name))
        _log_action(request, action, {"account": name, "recipients": count})
        return {"recipients": count}

    async def keys(_request: Request) -> Any:
        return [asdict(key) for key in await keyring.status()]

    async def rotate(request: Request) -> Any:
        wish = _wish(await _words(request))
        rotation = await keyring.rotate(wish, now_ms())
        _log_action(request, "rotate", {"domain": rotation.domain, "selector": rotation.selector})
        return asdict(rotation)

    async def domain(request: Request) -> Any:
        return Response(to_json(await facilities.look_again(_domain(request.path_params["name"]))), media_type=JSON)

    async def suppressed(request: Request) -> Any:
        words = dict(request.query_params)
        limit, after = _limit(words.pop("limit", "50"), PAGE), words.pop("after", "")
        if unknown := words.keys() - {"cause", "text"}:
            raise BadRequest(f"{', '.join(sorted(unknown))}: there are cause, text, limit and after")
        return [words_of(entry) for entry in await suppressions.page(after, limit, **words)]

    async def suppressed_count(_request: Request) -> Any:
        return await suppressions.count()

    async def suppress(request: Request) -> Any:
        entries = _list(await _words(request), "entries", dict)
        changed = await suppressions.enter(map(_entry, entries), _source(request))
        few = _few([entry["address"] for entry in entries])
        _log_action(request, "suppress", {"addresses": few, "entries": len(entries), "changed": changed})
        return {"changed": changed}

    async def unsuppress(request: Request) -> Any:
        addresses = [_address(text) for text in _list(await _words(request), "addresses", str)]
        unknown = await suppressions.remove(addresses)
        removed = len(addresses) - len(unknown)
        _log_action(request, "unsuppress", {"addresses": _few(addresses), "removed": removed})
        return {"unknown": unknown}

    async def sync(request: Request) -> Any:
        told = await facilities.platform.sync()
        _log_action(request, "sync", {"accounts": len(told)})
        return told

    async def books(request: Request) -> Any:
        return await facilities.platform.books(_day(request.query_params.get("date", "")))

    async def reload(request: Request) -> Any:
        _log_action(request, "reload", {})
        return {"problems": await facilities.reload()}

    return Router(  # Starlette's application around it would only bring its page of errors, and 1 MB
        routes=[
            Route("/v1/queue", _json(queue)),
            Route("/v1/queue/{id}", _json(show)),
            Route("/v1/queue/{id}/source", _json(source)),
            Route("/v1/queue/{action}", _json(act), methods=["POST"]),
            Route("/v1/stats", _json(stats)),
            Route("/v1/suppressions", _json(suppressed)),
            Route("/v1/suppressions/count", _json(suppressed_count)),
            Route("/v1/suppressions/add", _json(suppress), methods=["POST"]),
            Route("/v1/suppressions/remove", _json(unsuppress), methods=["POST"]),
            Route("/v1/keys", _json(keys)),
            Route("/v1/keys/rotate", _json(rotate), methods=["POST"]),
            Route("/v1/accounts/{name:path}/{action}", _json(account), methods=["POST"]),
            Route("/v1/domains/{name}/check", _json(domain), methods=["POST"]),
            Route("/v1/platform/sync", _json(sync), methods=["POST"]),
            Route("/v1/platform/books", _json(books)),
            Route("/v1/reload", _json(reload), methods=["POST"]),
        ]
    )


def _json(handler: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            value = await handler(request)
            return value if isinstance(value, Response) else JSONResponse(value)
        except (BadRequest, RotationRefused) as error:
            return JSONResponse({"error": str(error)}, status_code=400)
        except SpoolError as error:
            return JSONResponse({"error": str(error)}, status_code=503)

    return answer


async def _array(first: dict[str, Any] | None, others: AsyncIterator[dict[str, Any]]) -> AsyncIterator[str]:
    yield "["
    if first is not None:
        yield json.dumps(first)
    async for other in others:
        yield ", " + json.dumps(other)
    yield "]"


def _log_action(request: Request, action: str, words: dict[str, Any]) -> None:
    by, pid = request.client or ("", 0)
    log.warning("operator", action=action, by=by, pid=pid, **{k: v for k, v in words.items() if v or k == "recipients"})


def _few(addresses: list[str]) -> list[str]:
    """For the log: none where they are many."""
    return addresses if len(addresses) <= MAX_LOGGED else []


def _source(request: Request) -> str:
    """Who asks, as the source of what is entered."""
    by = request.client[0] if request.client else ""
    return operator_source(int(by.removeprefix("uid ")))


class _PeerProtocol(H11Protocol):
    """Puts the user who connected where a client's address stands otherwise (SO_PEERCRED, unix(7))."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        pid, uid, _gid = struct.unpack(
            "3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        )
        self.client = (f"uid {uid}", pid)


def _selector(words: Mapping[str, Any]) -> Selector:
    """What is meant. A word that is not understood is refused: without it, the rest would mean more than was meant."""
    texts = {key: words.get(key) or "" for key in ("account", "to", "state", "reason", "tag")}
    ids = words.get("ids") or ()
    if unknown := words.keys() - {"ids", *texts}:
        raise BadRequest(f"{', '.join(sorted(unknown))}: there are ids, {', '.join(texts)}")
    if not all(isinstance(text, str) for text in texts.values()):
        raise BadRequest(f"{', '.join(texts)} are texts")
    if isinstance(ids, str) or not isinstance(ids, Sequence) or not all(isinstance(id_, str) for id_ in ids):
        raise BadRequest("ids is a list of texts")
    return Selector(tuple(ids), texts["account"], texts["to"], _state(texts["state"]), texts["reason"], texts["tag"])


def _query(words: Mapping[str, str]) -> Query:
    """What is looked for. :raises BadRequest: a word is not understood."""
    known = asdict(Query())
    if unknown := words.keys() - known:
        raise BadRequest(f"{', '.join(sorted(unknown))}: there are {', '.join(known)}, limit and before")
    numbers = {key: _moment(key, words[key]) for key in ("since", "until") if key in words}
    return Query(**{**words, **numbers, "state": _state(words.get("state", ""))})  # type: ignore[arg-type]


def _state(text: str) -> State | None:
    try:
        return State(text) if text else None
    except ValueError:
        raise BadRequest(f"{text} is no state; there are {', '.join(State)}") from None


def _moment(key: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS):
        raise BadRequest(f"{key} is Unix time in milliseconds")
    return int(text)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise BadRequest(f"date is a day such as 2026-11-28, not {text}") from None


def _domain(text: str) -> str:
    try:
        return parse_domain(text)
    except ValueError as error:
        raise BadRequest(str(error)) from None


def _wish(words: Mapping[str, Any]) -> Wish:
    """The key that is meant. :raises BadRequest: a word is not understood."""
    known = asdict(Wish(domain=""))
    if not all(name in known and isinstance(value, type(known[name])) for name, value in words.items()):
        raise BadRequest("domain, kind and selector are texts, bits is a number, and there is nothing else")
    wish = Wish(**{**known, **words})
    if wish.kind not in get_args(Kind):
        raise BadRequest(f"{wish.kind} is none of {', '.join(get_args(Kind))}")
    return wish


def _entry(words: Mapping[str, Any]) -> Entry:
    try:
        return Entry.parse(words)
    except ValueError as error:
        raise BadRequest(str(error)) from None


def _address(text: str) -> str:
    try:
        return parse_address(text)
    except ValueError as error:
        raise BadRequest(str(error)) from None


def _list(words: Mapping[str, Any], name: str, kind: type[T]) -> list[T]:
    """The one word that there is. :raises BadRequest: it is something else."""
    values = words.get(name)
    if words.keys() != {name} or not isinstance(values, list) or not all(isinstance(value, kind) for value in values):
        raise BadRequest(f"{name} is a list, and there is nothing else")
    if len(values) > MAX_ENTRIES:
        raise BadRequest(f"{name}: {MAX_ENTRIES} at once at most")
    return values


def _limit(text: str, most: int = MAX_LISTED) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= most):
        raise BadRequest(f"limit is a number from 1 to {most}")
    return int(text)


async def _words(request: Request) -> dict[str, Any]:
    try:
        words = await request.json()
    except ValueError as error:
        raise BadRequest(f"the body is no JSON: {error}") from error
    if not isinstance(words, dict):
        raise BadRequest("the body is no JSON object")
    return words
