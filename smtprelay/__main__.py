"""python -m smtprelay"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """The command line's entry. sendmail goes its own way: it has its own syntax, and starts once per mail."""
    if sys.argv[1:2] == ["sendmail"]:
        from smtprelay.cli import sendmail

        sys.exit(sendmail.main(sys.argv[2:]))
    from smtprelay.cli.app import app

    try:
        app()
    except SystemExit as end:
        sys.exit(os.EX_USAGE if end.code == 2 else end.code)  # 2 is what typer says of bad arguments


if __name__ == "__main__":
    main()
