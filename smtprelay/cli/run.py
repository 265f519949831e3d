"""`smtprelay run`: the daemon, in the foreground.

It reads its own command line. What the other commands need, and what libraries import without use here, would stay in
its memory for months: typer 2 MB (argparse, half a one), and what structlog imports where it is installed: rich 3 MB,
greenlet 1 MB; zipfile's compressors, half a one.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

_M_MMAP_THRESHOLD = -3  # of malloc.h
_LARGE_BLOCK = 2**20  # octets


def main(arguments: Sequence[str]) -> None:
    """Run the relay until SIGTERM.

    :param arguments: those after ``run``.
    """
    # Who asks for a reload while it starts gets one then; until the daemon hears the signal it would end the process.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    for unused in ("rich", "greenlet", "bz2", "lzma"):
        sys.modules[unused] = None  # type: ignore[assignment]
    _give_large_blocks_back()
    faulthandler.enable()  # the watchdog's SIGABRT has each thread say where it stands
    _run(_config(arguments))


def _config(arguments: Sequence[str]) -> Path | None:
    """The configuration's file, where one is named."""
    from smtprelay.cli.configuration import CONFIG_HELP, fail

    usage = "Usage: smtprelay run [-c FILE]"
    match list(arguments):
        case []:
            return None
        case ["-c" | "--config", file]:
            return Path(file)
        case [option] if option.startswith("--config="):
            return Path(option.removeprefix("--config="))
        case [option] if option.startswith("-c") and option != "-c":
            return Path(option.removeprefix("-c"))
        case ["-h" | "--help"]:
            print(f"{usage}\n\nRun the relay until SIGTERM.\n\n  -c, --config FILE  {CONFIG_HELP}")
            sys.exit()
    return fail(os.EX_USAGE, usage)


def _give_large_blocks_back() -> None:
    """Let each be memory of its own, as glibc does until the first of them is freed: from then on it keeps blocks up to
    that size in its heaps (mallopt(3)), and a message of 25 MB, or an argon2 hash, is never given back."""
    with suppress(AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)


def _run(config: Path | None) -> None:
    import uvloop

    from smtprelay import log
    from smtprelay.cli.configuration import config_path, fail, fail_of_config
    from smtprelay.config import ConfigError
    from smtprelay.control import ControlError
    from smtprelay.daemon import Daemon
    from smtprelay.service import ServiceError
    from smtprelay.settings import read_settings
    from smtprelay.sockets import ListenError
    from smtprelay.spool import SpoolError

    read = partial(read_settings, config_path(config))
    try:
        settings = read()
        log.configure(settings.config.log)
        uvloop.run(Daemon(settings, read).run())
    except ConfigError as error:
        fail_of_config(error)
    except (ListenError, ControlError, ServiceError) as error:
        fail(os.EX_CONFIG, str(error))
    except SpoolError as error:
        fail(os.EX_TEMPFAIL, str(error))
    finally:
        _let_go_of_the_log()


def _let_go_of_the_log() -> None:
    """What could not be written is not to fail once more when the interpreter ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
