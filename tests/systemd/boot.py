"""systemd itself, as PID 1 of namespaces: mounts, processes, network, and a /etc and /var/lib that are thrown away."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.debian import ROOT

_BOOT = Path(__file__).parent / "boot.sh"
_NAMESPACES = ("--pid", "--fork", "--kill-child", "--mount", "--cgroup", "--uts", "--ipc", "--net")
_HIERARCHIES = ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup")
_PATIENCE = 300.0  # seconds


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
            _remove(group)


def _remove(group: Path) -> None:
    """With all that systemd has made below it, which ends a moment after systemd."""
    for _ in range(100):
        with suppress(OSError):
            for path, _folders, _files in os.walk(group, topdown=False):
                Path(path).rmdir()
            return
        time.sleep(0.05)
    raise AssertionError(f"{group} is still in use")


def bootable() -> bool:
    """Whether this machine allows that: it takes root, Debian's systemd, and a kernel that is open to containers."""
    entering = ["unshare", *_NAMESPACES, "mount", "-t", "proc", "proc", "/proc"]
    return (
        os.geteuid() == 0
        and Path("/lib/systemd/systemd").exists()
        and any(os.access(f"{hierarchy}/cgroup.procs", os.W_OK) for hierarchy in _HIERARCHIES)
        and subprocess.run(entering, capture_output=True, check=False).returncode == 0
    )
