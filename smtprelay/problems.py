"""What can be wrong: each kind of problem in its words, with what to do about it. docs/troubleshooting.md has more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from smtprelay.words import Say, Sentence, english, interval

Severity = Literal["critical", "warning"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem.

    :param key: names it in the metrics and the log.
    :param text: what is wrong.
    :param advice: what to do.
    """

    key: str
    severity: Severity
    text: Sentence
    advice: Sentence

    def of(self, about: str = "", /, **values: object) -> Problem:
        """A problem of this kind.

        :param about: tells problems of one kind apart.
        :param values: what stands in the placeholders; `problem` was told in English, and `age` and `left` are
            milliseconds.
        """
        return Problem(self, about, values)

    def advised(self, advice: Sentence | None) -> Kind:
        """The same with another advice, where there is one."""
        return replace(self, advice=advice) if advice else self


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that an operator has to know; see `Kind`."""

    kind: Kind
    about: str = ""
    values: Mapping[str, object] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return self.kind.key

    @property
    def severity(self) -> Severity:
        return self.kind.severity

    @property
    def sentence(self) -> str:
        """What is wrong, in English."""
        return self.tell(english)[0]

    @property
    def remedy(self) -> str:
        """What to do, in English."""
        return self.tell(english)[1]

    def tell(self, say: Say) -> tuple[str, str]:
        """What is wrong and what to do, in the reader's language."""
        values = {name: _told(name, value, say) for name, value in self.values.items()}
        return say(self.kind.text, **values), say(self.kind.advice, **values)


def _told(name: str, value: object, say: Say) -> object:
    match name, value:
        case "problem", str(sentence):
            return say(sentence)
        case (("age" | "left"), int(milliseconds)):
            return interval(milliseconds, say)
    return value


