"""The clients, and what each does by itself; docs/clients.md says the same (see test_docs.py)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.debian import NODEMAILER, ROOT_USER

FOLDER = Path(__file__).parent
ALL = ("plain", "html", "attachment", "inline image", "Chinese", "20 recipients")
NO_IMAGE = ("plain", "html", "attachment", "Chinese", "20 recipients")
NO_FILES = ("plain", "html", "Chinese", "20 recipients")

FAILS = "sends nothing"


@dataclass(frozen=True)
class Client:
    """A program that sends mail, run by a script that is told host, port, user and password.

    The last five are what it does by itself: the protocol that the gateway writes into Received (RFC 3848), with the
    AUTH mechanism where it can be overheard.

    :ivar runner: what runs the script, where it does not run by itself.
    :ivar needs: programs, libraries and modules; `tests.debian` knows which package brings them.
    :ivar sends: the kinds of mail that it can build.
    :ivar mended: what the relay may mend in them.
    :ivar can_starttls: it can be told to insist on STARTTLS.
    :ivar verifies: then it verifies the certificate.
    :ivar neither: the gateway offers no STARTTLS and has no accounts; the client has no user.
    :ivar in_vain: the same, but the client has a user and a password; empty where it has no log-in.
    :ivar auth: the gateway offers AUTH.
    :ivar starttls: it offers STARTTLS and AUTH, and the client trusts its certificate; empty where it takes no notice.
    :ivar unknown_ca: the same, but the client does not know who issued the certificate.
    """

    name: str
    script: str
    runner: Sequence[str] = ()
    needs: Sequence[str] = ()
    sends: Sequence[str] = ALL
    mended: Sequence[str] = ()
    can_starttls: bool = True
    verifies: bool = True
    neither: str = "ESMTP"
    in_vain: str = FAILS
    auth: str = "ESMTPA PLAIN"
    starttls: str = ""
    unknown_ca: str = ""

    @property
    def command(self) -> list[str]:
        path = FOLDER / self.script
        return [*self.runner, path.stem if path.suffix == ".java" else str(path)]

    def by_itself(self) -> dict[str, str]:
        """What the gateway offers → what the client does."""
        offers = {
            "neither": self.neither,
            "in_vain": self.in_vain,
            "auth": self.auth,
            "starttls": self.starttls,
            "unknown_ca": self.unknown_ca,
        }
        return {offer: does for offer, does in offers.items() if does} | {"starttls": self.starttls or self.auth}


CLIENTS = (
    Client(
        "PHP mail()",
        "php_mail.php",
        ("php", "-d", "sendmail_path=smtprelay sendmail -t -i"),
        ("php",),
        mended=("Date", "Message-ID", "raw header", "8-bit body", "Bcc"),
        can_starttls=False,
        in_vain="",
        auth="ESMTP",
    ),
    Client(
        "PHPMailer",
        "phpmailer.php",
        ("php",),
        ("php", "/usr/share/php/libphp-phpmailer/autoload.php"),
        mended=("8-bit body",),
        auth="ESMTPA LOGIN",
        starttls="ESMTPSA",
        unknown_ca=FAILS,
    ),
    Client(
        "Nodemailer",
        "nodemailer.mjs",
        ("node",),
        ("node", NODEMAILER),
        in_vain="ESMTP",
        starttls="ESMTPSA",
        unknown_ca=FAILS,
    ),
    Client(
        "javax.mail",
        "JavaMail.java",
        ("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"),
        ("javac", "/usr/share/java/javax.mail.jar"),
        in_vain="ESMTP",
        auth="ESMTPA LOGIN",
    ),
    Client("Django", "django_app.py", (sys.executable,), mended=("8-bit body",)),
    Client("Flask-Mail", "flask_app.py", (sys.executable,), mended=("8-bit body",), verifies=False),
    Client(
        "curl",
        "curl.sh",
        needs=("curl",),
        mended=("Date", "Message-ID", "raw header", "8-bit body", "charset", "line ends"),
        in_vain="ESMTP",
    ),
    Client(
        "swaks",
        "swaks.sh",
        needs=("swaks",),
        sends=NO_IMAGE,
        mended=("MIME-Version", "raw header", "8-bit body", "charset"),
        verifies=False,
        auth="ESMTPA LOGIN",
    ),
    Client("msmtp", "msmtp.sh", needs=("msmtp",), mended=("raw header", "8-bit body")),
    Client("s-nail", "s-nail.sh", needs=("s-nail",), neither="SMTP"),
    Client(
        "mailx",
        "mailx.sh",
        needs=("bsd-mailx",),
        sends=NO_FILES,
        mended=("Date", "Message-ID", "raw header", "8-bit body", "Bcc"),
        can_starttls=False,
        in_vain="",
        auth="ESMTP",
    ),
    Client(
        "Net::SMTP",
        "net_smtp.pl",
        needs=("MIME::Lite", "Authen::SASL", "IO::Socket::SSL"),
        mended=("Message-ID", "raw header", "8-bit body"),
        auth="ESMTPA LOGIN",
    ),
    Client(
        "Postfix",
        "postfix_client.py",
        (sys.executable,),
        ("postfix", ROOT_USER),
        mended=("raw header", "8-bit body"),
        in_vain="ESMTP",
        starttls="ESMTPSA",
        unknown_ca="ESMTPSA",
    ),
    Client(
        "Exim",
        "exim_client.py",
        (sys.executable,),
        ("exim4", ROOT_USER),
        mended=("raw header", "8-bit body"),
        auth="ESMTPA LOGIN",
        starttls="ESMTPSA",
        unknown_ca="ESMTPSA",
    ),
    Client(
        "cron",
        "cron.sh",
        needs=("cron", ROOT_USER),
        sends=("output of a job",),
        mended=("From", "Date", "Message-ID", "8-bit body"),
        can_starttls=False,
        in_vain="",
        auth="ESMTP",
    ),
    Client(
        "sendmail -t",
        "sendmail_t.sh",
        mended=("Date", "Message-ID", "raw header", "8-bit body", "Bcc"),
        can_starttls=False,
        in_vain="",
        auth="ESMTP",
    ),
)
