"""One request to a webhook, and the signature that shows who made it."""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
import ssl
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING

from smtprelay import __version__
from smtprelay.events import Batch
from smtprelay.webhooks.target import Target

if TYPE_CHECKING:
    import httpx

TIMEOUT = 10.0  # seconds that a webhook has to answer
MAX_ANSWER = 64 * 2**10  # octets of an answer that are read, so that the connection can be used again
_MAX_WORDS = 200  # characters: what the other side says may stand in them


async def open_client() -> httpx.AsyncClient:
    """What talks HTTP. It takes 100 ms to import, and the system's certificates as long to read."""

    def make() -> httpx.AsyncClient:
        http = import_module("httpx")
        logging.getLogger("httpx").setLevel(logging.WARNING)  # it would log whole addresses
        client: httpx.AsyncClient = http.AsyncClient(
            verify=ssl.create_default_context(),
            timeout=None,  # `post` has one
            mounts=dict.fromkeys(("all://127.0.0.1", "all://[::1]", "all://localhost")),  # never through a proxy
        )
        return client

    return await asyncio.to_thread(make)


def signed(told: Batch, timestamp: int, keys: Iterable[bytes]) -> dict[str, str]:
    """The header fields that prove where a request is from (Standard Webhooks 1.0.0, "Webhook headers").

    :param timestamp: Unix time in seconds.
    """
    content = f"{told.id}.{timestamp}.".encode() + told.body
    signatures = [base64.b64encode(hmac.digest(key, content, "sha256")).decode() for key in keys]
    return {
        "webhook-id": told.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


class NotTaken(Exception):
    """A webhook did not take what it was told; the text says how.

    :ivar status: of HTTP; 0 where no answer came.
    """

    def __init__(self, words: str, status: int = 0) -> None:
        super().__init__(words[:_MAX_WORDS])
        self.status = status


async def post(client: httpx.AsyncClient, target: Target, told: Batch, timestamp: int) -> None:
    """Tell a webhook, once.

    :param timestamp: Unix time in seconds.
    :raises NotTaken: whatever the other side does, nothing else comes of it.
    """
    headers = {"content-type": "application/json", "user-agent": f"smtprelay/{__version__}"}
    headers |= signed(told, timestamp, target.keys)
    try:
        async with (
            asyncio.timeout(TIMEOUT),
            client.stream("POST", target.url, content=told.body, headers=headers) as response,
        ):
            read = 0
            async for chunk in response.aiter_raw():
                read += len(chunk)
                if read > MAX_ANSWER:
                    break
    except TimeoutError:
        raise NotTaken(f"no answer within {TIMEOUT:g} s") from None
    except Exception as error:
        raise NotTaken(str(error) or type(error).__name__) from error
    if not response.is_success:
        raise NotTaken(f"it answers {response.status_code} {response.reason_phrase}".strip(), response.status_code)
