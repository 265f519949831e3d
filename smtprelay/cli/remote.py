"""What the commands ask of the relay: of the running daemon over its control socket, or, where none runs, of the
spool itself (`smtprelay.cli.offline`)."""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode

from smtprelay.cli.configuration import config_path, fail, fail_of_config
from smtprelay.config import Config, ConfigError
from smtprelay.config_file import read_config, read_control
from smtprelay.control_values import MESSAGE, Done
from smtprelay.spool import Query, Selector, Suppression
from smtprelay.suppression_list import Entry, page_by_page

if TYPE_CHECKING:
    from smtprelay.keyring import KeyState, Wish

PATIENCE = 10.0  # seconds that the daemon has where we can do without it


class Relay(Protocol):
    """`smtprelay.control.Operator` and `smtprelay.keyring.Keyring`, for callers without an event loop."""

    def list(self, query: Query, limit: int, before: str) -> list[dict[str, Any]]: ...

    def show(self, message_id: str) -> dict[str, Any]: ...

    def source(self, message_id: str) -> bytes: ...

    def stats(self) -> dict[str, Any]: ...

    def act(self, action: str, selector: Selector, reason: str) -> Done: ...

    def account(self, name: str, action: str) -> int: ...

    def rotate(self, wish: Wish) -> dict[str, Any]: ...

    def keys(self) -> Sequence[dict[str, Any]]: ...

    def suppressions(self, cause: str, text: str, after: str, limit: int) -> Iterator[Suppression]:
        """Read page by page."""
        ...

    def suppression_count(self) -> dict[str, int]: ...

    def suppress(self, slices: Iterable[Sequence[Entry]]) -> Iterator[int]:
        """How many of each slice were new or changed, when they are on the disk."""
        ...

    def unsuppress(self, slices: Iterable[Sequence[str]]) -> Iterator[Sequence[str]]:
        """Which of each slice are not on the list, when the others are off it on the disk."""
        ...


class Daemon(Protocol):
    """What only a running daemon can do."""

    def sync(self) -> Sequence[dict[str, Any]]:
        """See `PlatformAccounts.sync`."""
        ...

    def books(self, day: str) -> Sequence[dict[str, Any]]:
        """See `PlatformAccounts.books`. :param day: ``""``: yesterday."""
        ...

    def reload(self) -> Sequence[str]:
        """See `Reload.now`."""
        ...


def connect(option: Path | None) -> Relay:
    """The running daemon, or the spool where none runs.

    A daemon that runs is reached though its configuration has errors meanwhile.

    :param option: the configuration's file, where it is named.
    """
    file = config_path(option)
    try:
        config = read_config(file)
    except ConfigError as error:
        return _despite(error, file)
    if relay := running(config.status.control):
        return relay
    # The spool, the resolver and the keys take half of a command's time, and no command needs them beside a daemon.
    from smtprelay.cli.offline import Offline

    return Offline(config)


def daemon(config: Config) -> Daemon:
    """The running daemon, or the end of the program."""
    path = config.status.control
    return running(path) or fail(os.EX_TEMPFAIL, f"No daemon answers on {path}: start it, and try again.")


def _despite(error: ConfigError, file: Path) -> Relay:
    try:
        relay = running(read_control(file))
    except ConfigError:
        way_out = "A daemon that runs is reached by '-c' and a file that says no more than where: [status] control."
        fail(os.EX_CONFIG, f"{error}\n{way_out}")
    if relay is None:
        fail_of_config(error)
    words = "cannot be used as a whole ('smtprelay check' tells why); the daemon that runs keeps to what it has read"
    print(f"{file} {words}.", file=sys.stderr)
    return relay


def running(path: Path) -> _Running | None:
    """The running daemon, if one runs.

    :param path: of its control socket.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.connect(str(path))
    except PermissionError:
        fail(os.EX_NOPERM, f"{path} is closed to you: become root, or join the group that owns it.")
    except OSError:
        return None
    return _Running(path)


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout: float | None = None) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def look_again(path: Path, domain: str) -> None:
    """Have the daemon look a domain up now. In silence where none runs, or where it does not let us."""
    _ask_quietly(path, "POST", f"/v1/domains/{quote(domain, safe='')}/check")


def key_states(path: Path) -> dict[tuple[str, str], KeyState]:
    """By domain and selector, what the daemon does with its keys; nothing where none runs, or where it does not let
    us."""
    from smtprelay.keyring import KeyState  # those who ask have it; it would bring the resolver to all others

    keys = _ask_quietly(path, "GET", "/v1/keys") or []
    return {(key["domain"], key["selector"]): KeyState(key["state"]) for key in keys}


def _ask_quietly(path: Path, method: str, target: str) -> Any:
    """The daemon's answer; None where there is none."""
    connection = _Connection(path, PATIENCE)
    try:
        connection.request(method, target)
        response = connection.getresponse()
        return json.loads(response.read()) if response.status == 200 else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


