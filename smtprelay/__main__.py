"""python -m smtprelay"""

from __future__ import annotations

import os
import sys


def main() -> None:
    """The command line's entry. sendmail goes its own way: it has its own syntax, and starts once per mail."""
    if sys.argv[1:2] == ["sendmail"]:
        from smtprelay.cli import sendmail

        sys.exit(sendmail.main(sys.argv[2:]))
    from click.exceptions import UsageError

    from smtprelay.cli.app import app

    try:
        sys.exit(app(standalone_mode=False))
    except UsageError as error:
        error.show()
        sys.exit(os.EX_USAGE)  # click itself would say 2


if __name__ == "__main__":
    main()
