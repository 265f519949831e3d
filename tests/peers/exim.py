"""An Exim of its own: a server that keeps what it gets in a maildir, or a client that sends all through a smarthost."""

from __future__ import annotations

import shutil
from collections.abc import Mapping

from tests.debian import program
from tests.peers.program import Program

USER = "Debian-exim"  # compiled in

# The words in capitals are macros of Exim's, defined above it in the file.
CONFIG = """\
exim_path = EXIM_PROGRAM
spool_directory = FOLDER/spool
log_file_path = FOLDER/%s.log
primary_hostname = exim.test
keep_environment =
deliver_drop_privilege
acl_smtp_rcpt = rcpt
auth_advertise_hosts = *
smtp_accept_queue_per_connection = QUEUE_AFTER
message_size_limit = SIZE_LIMIT
recipients_max = RECIPIENT_LIMIT
.ifdef CERTIFICATE
tls_advertise_hosts = *
tls_certificate = FOLDER/CERTIFICATE
.else
tls_advertise_hosts =
.endif

begin acl
rcpt:
  require authenticated = *
          message = 5.7.0 Authentication required
  deny local_parts = nobody
       message = 5.1.1 No such user
  defer local_parts = later
       condition = ${if exists{FOLDER/later}}
       message = 4.2.1 Not now
  accept

begin routers
.ifdef SMARTHOST
all:
  driver = manualroute
  route_list = * SMARTHOST byname
  self = send
  transport = smarthost
.else
all:
  driver = accept
  transport = maildir
.endif

begin transports
maildir:
  driver = appendfile
  directory = FOLDER/maildir
  maildir_format
  user = Debian-exim
  envelope_to_add
  return_path_add
smarthost:
  driver = smtp
  hosts_require_auth = REQUIRE_AUTH
  hosts_require_tls = REQUIRE_TLS
.ifdef TRUSTED
  tls_verify_certificates = FOLDER/TRUSTED
  tls_verify_hosts = *
.endif

begin retry
* * F,1h,1s

begin authenticators
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${if and{{eq{$auth1}{USERNAME}}{eq{$auth2}{PASSWORD}}}}
  server_set_id = $auth1
  client_send = : USERNAME : PASSWORD
"""

SETTINGS = {
    "USERNAME": "news@example.com",
    "PASSWORD": "platform-secret",
    "SIZE_LIMIT": "50M",
    "RECIPIENT_LIMIT": "1000",
    "QUEUE_AFTER": "0",
    "REQUIRE_AUTH": "*",
    "REQUIRE_TLS": "",
}


class Exim(Program):
    """``async with Exim({"SMARTHOST": "127.0.0.1::2525"}) as exim: await exim.submit(…)``, or a server without that.

    As a server it demands AUTH LOGIN; it refuses nobody@…, and puts later@… off while the folder has a file ``later``.

    :param settings: the macros of `CONFIG`, beside or in place of `SETTINGS`: SMARTHOST is where all mail goes
        (``host::port``), CERTIFICATE a file with certificate and key, for STARTTLS, TRUSTED one with what the client
        trusts; REQUIRE_TLS and REQUIRE_AUTH are ``*`` or empty.
    :param files: see `Program`.
    """

    name = "exim"

    def __init__(self, settings: Mapping[str, str] | None = None, files: Mapping[str, str] | None = None) -> None:
        super().__init__(files)
        self._settings = {**SETTINGS, **(settings or {})}

    async def submit(self, content: bytes, sender: str, *recipients: str) -> None:
        """Hand a message over, as its ``sendmail`` does, and have it delivered at once.

        What the smarthost does not take yet remains in the queue: see `log`, and ``run("-q")`` for the next attempt.
        """
        await self.exim("-odf", "-oi", "-f", sender, *recipients, stdin=content)

    async def exim(self, *arguments: str, stdin: bytes = b"") -> str:
        """Exim with this configuration. :returns: what it printed."""
        return await self.run(*self._exim, *arguments, stdin=stdin)

    @property
    def _exim(self) -> list[str]:
        path = program("exim4")
        assert path
        return [path, "-C", f"{self.folder}/exim.conf"]

    def _write(self) -> None:
        spool = self.folder / "spool"  # made here: the server and a submission would race for it
        for folder in (self.folder, spool, spool / "db", spool / "input", spool / "msglog"):
            folder.mkdir(exist_ok=True)
            shutil.chown(folder, USER, USER)
        macros = {"FOLDER": str(self.folder), "EXIM_PROGRAM": self._exim[0], **self._settings}
        head = "".join(f"{name} = {value}\n" for name, value in macros.items())
        (self.folder / "exim.conf").write_text(head + CONFIG)

    async def _start(self) -> None:
        """Hand it a socket that listens already, as inetd does with ``wait``."""
        self._socket.listen(100)
        await self._spawn(self._socket.fileno())
        self._socket.close()

    def _command(self) -> list[str]:
        return [*self._exim, "-bw"]