class _Running:
    def __init__(self, path: Path) -> None:
        self._path = path

    def _ask(self, method: str, target: str, words: dict[str, Any] | None = None) -> Any:
        connection = _Connection(self._path)
        try:
            body = json.dumps(words) if words is not None else None
            connection.request(method, target, body, {"Content-Type": "application/json"} if body else {})
            response = connection.getresponse()
            octets = response.read()
            answer: Any = octets if response.getheader("Content-Type") == MESSAGE else json.loads(octets)
        except (OSError, http.client.HTTPException, ValueError) as error:
            fail(os.EX_TEMPFAIL, f"The daemon behind {self._path} does not answer: {error}.")
        finally:
            connection.close()
        if response.status == 503:
            fail(os.EX_TEMPFAIL, str(answer["error"]))
        if response.status != 200:
            fail(os.EX_USAGE, str(answer.get("error", f"The daemon answers {response.status}.")))
        return answer

    def list(self, query: Query, limit: int, before: str) -> list[dict[str, Any]]:
        words = {key: value for key, value in asdict(query).items() if value}
        result: list[dict[str, Any]] = self._ask(
            "GET", "/v1/queue?" + urlencode({**words, "limit": limit, "before": before})
        )
        return result

    def show(self, message_id: str) -> dict[str, Any]:
        result: dict[str, Any] = self._ask("GET", "/v1/queue/" + quote(message_id, safe=""))
        return result

    def source(self, message_id: str) -> bytes:
        result: bytes = self._ask("GET", f"/v1/queue/{quote(message_id, safe='')}/source")
        return result

    def stats(self) -> dict[str, Any]:
        result: dict[str, Any] = self._ask("GET", "/v1/stats")
        return result

    def act(self, action: str, selector: Selector, reason: str) -> Done:
        given = {key: value for key, value in asdict(selector).items() if value not in ("", (), None)}
        answer = self._ask("POST", f"/v1/queue/{action}", {**given, "as": reason})
        return Done(answer["recipients"], tuple(answer["undone"]))

    def account(self, name: str, action: str) -> int:
        return int(self._ask("POST", f"/v1/accounts/{quote(name, safe='')}/{action}", {})["recipients"])

    def rotate(self, wish: Wish) -> dict[str, Any]:
        result: dict[str, Any] = self._ask("POST", "/v1/keys/rotate", asdict(wish))
        return result

    def keys(self) -> Sequence[dict[str, Any]]:
        result: Sequence[dict[str, Any]] = self._ask("GET", "/v1/keys")
        return result

    def sync(self) -> Sequence[dict[str, Any]]:
        result: Sequence[dict[str, Any]] = self._ask("POST", "/v1/platform/sync")
        return result

    def books(self, day: str) -> Sequence[dict[str, Any]]:
        result: Sequence[dict[str, Any]] = self._ask("GET", f"/v1/platform/books?{urlencode({'date': day})}")
        return result

    def reload(self) -> Sequence[str]:
        result: Sequence[str] = self._ask("POST", "/v1/reload")["problems"]
        return result

    def suppressions(self, cause: str, text: str, after: str, limit: int) -> Iterator[Suppression]:
        def page(after: str, limit: int) -> Sequence[Suppression]:
            words = {"cause": cause, "text": text, "after": after, "limit": limit}
            return [Suppression(**entry) for entry in self._ask("GET", "/v1/suppressions?" + urlencode(words))]

        return page_by_page(page, after, limit)

    def suppression_count(self) -> dict[str, int]:
        result: dict[str, int] = self._ask("GET", "/v1/suppressions/count")
        return result

    def suppress(self, slices: Iterable[Sequence[Entry]]) -> Iterator[int]:
        for entries in slices:
            answer = self._ask("POST", "/v1/suppressions/add", {"entries": [entry.words() for entry in entries]})
            yield int(answer["changed"])

    def unsuppress(self, slices: Iterable[Sequence[str]]) -> Iterator[Sequence[str]]:
        for addresses in slices:
            yield self._ask("POST", "/v1/suppressions/remove", {"addresses": addresses})["unknown"]
