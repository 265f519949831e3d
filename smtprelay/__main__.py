"""python -m smtprelay"""

from __future__ import annotations

import os
import sys

_INTERRUPTED = 130  # 128 and the number of SIGINT, as shells have it


def main() -> None:
    """The command line's entry. Two go their own way: sendmail has its own syntax and starts once per mail, and the
    daemon stays.

    A link named sendmail is sendmail: cron and mailx start /usr/sbin/sendmail, and no word before its options.
    """
    _fill_standard_descriptors()
    name, *arguments = sys.argv
    by_name = os.path.basename(name) == "sendmail"  # noqa: PTH119 - pathlib would cost each mail its import
    if by_name or arguments[:1] == ["sendmail"]:
        from smtprelay.cli import sendmail

        sys.exit(sendmail.main(arguments if by_name else arguments[1:]))
    try:
        if arguments[:1] == ["run"]:
            from smtprelay.cli import run

            run.main(arguments[1:])
        else:
            from smtprelay.cli.app import app

            app()
    except SystemExit as end:
        sys.exit(os.EX_USAGE if end.code == 2 else end.code)  # 2 is what typer and argparse say of bad arguments
    except KeyboardInterrupt:  # while modules are imported; typer ends so for Ctrl-C too
        sys.exit(_INTERRUPTED)


def _fill_standard_descriptors() -> None:
    """Where one was closed, as by a service manager (`<&-`), a socket would take its number, and libuv, which keeps
    from closing these three, would abort the process."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free


if __name__ == "__main__":
    main()