_ASK = Sentence(
    "Check the network and the firewall, and ask the provider; 'smtprelay check' tries it. What waits goes by its "
    "schedule once the smarthost answers; 'smtprelay queue retry --all' sends it at once."
)
SMARTHOST = Kind(
    "smarthost",
    "critical",
    Sentence("No connection to the smarthost succeeds since {since}: {words}. Mail is accepted and waits."),
    _ASK,
)
ONE_SMARTHOST = Kind(
    "smarthost",
    "warning",
    Sentence("No connection to one of the smarthosts succeeds since {since}: {words}. Mail leaves by another."),
    _ASK,
)
TLS_ADVICE = Sentence(
    "Check [upstream] tls and tls_ca_file. Where the smarthost's certificate has expired, tell the provider; until "
    "they renew it, tls = \"opportunistic\" does not look at it ('systemctl reload smtprelay')."
)
EHLO_ADVICE = Sentence("Check [gateway] hostname: the smarthost must take it at EHLO.")
CREDENTIAL = Kind(
    "credential",
    "critical",
    Sentence(
        "The smarthost refuses the log-in of credential {name} since {since}: {words}. Its mail is accepted and waits."
    ),
    Sentence(
        "Check username and password of this credential ('smtprelay check' tries the log-in), then 'systemctl reload "
        "smtprelay'. Otherwise the next log-in is tried {next}."
    ),
)
NO_CREDENTIAL = Kind(
    "no_credential",
    "critical",
    Sentence("Recipients that wait for credential {name}, which is not configured any more: {count}."),
    Sentence(
        "Give one of [[upstream.credentials]] this name, then 'systemctl reload smtprelay'; or end them with "
        "'smtprelay queue cancel'."
    ),
)
SPOOL = Kind(
    "spool",
    "critical",
    Sentence("The spool cannot be written since {since}: {words}"),
    Sentence(
        "Mend that: mail is accepted again by itself. Until then apps are told 452 or 451, and many drop their mail."
    ),
)
DAMAGED = Kind(
    "damaged",
    "critical",
    Sentence("The spool is damaged: messages that wait and can be neither read nor held: {count}. All others go."),
    Sentence(
        "Stop the daemon, then 'sqlite3 {path} .recover | sqlite3 recovered.db' with the sqlite3 of sqlite.org (Debian "
        "12's makes an empty file), and put that in the spool's place; "
        "the log names the messages."
    ),
)
SUPPRESSION = Kind(
    "suppression",
    "critical",
    Sentence("Some of the suppressed addresses cannot be looked up since {since}, and are sent to: {words}"),
    Sentence("Mend that, then 'systemctl restart smtprelay'. Mail goes on meanwhile."),
)
DISK = Kind(
    "disk",
    "critical",
    Sentence("{free} are free on the disk of {path}, less than [spool] min_free ({floor}): mail is refused with 452."),
    Sentence(
        "Free some space there, or lower [spool] min_free; mail is accepted again by itself. Many apps drop what is "
        "refused: have them send again."
    ),
)
DNS_HOLDS = Kind(
    "dns",
    "critical",
    Sentence("DNS does not tell how {domains} stands: {problem}. Mail in its name is accepted and held."),
    Sentence(
        "Check the name servers, [domain_rules] nameservers or /etc/resolv.conf: 'smtprelay domain check {domain}' "
        "asks them. What is held goes by itself once DNS answers."
    ),
)
DNS_UNKNOWN = Kind(
    "dns",
    "warning",
    Sentence("DNS does not tell how {domains} stands: {problem}. Mail in its name is sent without that."),
    Sentence("Check the name servers: 'smtprelay domain check {domain}' asks them."),
)
DNS_STALE = Kind(
    "dns",
    "warning",
    Sentence("DNS does not answer for {domains}. What it said before counts, for a day at most."),
    Sentence("Check the name servers: 'smtprelay domain check {domain}' asks them."),
)
_PUBLISH = Sentence("Publish what 'smtprelay domain check {domain}' shows: it counts as soon as DNS has it.")
NOT_SET_UP = {  # by [domain_rules] on_failure
    "reject": Kind(
        "domain", "critical", Sentence("{domain} is not set up: {problem}. Its mail is refused (550)."), _PUBLISH
    ),
    "hold": Kind("domain", "critical", Sentence("{domain} is not set up: {problem}. Its mail is held."), _PUBLISH),
    "warn": Kind(
        "domain",
        "warning",
        Sentence("{domain} is not set up: {problem}. Its mail is sent all the same, and may be lost."),
        _PUBLISH,
    ),
}
_RENEW = Sentence("Put a new one there, and its key, then 'systemctl reload smtprelay'.")
RENEWED_ADVICE = Sentence("A newer one is there: 'systemctl reload smtprelay' puts it to use.")
EXPIRED = Kind(
    "certificate",
    "critical",
    Sentence("The certificate of {section}, {path}, has expired ({at}): who verifies it does not connect."),
    _RENEW,
)
EXPIRES = Kind(
    "certificate", "warning", Sentence("The certificate of {section}, {path}, expires in {left} ({at})."), _RENEW
)
HELD = Kind(
    "held",
    "warning",
    Sentence("Recipients that are held and wait for a person: {count} ({reasons})."),
    Sentence(
        "'smtprelay queue list --state held' shows them and 'smtprelay queue why ID' what each waits for; then "
        "'smtprelay queue release' or 'smtprelay queue cancel'."
    ),
)
_LOOK = Sentence("'smtprelay queue list --state queued' shows what waits, and 'smtprelay queue why ID' why.")
OLD = Kind("old", "warning", Sentence("The oldest message in the queue has waited for {age}."), _LOOK)
STALLED = Kind(
    "stalled",
    "warning",
    Sentence("Nothing was delivered in the last ten minutes, while {count} attempts were deferred."),
    _LOOK,
)
RELOAD = Kind(
    "reload",
    "critical",
    Sentence("The new configuration is refused, and the old one stays: {words}."),
    Sentence("Mend what it says ('smtprelay check' shows all of it), then 'systemctl reload smtprelay'."),
)
WEBHOOK = Kind(
    "webhook",
    "warning",
    Sentence("The webhook {name} takes no events since {since}: {words}. They wait for it, three days at most."),
    Sentence("Check the address and who answers there; the events are told by themselves once it does."),
)
WEBHOOK_GONE = Kind(
    "webhook",
    "warning",
    Sentence(
        "The webhook {name} takes no events since {since}: {words}. It is told nothing until the next start or reload; "
        "they wait for that, three days at most."
    ),
    Sentence(
        "Where that is meant, take it out of [[webhooks]]; else see to it that it takes events again. Then 'systemctl "
        "reload smtprelay'."
    ),
)
QUOTA_LOW = Kind(
    "quota",
    "warning",
    Sentence(
        "The quota of {name} runs low: {available} recipients are left, and {reserve} of them are in reserve. Bulk "
        "mail beyond that is held; other mail goes on."
    ),
    Sentence("Buy more from the provider: what is held goes by itself, in its order, once the platform has it."),
)
QUOTA_USED_UP = Kind(
    "quota",
    "critical",
    Sentence("The quota of {name} is used up: the platform takes no more mail. All of it is accepted and waits."),
    Sentence("Buy more from the provider: what waits goes by itself once the platform has it."),
)
SERVICE_DISABLED = Kind(
    "service",
    "critical",
    Sentence("The platform has disabled the service of {name}: it takes no mail. It is accepted and waits."),
    Sentence("Ask the provider why. What waits goes by its schedule once the service is enabled."),
)
SERVICE_ENDED = Kind(
    "service",
    "critical",
    Sentence("The service of {name} at the platform ended on {day}: it takes no mail. It is accepted and waits."),
    Sentence("Renew it with the provider. What waits goes by its schedule then."),
)
SERVICE_ENDS = Kind(
    "service",
    "warning",
    Sentence("The service of {name} at the platform ends in {left} (on {day})."),
    Sentence("Renew it with the provider before that."),
)
PLATFORM_SILENT = Kind(
    "platform",
    "warning",
    Sentence(
        "The platform's HTTP API does not tell what it is asked for {name} since {since}: {problem}. Mail goes on; "
        "what was known counts."
    ),
    Sentence("Check the network, the firewall and base_url of this account; 'smtprelay check' tries it."),
)
PLATFORM_REFUSES = Kind(
    "platform",
    "warning",
    Sentence(
        "The platform's HTTP API refuses the log-in of {name} since {since}: {problem}. Mail goes on, but nobody "
        "learns what fails later."
    ),
    Sentence(
        "Check username and password of this account ('smtprelay check' tries the log-in), then 'systemctl reload "
        "smtprelay'."
    ),
)
SPAM = Kind(
    "spam",
    "warning",
    Sentence(
        "The platform judged mail of {name} as spam and did not send it (recipients since {since}: {count}). The "
        "domain's reputation suffers."
    ),
    Sentence(
        "'smtprelay suppress list --cause 5' shows to whom, and 'smtprelay queue why ID' tells it of a message. Look "
        "at what was sent and to whom, and ask the provider before more of it goes."
    ),
)
NOT_ACCEPTING = Kind(
    "stopping",
    "critical",
    Sentence("The relay starts or stops, and takes no mail."),
    Sentence("Wait; the log says what it does."),
)
