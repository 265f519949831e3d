"""systemd itself, as PID 1 of namespaces: mounts, processes, network, and a /etc and /var/lib that are thrown away."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.debian import ROOT

_BOOT = Path(__file__).parent / "boot.sh"
_NAMESPACES = ("--pid", "--fork", "--kill-child", "--mount", "--cgroup", "--uts", "--ipc", "--net")
_HIERARCHIES = ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")
_PATIENCE = 120.0  # seconds


def run_booted(folder: Path, script: str) -> str:
    """Boot, run a script of bash as root, end.

    :param folder: for the script and its output; empty.
    :returns: what it said.
    :raises AssertionError: it failed, or systemd did not even start it.
    """
    (folder / "script").write_text(f"set -e\n{script}\necho DONE\n")
    (folder / "output").touch()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with _control_group() as enter:
        seen = [str(ROOT), sys.prefix, sys.base_prefix]
        inside = ["bash", str(_BOOT), str(folder), str(folder / "script"), *dict.fromkeys(seen)]
        run = subprocess.run(
            ["bash", "-c", f'{enter}exec "$@"', "bash", "unshare", *_NAMESPACES, *inside],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PATH": path},
            timeout=_PATIENCE,
        )
    output = (folder / "output").read_text()
    assert output.endswith("DONE\n"), run.stdout + run.stderr + output
    return output.removesuffix("DONE\n")


@contextmanager
def _control_group() -> Iterator[str]:
    """One for all that runs there, in each hierarchy that systemd wants. :yields: the commands that enter it."""
    name = f"smtprelay-test-{os.getpid()}"
    made = []
    for hierarchy in map(Path, _HIERARCHIES):
        if (hierarchy / "cgroup.procs").exists():
            (hierarchy / name).mkdir()
            made.append(hierarchy / name)
    try:
        yield "".join(f"echo $$ >{group}/cgroup.procs; " for group in made)
    finally:
        for group in made:
            for below in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
                below.rmdir()
            group.rmdir()


@functools.cache
def bootable() -> bool:
    """Whether this machine allows that: it takes root, Debian's systemd, and a kernel not closed to containers."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            run_booted(Path(folder), "true")
        except (AssertionError, OSError, subprocess.TimeoutExpired):
            return False
    return True
