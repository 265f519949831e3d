"""Postfix as it verifies mail itself, with OpenDKIM's milter."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from smtprelay.sandbox.apps import PhpSample
from tests.debian import ROOT_USER, needs
from tests.peers.smarthosts import PostfixSmarthost, arrival
from tests.process.relay import ACCOUNT, make_relay

pytestmark = [pytest.mark.slow, *(needs(what) for what in ("postfix", "saslpasswd2", "opendkim", ROOT_USER))]

CONFIG = """\
Mode v
Socket local:{folder}/milter
UMask 000
AuthservID postfix.test
TestDNSData file:{folder}/records
RequireSafeKeys no
"""


@asynccontextmanager
async def opendkim(folder: Path, records: Mapping[str, str]) -> AsyncIterator[None]:
    """OpenDKIM in the foreground, with these TXT records for DNS; its socket is ``milter``."""
    (folder / "opendkim.conf").write_text(CONFIG.format(folder=folder))
    (folder / "records").write_text("".join(f"{name} {record}\n" for name, record in records.items()))
    process = await asyncio.create_subprocess_exec("opendkim", "-f", "-x", str(folder / "opendkim.conf"))
    try:
        while not (folder / "milter").exists():
            assert process.returncode is None
            await asyncio.sleep(0.02)
        yield
    finally:
        process.kill()  # libmilter takes 5 s to see a SIGTERM
        await process.wait()


async def test_opendkim_in_postfix_lets_both_signatures_pass(tmp_path: Path) -> None:
    settings = {"smtpd_milters": "unix:{folder}/milter", "milter_default_action": "tempfail"}
    async with PostfixSmarthost(trustme.CA().issue_cert("127.0.0.1"), settings) as server:
        relay = make_relay(tmp_path, server.port, keys=["rsa", "ed25519"], timeout="30s")
        async with opendkim(server.folder, relay.records):
            await relay.start()
            try:
                sample = PhpSample(relay.endpoint, behind=True)
                await asyncio.to_thread(sample.sendmail, "b@example.org", ACCOUNT, "测试", "<h1>邮件</h1>\r\n.\r\n")
                [delivered] = await arrival(server, "b@example.org")
            finally:
                await relay.stop()
    results = delivered.message["Authentication-Results"]
    assert re.match(
        r"postfix\.test;\s+dkim=pass .* header\.a=rsa-sha256 .*\s+dkim=pass .* header\.a=ed25519-sha256 ", results
    )
