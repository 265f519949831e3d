"""One event loop for all of a process that has none: it runs in a thread of its own."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
# A forked process shares the sockets and the poll descriptor of its parent: what would close them there, were it
# collected here, is kept.
_inherited: list[object] = []


def lock() -> threading.Lock:
    """For what happens once in a process, `loop` too."""
    return _lock


def loop() -> asyncio.AbstractEventLoop:
    """The loop, which runs from the first call on. After a fork the new process has its own. Hold the `lock`."""
    global _loop
    if _loop is None:
        _loop = uvloop.new_event_loop()
        threading.Thread(target=_loop.run_forever, name="smtprelay", daemon=True).start()
    return _loop


def run(coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
    """Wait, in this thread, for what a coroutine does in the loop; whatever ends the waiting cancels it."""
    future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    try:
        return future.result()
    except BaseException:  # above all KeyboardInterrupt
        future.cancel()
        raise


def keep(inherited: object) -> None:
    """Keep what a fork has left us, and never use it."""
    _inherited.append(inherited)


def _begin_anew() -> None:
    global _lock, _loop
    _lock = threading.Lock()  # another thread of the parent may have held the old one
    _inherited.append(_loop)
    _loop = None


os.register_at_fork(after_in_child=_begin_anew)
