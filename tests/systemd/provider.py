"""The provider, for tests in a booted system: a smarthost that puts off the first mail to ``later@…``.

Its port is in the file that is named, and what it has taken is printed: a line for each recipient.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from smtprelay.sandbox.smarthost import Rule, Smarthost
from tests.process.relay import PLATFORM


async def main() -> None:
    rule = Rule("RCPT", "451 4.7.1 Later", match="later@", times=1)
    async with Smarthost(rule, credentials=PLATFORM) as smarthost:
        Path(sys.argv[1]).write_text(str(smarthost.port))
        count = 0
        while True:
            await smarthost.wait_for(count + 1, 1000)
            for recipient in smarthost.messages[count].recipients:
                print(recipient, flush=True)
            count += 1


if __name__ == "__main__":
    asyncio.run(main())
