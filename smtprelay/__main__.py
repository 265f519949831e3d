"""python -m smtprelay"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """The command line's entry. Two go their own way: sendmail has its own syntax and starts once per mail, and the
    daemon stays.

    A link named sendmail is sendmail: cron and mailx start /usr/sbin/sendmail, and no word before its options.
    """
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


if __name__ == "__main__":
    main()
