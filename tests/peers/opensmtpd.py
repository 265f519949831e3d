"""An OpenSMTPD of its own, which keeps what it gets in a maildir.

Without TLS, and so without AUTH: its 6.8 does not get through a handshake with OpenSSL 3
(https://github.com/OpenSMTPD/OpenSMTPD/issues/1171), and offers AUTH over TLS only.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.debian import program
from tests.peers.program import Program

CONFIG = """\
smtp max-message-size {size}
smtp limit max-rcpt {recipients}
table everybody {{ "@" = "nobody" }}
listen on 127.0.0.1 port {port} hostname opensmtpd.test
action "keep" maildir "{folder}/maildir" virtual <everybody>
match from any for rcpt-to regex "^nobody@" reject
match from any for any action "keep"
"""
# Its places are compiled in: it sees folders of ours there, and nobody else does.
START = """\
mount --bind spool /var/spool
mount --bind lib /var/lib
mount --bind run /run
mount --bind "$2" /usr/libexec
exec "$1" -d -f smtpd.conf
"""


class OpenSMTPD(Program):
    """``async with OpenSMTPD() as server:`` send to 127.0.0.1, server.port; it refuses nobody@….

    :param size_limit: for messages, in octets.
    :param recipient_limit: for a transaction.
    """

    name = "opensmtpd"

    def __init__(self, size_limit: int = 50_000_000, recipient_limit: int = 1000) -> None:
        super().__init__()
        self._limits = {"size": size_limit, "recipients": recipient_limit}

    def _write(self) -> None:
        for name in ("spool/smtpd", "lib/opensmtpd/empty", "run", "maildir"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "spool/smtpd").chmod(0o711)
        shutil.chown(self.folder / "maildir", "nobody")
        config = CONFIG.format(**self._limits, port=self.port, folder=self.folder)
        (self.folder / "smtpd.conf").write_text(config)

    def _command(self) -> list[str]:
        path = program("smtpd")
        assert path
        libexec = Path(path).parents[1] / "libexec"
        return ["unshare", "--mount", "--wd", str(self.folder), "sh", "-ec", START, "sh", path, str(libexec)]
