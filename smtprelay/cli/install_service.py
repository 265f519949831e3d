"""`smtprelay install-service`: the units of systemd, its user and its folders, for this installation."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from smtprelay.cli.common import JsonOption, print_json
from smtprelay.cli.configuration import DEFAULT_CONFIG, fail
from smtprelay.packaged import packaged

SERVICE, SOCKETS = "smtprelay.service", "smtprelay-*.socket"
_UNITS = "etc/systemd/system"
_EXECUTABLE = "/usr/bin/smtprelay"  # in the unit as it is packaged
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - from the service, by ProtectHome, PrivateTmp


@dataclass(frozen=True, slots=True)
class _File:
    """A file that belongs somewhere, and what lies there now.

    :param found: None where nothing does.
    """

    path: Path
    text: str
    found: str | None

    @property
    def state(self) -> str:
        if self.found is None:
            return "new"
        return "unchanged" if self.found == self.text else "differs"

    @property
    def difference(self) -> str:
        """From what is there to what belongs there."""
        there, here = (self.found or "").splitlines(keepends=True), self.text.splitlines(keepends=True)
        name = str(self.path)
        return "".join(difflib.unified_diff(there, here, name if self.found is not None else "/dev/null", name))


def install_service(
    write: Annotated[bool, typer.Option("--write", help="Write the files; without it they are only shown.")] = False,
    sockets: Annotated[
        bool, typer.Option("--sockets", help="Also sockets for ports 25, 587 and 465, which systemd opens.")
    ] = False,
    root: Annotated[Path, typer.Option(metavar="DIR", help="Write below this folder, to build a package.")] = Path("/"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that differ.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show, or write, the systemd units for this installation, and say what to do then."""
    files = list(_files(root, sockets=sockets))
    if write:
        _refuse_changed(files, force=force)
        for file in files:
            _write(file)
    here = root == Path("/")  # not for a package, which is installed on other machines
    steps = list(_steps(sockets=sockets)) if here else []
    if as_json:
        listed = [{"path": str(file.path), "state": file.state, "text": file.text} for file in files]
        print_json({"written": write, "files": listed, "next": [f"{what}: {how}" for what, how in steps]})
    else:
        typer.echo("\n".join(_as_text(files, steps, written=write)))
    for path in _hidden() if here else ():
        typer.echo(
            f"{path} is hidden from the service, which will not start: install Python and smtprelay in /opt, say.",
            err=True,
        )


def _files(root: Path, *, sockets: bool) -> Iterator[_File]:
    source = packaged("systemd")
    chosen = [source / SERVICE, *(sorted(source.glob(SOCKETS)) if sockets else ())]
    places = [(unit, _UNITS) for unit in chosen]
    places += [(conf, f"etc/{conf.parent.name}") for conf in sorted(source.glob("*.d/*.conf"))]
    for file, folder in places:
        path = root / folder / file.name
        text = file.read_text(encoding="utf-8").replace(_EXECUTABLE, _as_word(_executable()))
        yield _File(path, text, path.read_text(encoding="utf-8", errors="replace") if path.exists() else None)


def _executable() -> Path:
    """This installation's command: beside its interpreter, be that of a virtual environment or the system's."""
    return Path(sys.executable).parent / "smtprelay"


def _as_word(path: Path) -> str:
    """As it stands in ExecStart=: a lone "%" begins a specifier (systemd.unit(5)), and a space ends a word without
    quotes (systemd.syntax(7))."""
    if re.search(r"[\x00-\x1f\x7f'\"\\]", str(path)):
        words = "systemd starts nothing that has quotes, backslashes or control characters in its path"
        fail(os.EX_CONFIG, f"{words}, as {path} has: install smtprelay in /opt, say.")
    word = str(path).replace("%", "%%")
    return f'"{word}"' if " " in word else word


def _hidden() -> list[Path]:
    """What the service needs and will not see: a virtual environment needs its interpreter's files too."""
    needed = [_executable(), Path(sys.base_prefix)]
    return [path for path in needed if any(path.is_relative_to(folder) for folder in _HIDDEN)]


def _refuse_changed(files: Sequence[_File], *, force: bool) -> None:
    """All or none is written: units of two versions may not go together."""
    if (changed := [file for file in files if file.state == "differs"]) and not force:
        typer.echo("\n".join(file.difference for file in changed))
        names = ", ".join(str(file.path) for file in changed)
        fail(
            os.EX_CANTCREAT,
            f"Nothing was written: {names} would change, as shown. Keep changes of yours in a drop-in "
            "('systemctl edit smtprelay'), then write with --force.",
        )


def _write(file: _File) -> None:
    if file.state == "unchanged":
        return
    partial = file.path.with_name(f".{file.path.name}.partial")
    try:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(file.text, encoding="utf-8")
        partial.chmod(0o644)
        partial.replace(file.path)
    except OSError as error:
        fail(os.EX_CANTCREAT, f"{file.path} cannot be written: {error.strerror}. Do this as root.")


def _steps(*, sockets: bool) -> Iterator[tuple[str, str]]:
    """What is to be done, and how."""
    create = "systemd-tmpfiles --create smtprelay.conf"
    yield "make the user", "systemd-sysusers smtprelay.conf"
    yield "make the folders", create
    if not DEFAULT_CONFIG.exists():
        password = "/var/lib/smtprelay/platform.password"
        yield (
            "write the provider's password, Enter, Ctrl-D",
            f"install -o smtprelay -g smtprelay -m 400 /dev/stdin {password}",
        )
        yield "write a configuration", f"smtprelay init YOUR-DOMAIN --password-file {password}"
    yield "give keys and passwords to the daemon's user", create
    yield "have systemd read the units", "systemctl daemon-reload"
    if sockets:
        yield "listen on them, in the configuration", '[gateway] listen = ["fd:smtp", "fd:submission"]'
        yield "and with tls_certificate and tls_key", '[gateway] listen_tls = ["fd:submissions"]'
        names = " ".join(path.name for path in sorted(packaged("systemd").glob(SOCKETS)))
        yield "stop what would hold the ports", "systemctl stop smtprelay.service"
        yield "open the ports, without those that the configuration leaves out", f"systemctl enable --now {names}"
    yield "start it", "systemctl enable --now smtprelay.service"
    yield "see how it is", "systemctl status smtprelay; smtprelay check"


def _as_text(files: Sequence[_File], steps: Sequence[tuple[str, str]], *, written: bool) -> Iterator[str]:
    for file in files:
        state = "written" if written and file.state != "unchanged" else file.state
        yield f"{state:<9} {file.path}"
    if not written and (differences := list(filter(None, (file.difference for file in files)))):
        for difference in differences:
            yield f"\n{difference}".removesuffix("\n")
        yield "\nNothing was written: smtprelay install-service --write does that."
    if not steps:
        yield f"\nThe service starts {_executable()}: the package has to bring it there."
        return
    yield "\nThen:"
    width = max(len(what) for what, _ in steps)
    for number, (what, how) in enumerate(steps, 1):
        yield f"{number:>2}. {what + ':':<{width + 1}}  {how}"
