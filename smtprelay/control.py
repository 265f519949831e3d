"""The control socket: HTTP and JSON on a Unix socket (0660; SO_PEERCRED says who asks).

`Operator` is what can be asked of a running daemon; the rest carries it over the socket. The CLI's side is
`smtprelay.cli.remote`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import structlog
import uvicorn.config
import uvicorn.server
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, Router
from uvicorn.protocols.http.h11_impl import H11Protocol

from smtprelay.clock import now_ms
from smtprelay.domains.verdict import Verdict, to_json
from smtprelay.keyring import Keyring, RotationRefused, Wish
from smtprelay.policy import Limits
from smtprelay.scheduler import Credentials
from smtprelay.signing import Kind
from smtprelay.spool import DNS, DOMAIN, MessageRecord, Selector, Spool, SpoolError, State
from smtprelay.values import parse_domain

log = structlog.get_logger("control")

JSON = "application/json"
MODE = 0o660
MAX_LISTED = 10_000  # messages of one answer
PAGE = 500  # messages that one read looks up, so that readers stay short
LAST_ANSWERS = 5  # seconds that answers under way get at shut-down
SUSPENDED = "suspended/"  # prefix of the facts in the spool that name suspended accounts


class ControlError(Exception):
    """The control socket cannot be opened; the text says why."""


class BadRequest(Exception):
    """What was asked makes no sense; the text says why."""


def describe(record: MessageRecord) -> dict[str, Any]:
    """A message of the books as JSON."""
    message = record.message
    return {
        "id": message.id,
        "received_at": message.received_at,
        "client": message.origin.client,
        "helo": message.origin.helo,
        "protocol": message.origin.protocol,
        "account": message.origin.account,
        "reverse_path": message.envelope.reverse_path,
        "envid": message.envelope.envid,
        "size": message.size,
        "credential": message.credential,
        "domain": message.domain,
        "selectors": list(message.selectors),
        "author_domain": message.author_domain,
        "subject": message.subject,
        "message_id": message.message_id,
        "repairs": list(message.repairs),
        "dsn_for": message.dsn_for,
        "body_kept": record.body_kept,
        "recipients": [
            {
                "recipient": r.recipient.address,
                "state": r.state,
                "reason": r.reason,
                "next_at": r.next_at,
                "attempts": r.attempts,
                "updated_at": r.updated_at,
                "reply": r.reply,
                "dsn": r.dsn,
                "history": [asdict(attempt) for attempt in r.history],
            }
            for r in record.recipients
        ],
    }


class Operator:
    """What an operator can see and do.

    :param wake: called after anything that makes mail due.
    :param clock: Unix time in milliseconds.
    """

    def __init__(
        self,
        spool: Spool,
        limits: Limits,
        credentials: Credentials,
        wake: Callable[[], None],
        clock: Callable[[], int],
    ) -> None:
        self._spool = spool
        self._limits = limits
        self._credentials = credentials
        self._wake = wake
        self._clock = clock

    async def list(self, selector: Selector, limit: int, before: str) -> list[dict[str, Any]]:
        """Messages, newest first."""
        return [message async for message in self.messages(selector, limit, before)]

    async def messages(self, selector: Selector, limit: int, before: str = "") -> AsyncIterator[dict[str, Any]]:
        """Messages, newest first, one by one: a long list as a whole would stall the loop."""
        while limit > 0:
            page = await self._spool.search(selector, min(limit, PAGE), before)
            for record in page:
                yield describe(record)
                await asyncio.sleep(0)
            if len(page) < PAGE:
                return
            limit, before = limit - len(page), page[-1].message.id

    async def show(self, message_id: str) -> dict[str, Any]:
        """One message with all its attempts, and whether its credential is paused."""
        record = await self._spool.show(message_id)
        if record is None:
            raise BadRequest(f"no message {message_id} is known; its history may have been pruned")
        return {**describe(record), "paused": self._paused().get(record.message.credential)}

    async def stats(self) -> dict[str, Any]:
        """The queue in figures."""
        stats = await self._spool.stats()
        return {
            **asdict(stats),
            "recipients": {state.value: stats.recipients.get(state, 0) for state in State},
            "paused": self._paused(),
            "suspended": sorted(self._limits.suspended),
        }

    async def act(self, action: str, selector: Selector, reason: str) -> int:
        """Hold, release, cancel or retry. :returns: how many recipients."""
        now = self._clock()
        match action:
            case "hold" if reason in (DNS, DOMAIN):
                raise BadRequest(f"what is held for {reason} goes on by itself when DNS answers: give another reason")
            case "hold":
                return await self._spool.hold(selector, now, reason or "operator")
            case "cancel":
                return await self._spool.cancel(selector, now)
            case "release":
                count = await self._spool.release(selector, now)
            case "retry":
                count = await self._spool.retry(selector, now)
            case _:
                raise BadRequest(f"{action} is none of hold, release, cancel, retry")
        self._wake()
        return count

    async def suspend(self, account: str) -> int:
        """Stop an account, or a trusted client by its address: what waits is held, and so is what comes.

        :returns: how many waiting recipients were held.
        """
        await self._spool.remember(SUSPENDED + account, str(self._clock()))
        self._limits.suspended.add(account)
        return await self._spool.hold(Selector(account=account), self._clock(), "suspended")

    async def resume(self, account: str) -> int:
        """Let an account send again. What was held stays held: it may be what the account was stopped for.

        :returns: how many recipients are held.
        """
        await self._spool.remember(SUSPENDED + account, None)
        self._limits.suspended.discard(account)
        held = self.messages(Selector(account=account, state=State.HELD, reason="suspended"), 100_000)
        return sum([len(message["recipients"]) async for message in held])

    def _paused(self) -> dict[str, dict[str, Any]]:
        return {name: asdict(pause) for name, pause in self._credentials.pauses.items()}


def _selector(words: Mapping[str, Any]) -> Selector:
    """What is meant. A word that is not understood is refused: without it, the rest would mean more than was meant."""
    texts = {key: words.get(key) or "" for key in ("account", "to", "state", "reason")}
    ids = words.get("ids") or ()
    if unknown := words.keys() - {"ids", *texts}:
        raise BadRequest(f"{', '.join(sorted(unknown))}: there are ids, {', '.join(texts)}")
    if not all(isinstance(text, str) for text in texts.values()):
        raise BadRequest(f"{', '.join(texts)} are texts")
    if isinstance(ids, str) or not isinstance(ids, Sequence) or not all(isinstance(id_, str) for id_ in ids):
        raise BadRequest("ids is a list of texts")
    try:
        state = State(texts["state"]) if texts["state"] else None
    except ValueError:
        raise BadRequest(f"{texts['state']} is no state; there are {', '.join(State)}") from None
    return Selector(tuple(ids), texts["account"], texts["to"], state, texts["reason"])


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


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= MAX_LISTED):
        raise BadRequest(f"limit is a number from 1 to {MAX_LISTED}")
    return int(text)


async def _words(request: Request) -> dict[str, Any]:
    try:
        words = await request.json()
    except ValueError as error:
        raise BadRequest(f"the body is no JSON: {error}") from error
    if not isinstance(words, dict):
        raise BadRequest("the body is no JSON object")
    return words


class Control:
    """The control socket.

    :param path: where it lies in the file system.
    :param look_again: looks a domain up anew (`Watch.look_again`).
    """

    def __init__(
        self, path: Path, operator: Operator, keyring: Keyring, look_again: Callable[[str], Awaitable[Verdict]]
    ) -> None:
        self._path = path
        self._operator = operator
        self._keyring = keyring
        self._look_again = look_again
        self._server: _Server | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open it. :raises ControlError: it cannot be opened."""
        sock = _unix_socket(self._path)
        config = uvicorn.config.Config(
            self._app(),
            http=_PeerProtocol,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=LAST_ANSWERS,  # somebody may ask and never read
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[sock]))

    async def close(self) -> None:
        """Let go of it."""
        if self._server and self._task:
            self._server.should_exit = True
            await self._task
            self._path.unlink(missing_ok=True)

    def _app(self) -> Router:
        async def queue(request: Request) -> Any:
            words = dict(request.query_params)
            limit, before = _limit(words.pop("limit", "50")), words.pop("before", "")
            listed = self._operator.messages(_selector(words), limit, before)
            first = await anext(listed, None)  # what fails, fails before the answer begins
            return StreamingResponse(_array(first, listed), media_type=JSON)

        async def show(request: Request) -> Any:
            return await self._operator.show(request.path_params["id"])

        async def stats(_request: Request) -> Any:
            return await self._operator.stats()

        async def act(request: Request) -> Any:
            words = await _words(request)
            action, reason = request.path_params["action"], str(words.pop("as", None) or "")
            count = await self._operator.act(action, _selector(words), reason)
            _log_action(request, action, {**words, "as": reason, "recipients": count})
            return {"recipients": count}

        async def account(request: Request) -> Any:
            name, action = request.path_params["name"], request.path_params["action"]
            if action not in ("suspend", "resume"):
                raise BadRequest(f"{action} is neither suspend nor resume")
            count = await (self._operator.suspend(name) if action == "suspend" else self._operator.resume(name))
            _log_action(request, action, {"account": name, "recipients": count})
            return {"recipients": count}

        async def keys(_request: Request) -> Any:
            return [asdict(key) for key in await self._keyring.status()]

        async def rotate(request: Request) -> Any:
            wish = _wish(await _words(request))
            rotation = await self._keyring.rotate(wish, now_ms())
            _log_action(request, "rotate", {"domain": rotation.domain, "selector": rotation.selector})
            return asdict(rotation)

        async def domain(request: Request) -> Any:
            return Response(to_json(await self._look_again(_domain(request.path_params["name"]))), media_type=JSON)

        return Router(  # Starlette's application around it would only bring its page of errors, and 1 MB
            routes=[
                Route("/v1/queue", _json(queue)),
                Route("/v1/queue/{id}", _json(show)),
                Route("/v1/queue/{action}", _json(act), methods=["POST"]),
                Route("/v1/stats", _json(stats)),
                Route("/v1/keys", _json(keys)),
                Route("/v1/keys/rotate", _json(rotate), methods=["POST"]),
                Route("/v1/accounts/{name:path}/{action}", _json(account), methods=["POST"]),
                Route("/v1/domains/{name}/check", _json(domain), methods=["POST"]),
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


class _Server(uvicorn.server.Server):
    """Signals are the daemon's, not the web server's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _PeerProtocol(H11Protocol):
    """Puts the user who connected where a client's address stands otherwise (SO_PEERCRED, unix(7))."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        sock = transport.get_extra_info("socket")
        pid, uid, _gid = struct.unpack(
            "3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        )
        self.client = (f"uid {uid}", pid)


def _unix_socket(path: Path) -> socket.socket:
    """A listening socket at this path. A stale file is replaced, one that answers is not."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other, contextlib.suppress(OSError):
            other.connect(str(path))
            raise ControlError(f"another daemon answers on {path}")
        path.unlink(missing_ok=True)
        mask = os.umask(0o777 & ~MODE)
        try:
            sock.bind(str(path))
        finally:
            os.umask(mask)
        sock.listen()
    except OSError as error:
        sock.close()
        raise ControlError(f"[status] control: {path} cannot be opened: {error.strerror or error}") from error
    except ControlError:
        sock.close()
        raise
    return sock
