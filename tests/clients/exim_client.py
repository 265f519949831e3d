"""Exim with the gateway as its smarthost; its sendmail has the mail delivered before it returns."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.peers.exim import Exim
from tests.peers.program import PATIENCE

env = os.environ
SETTINGS = {
    "SMARTHOST": f"{env['SMTP_HOST']}::{env['SMTP_PORT']}",
    "REQUIRE_AUTH": "*" if env["SMTP_USER"] else "",
    "USERNAME": env["SMTP_USER"],
    "PASSWORD": env["SMTP_PASSWORD"],
}
FILES = {}
if env["SMTP_STARTTLS"]:
    SETTINGS |= {"REQUIRE_TLS": "*", "TRUSTED": "ca.pem"}
    FILES["ca.pem"] = Path(env.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")).read_text()


async def main() -> int:
    # The timeout ends sooner than the test's patience, whose kill would leave Exim's processes and its folder.
    async with Exim(SETTINGS, FILES) as exim, asyncio.timeout(PATIENCE):
        mail = Path(env["MAIL_FILE"]).read_bytes()
        await exim.exim("-odf", "-oi", "-t", "-f", env["MAIL_FROM"], stdin=mail)
        if (await exim.exim("-bpc")).strip() != "0":
            print(exim.log())
            return os.EX_TEMPFAIL
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
