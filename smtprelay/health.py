"""What is wrong now: for the page, the log, /readyz, the metrics and the service manager, in the same words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from smtprelay import metrics, problems
from smtprelay.certificates import expiry, read_certificate
from smtprelay.config import Config
from smtprelay.domains.verdict import Status
from smtprelay.log import masked
from smtprelay.outcome import Phase, refuses_credential
from smtprelay.problems import Kind, Problem
from smtprelay.scheduler import Credentials, Pause
from smtprelay.spool import PASSING, Spool, State, Waiting
from smtprelay.upstream import Upstream
from smtprelay.watch import Watch
from smtprelay.words import Sentence, local_time, octets

WAITS_LONG = 4 * 3_600_000  # milliseconds
TRY_AGAIN = 60_000  # milliseconds
NAMED = 3  # domains that one sentence names

_SILENT = Sentence("it has not answered for a day")
_BY_PHASE: Mapping[str, Sentence] = {Phase.STARTTLS: problems.TLS_ADVICE, Phase.EHLO: problems.EHLO_ADVICE}


@dataclass(frozen=True, slots=True)
class Smarthosts:
    """Those of a credential, and what is known of them.

    :param places: each as ``host:port``, in order of preference.
    :param unreachable: those of them that cannot be reached.
    :param pause: None where the log-in is not refused.
    """

    credential: str
    places: tuple[str, ...]
    unreachable: tuple[str, ...]
    pause: Pause | None

    @property
    def is_open(self) -> bool:
        """Whether mail can leave, as far as is known."""
        return not self.pause and len(self.unreachable) < len(self.places)


class Health:
    """Knows what is wrong, from what the parts know already.

    :param waiting: what waits, as it was counted last.
    :param stalled: how many attempts were deferred lately, while nothing was delivered.
    :param clock: Unix time in milliseconds.
    :ivar accepting: mail is taken: neither does the daemon start nor stop.
    :ivar sources: whoever else knows of problems.
    """

    def __init__(
        self,
        config: Config,
        spool: Spool,
        upstream: Upstream,
        credentials: Credentials,
        watch: Watch,
        *,
        waiting: Callable[[], Waiting],
        stalled: Callable[[], int] = lambda: 0,
        clock: Callable[[], int],
    ) -> None:
        self._spool = spool
        self._upstream = upstream
        self._credentials = credentials
        self._watch = watch
        self._waiting = waiting
        self._stalled = stalled
        self._clock = clock
        self.accepting = False
        self.sources: list[Callable[[], Iterable[Problem]]] = []
        self.use(config)

    def use(self, config: Config) -> None:
        """Go by this configuration from now on; the certificates are those that it has put to use."""
        self._config = config
        paths = {"gateway": config.gateway.tls_certificate, "status": config.status.tls_certificate}
        self._certificates = [c for name, path in paths.items() if (c := read_certificate(name, path))]
        metrics.DISK_FLOOR.set(config.spool.min_free)
        metrics.CERTIFICATE_EXPIRY.replace({(c.section,): c.not_after / 1000 for c in self._certificates})

    def problems(self) -> list[Problem]:
        """What is wrong now; what is critical first."""
        found = (
            *self._of_spool(),
            *self._of_smarthosts(),
            *self._of_credentials(),
            *self._of_domains(),
            *self._of_certificates(),
            *self._of_queue(),
            *(problem for source in self.sources for problem in source()),
        )
        return sorted(found, key=lambda problem: problem.severity != "critical")

    def unready(self) -> list[Problem]:
        """Why no mail should be handed in now: it could not be stored, or there is no way out for any of it."""
        if not self.accepting:
            return [problems.NOT_ACCEPTING.of()]
        ways_out = self.smarthosts()
        is_cut_off = bool(ways_out) and not any(way.is_open for way in ways_out)
        blocking = {"spool", "disk"} | ({"smarthost", "credential"} if is_cut_off else set())
        return [problem for problem in self.problems() if problem.key in blocking]

    def smarthosts(self) -> list[Smarthosts]:
        """By credential; none where all mail stays here."""
        outages, pauses = self._upstream.reach.outages, self._credentials.pauses
        return [
            Smarthosts(
                name,
                tuple(way.place for way in ways),
                tuple(way.place for way in ways if way in outages),
                pauses.get(name),
            )
            for name, ways in self._upstream.ways.items()
        ]

    async def try_again(self) -> None:
        """Connect to smarthosts that could not be reached, so that it is known when they can, whether mail waits for
        them or not."""
        for name, ways in self._upstream.cut_off().items():
            last = max(self._upstream.reach.outages[way].last for way in ways)
            if name not in self._credentials.pauses and self._clock() - last >= TRY_AGAIN:
                fact = await self._upstream.probe(name)
                if refuses_credential(fact):
                    self._credentials.refused(name, str(fact))

    def _of_spool(self) -> Iterator[Problem]:
        settings, free = self._config.spool, self._spool.free()
        if fault := self._spool.fault:
            yield problems.SPOOL.of(since=local_time(fault.since), words=fault.words)
        if damaged := self._waiting().damaged:
            yield problems.DAMAGED.of(count=damaged, path=settings.path)
        if fault := self._spool.suppression_fault:
            yield problems.SUPPRESSION.of(since=local_time(fault.since), words=fault.words)
        if free < settings.min_free:
            yield problems.DISK.of(free=octets(free), path=settings.path, floor=octets(settings.min_free))

    def _of_smarthosts(self) -> Iterator[Problem]:
        needed = {way for ways in self._upstream.cut_off().values() for way in ways}
        for way, outage in self._upstream.reach.outages.items():
            kind = problems.SMARTHOST if way in needed else problems.ONE_SMARTHOST
            kind = kind.advised(_BY_PHASE.get(outage.fact.phase))
            yield kind.of(way.place, since=local_time(outage.since), words=_quoted(str(outage.fact)))

    def _of_credentials(self) -> Iterator[Problem]:
        for name, pause in self._credentials.pauses.items():
            since, until = local_time(pause.since), local_time(pause.until)
            yield problems.CREDENTIAL.of(name, name=name, since=since, words=_quoted(pause.reply), next=until)
        configured = {credential.key for credential in self._config.upstream.log_ins}
        for name, count in self._waiting().credentials.items():
            if configured and name not in configured:  # where nothing leaves, nothing waits for them
                yield problems.NO_CREDENTIAL.of(name, name=name, count=count)

    def _of_domains(self) -> Iterator[Problem]:
        rules = self._config.domain_rules
        silent: dict[str, str] = {}  # what DNS says, by domain
        stale: dict[str, str] = {}
        for domain, verdict in self._watch.standing():
            if verdict is None or (unknown := verdict.unknown(rules.require)):
                silent[domain] = unknown[0].problem if verdict else _SILENT
            elif any(f.status is Status.STALE for f in verdict.findings if f.rule in rules.require):
                stale[domain] = ""
            for finding in verdict.failing(rules.require) if verdict else ():
                kind = problems.NOT_SET_UP[rules.on_failure]
                yield kind.of(f"{domain} {finding.rule}", domain=domain, problem=finding.problem)
        if silent:
            yield _of_dns(problems.DNS_UNKNOWN if rules.on_failure == "warn" else problems.DNS_HOLDS, silent)
        if stale:
            yield _of_dns(problems.DNS_STALE, stale)

    def _of_certificates(self) -> Iterator[Problem]:
        for certificate in self._certificates:
            problem = certificate.problem(self._clock())
            if problem and expiry(certificate.path) > certificate.not_after:
                problem = replace(problem, kind=problem.kind.advised(problems.RENEWED_ADVICE))
            if problem:
                yield problem

    def _of_queue(self) -> Iterator[Problem]:
        waiting, now = self._waiting(), self._clock()
        held = {reason: count for reason, count in waiting.held.items() if reason not in PASSING}
        if held:
            yield problems.HELD.of(count=sum(held.values()), reasons=", ".join(sorted(held)))
        age = now - waiting.oldest.get(State.QUEUED, now)
        if age >= WAITS_LONG:
            yield problems.OLD.of(age=age)
        known = self._upstream.reach.outages or self._credentials.pauses
        if not known and (count := self._stalled()):
            yield problems.STALLED.of(count=count)


def _of_dns(kind: Kind, domains: Mapping[str, str]) -> Problem:
    named = ", ".join(list(domains)[:NAMED])
    if len(domains) > NAMED:
        named += f" … ({len(domains)})"
    first = next(iter(domains))
    return kind.of(domains=named, domain=first, problem=domains[first])


def _quoted(words: str) -> str:
    """The other side's words within a sentence of ours, which everybody on this machine may read."""
    return str(masked(words)).rstrip(".")
