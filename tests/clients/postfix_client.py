"""Postfix with the gateway as its relayhost; a mail for its sendmail(1) is on its way at once."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from tests.peers.postfix import Postfix
from tests.peers.program import PATIENCE

env = os.environ
RELAYHOST = f"[{env['SMTP_HOST']}]:{env['SMTP_PORT']}"
SETTINGS = {"relayhost": RELAYHOST, "smtp_tls_security_level": "may"}  # may: so in Debian's main.cf
if env["SMTP_USER"]:
    SETTINGS |= {
        "smtp_sasl_auth_enable": "yes",
        "smtp_sasl_password_maps": "texthash:{folder}/passwords",
        "smtp_sasl_security_options": "noanonymous",
    }
if env["SMTP_STARTTLS"]:
    SETTINGS |= {
        "smtp_tls_security_level": "verify",
        "smtp_tls_CAfile": env.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt"),
    }
FILES = {"passwords": f"{RELAYHOST} {env['SMTP_USER']}:{env['SMTP_PASSWORD']}\n"}


async def main() -> int:
    # The timeout ends sooner than the test's patience, whose kill would leave Postfix's processes and its folder.
    async with Postfix(SETTINGS, FILES) as postfix, asyncio.timeout(PATIENCE):
        mail = Path(env["MAIL_FILE"]).read_bytes()
        sendmail = ["/usr/sbin/sendmail", "-C", str(postfix.folder), "-t", "-i", "-f", env["MAIL_FROM"]]
        await postfix.run(*sendmail, stdin=mail)
        while ": removed" not in (log := postfix.log()):
            if "status=deferred" in log or "status=bounced" in log:
                print(log)
                return os.EX_TEMPFAIL
            await asyncio.sleep(0.05)
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
