"""The clients, and what each does by itself. docs/clients.md says the same; test_docs.py compares the two."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.debian import NODEMAILER, ROOT_USER

FOLDER = Path(__file__).parent
ALL = ("plain", "html", "attachment", "inline image", "Chinese", "20 recipients")
NO_IMAGE = tuple(kind for kind in ALL if kind != "inline image")
NO_FILES = tuple(kind for kind in NO_IMAGE if kind != "attachment")

FAILS = "sends nothing"


@dataclass(frozen=True)
class Client:
    """A program that sends mail, run by its script.

    The last four are what it does where its script is told host, port, user and password alone: the protocol that
    the gateway writes into Received (RFC 3848), with the AUTH mechanism where it can be overheard.

    :ivar needs: programs, libraries and modules; `tests.debian` knows which package brings them.
    :ivar sends: the kinds of mail that it can build.
    :ivar neither: the gateway offers no STARTTLS and has no accounts; the client has no user.
    :ivar auth: the gateway offers AUTH.
    :ivar starttls: the gateway offers STARTTLS and AUTH, and the client trusts its certificate; empty where it takes
        no notice of STARTTLS.
    :ivar unknown_ca: the same, but the client does not know who issued the certificate.
    :ivar can_starttls: it can be told to insist on STARTTLS.
    """

    name: str
    command: Sequence[str]
    needs: Sequence[str] = ()
    sends: Sequence[str] = ALL
    neither: str = "ESMTP"
    auth: str = "ESMTPA PLAIN"
    starttls: str = ""
    unknown_ca: str = ""
    can_starttls: bool = True

    def by_itself(self, offer: str) -> str:
        """:param offer: the name of one of the last three."""
        does = {"neither": self.neither, "auth": self.auth, "starttls": self.starttls, "unknown_ca": self.unknown_ca}
        return does[offer] or self.auth


def _script(name: str) -> str:
    return str(FOLDER / name)


CLIENTS = {
    client.name: client
    for client in (
        Client(
            "PHP mail()",
            ("php", "-d", "sendmail_path=sendmail -t -i", _script("php_mail.php")),
            ("php",),
            auth="ESMTP",
            can_starttls=False,
        ),
        Client(
            "PHPMailer",
            ("php", _script("phpmailer.php")),
            ("php", "/usr/share/php/libphp-phpmailer/autoload.php"),
            auth="ESMTPA LOGIN",
            starttls="ESMTPSA",
            unknown_ca=FAILS,
        ),
        Client(
            "Nodemailer",
            ("node", _script("nodemailer.mjs")),
            ("node", NODEMAILER),
            starttls="ESMTPSA",
            unknown_ca=FAILS,
        ),
        Client(
            "javax.mail",
            ("java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "JavaMail"),
            ("javac", "/usr/share/java/javax.mail.jar"),
            auth="ESMTPA LOGIN",
        ),
        Client("Django", (sys.executable, _script("django_app.py"))),
        Client("Flask-Mail", (sys.executable, _script("flask_app.py"))),
        Client("curl", (_script("curl.sh"),), ("curl",)),
        Client("swaks", (_script("swaks.sh"),), ("swaks",), sends=NO_IMAGE, auth="ESMTPA LOGIN"),
        Client("msmtp", (_script("msmtp.sh"),), ("msmtp",)),
        Client("s-nail", (_script("s-nail.sh"),), ("s-nail",), sends=NO_IMAGE, neither="SMTP"),
        Client(
            "mailx",
            (_script("mailx.sh"),),
            ("bsd-mailx",),
            sends=NO_FILES,
            auth="ESMTP",
            can_starttls=False,
        ),
        Client(
            "Net::SMTP",
            ("perl", _script("net_smtp.pl")),
            ("MIME::Lite", "Authen::SASL", "IO::Socket::SSL"),
            auth="ESMTPA LOGIN",
        ),
        Client(
            "Postfix",
            (sys.executable, "-m", "tests.clients.postfix_client"),
            ("postfix", ROOT_USER),
            starttls="ESMTPSA",
            unknown_ca="ESMTPSA",
        ),
        Client(
            "Exim",
            (sys.executable, "-m", "tests.clients.exim_client"),
            ("exim4", ROOT_USER),
            auth="ESMTPA LOGIN",
            starttls="ESMTPSA",
            unknown_ca="ESMTPSA",
        ),
        Client(
            "cron",
            (_script("cron.sh"),),
            ("cron", ROOT_USER),
            sends=("output of a job",),
            auth="ESMTP",
            can_starttls=False,
        ),
        Client(
            "sendmail -t",
            (_script("sendmail_t.sh"),),
            auth="ESMTP",
            can_starttls=False,
        ),
    )
}
