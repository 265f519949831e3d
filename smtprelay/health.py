"""What is wrong now: for the page, the log, /readyz, the metrics and the service manager, in the same words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import structlog

from smtprelay import metrics, problems
from smtprelay.config import Config
from smtprelay.domains.verdict import Status
from smtprelay.log import masked
from smtprelay.outcome import Phase, refuses_credential
from smtprelay.problems import Kind, Problem
from smtprelay.scheduler import Credentials
from smtprelay.spool import DNS, DOMAIN, Spool, State, Waiting
from smtprelay.upstream import Upstream
from smtprelay.watch import Watch
from smtprelay.words import Sentence, interval, local_time, octets

log = structlog.get_logger("health")

EXPIRES_SOON = 14 * 86_400_000  # milliseconds
WAITS_LONG = 4 * 3_600_000  # milliseconds
TRY_AGAIN = 60_000  # milliseconds
NAMED = 3  # domains that one sentence names

_SILENT = Sentence("it has not answered for a day")
_BY_PHASE: Mapping[str, Sentence] = {Phase.STARTTLS: problems.TLS_ADVICE, Phase.EHLO: problems.EHLO_ADVICE}


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate of ours, as it is in use.

    :param section: of the configuration.
    :param not_after: when it expires; Unix time in milliseconds.
    """

    section: str
    path: Path
    not_after: int


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
        dated = [(name, path, _expiry(path)) for name, path in paths.items() if path]
        self._certificates = [Certificate(*of) for of in dated if of[-1]]
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
        blocking = {"spool", "disk"} | ({"smarthost", "credential"} if self._has_no_way_out() else set())
        return [problem for problem in self.problems() if problem.key in blocking]

    async def try_again(self) -> None:
        """Connect to smarthosts that could not be reached, so that it is known when they can, whether mail waits for
        them or not."""
        for name, ways in self._upstream.cut_off().items():
            last = max(self._upstream.reach.outages[way].last for way in ways)
            if name not in self._credentials.pauses and self._clock() - last >= TRY_AGAIN:
                fact = await self._upstream.probe(name)
                if refuses_credential(fact):
                    self._credentials.refused(name, str(fact))

    def _has_no_way_out(self) -> bool:
        log_ins = self._config.upstream.log_ins
        unable = self._upstream.cut_off().keys() | self._credentials.pauses.keys()
        return bool(log_ins) and all(credential.key in unable for credential in log_ins)

    def _of_spool(self) -> Iterator[Problem]:
        settings, free = self._config.spool, self._spool.free()
        if fault := self._spool.fault:
            yield problems.SPOOL.of(since=local_time(fault.since), words=fault.words)
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
            left = certificate.not_after - self._clock()
            if left > EXPIRES_SOON:
                continue
            kind = problems.EXPIRES if left > 0 else problems.EXPIRED
            if _expiry(certificate.path) > certificate.not_after:
                kind = kind.advised(problems.RENEWED_ADVICE)
            section = certificate.section
            at = local_time(certificate.not_after)
            yield kind.of(section, section=f"[{section}]", path=certificate.path, at=at, left=interval(left))

    def _of_queue(self) -> Iterator[Problem]:
        waiting, now = self._waiting(), self._clock()
        held = {reason: count for reason, count in waiting.held.items() if reason not in (DNS, DOMAIN)}
        if held:
            yield problems.HELD.of(count=sum(held.values()), reasons=", ".join(sorted(held)))
        age = now - waiting.oldest.get(State.QUEUED, now)
        if age >= WAITS_LONG:
            yield problems.OLD.of(age=interval(age))
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


def _expiry(path: Path) -> int:
    """Until when a certificate is valid, in Unix milliseconds; 0 where the file cannot be read."""
    try:
        return _expiry_as_of(path, path.stat().st_mtime_ns)
    except OSError:  # whoever renews it may be about to put the new one there
        return 0


@lru_cache(maxsize=8)
def _expiry_as_of(path: Path, _changed_at: int) -> int:
    """Where it expires soon, it is asked for every second. :raises OSError: it cannot be read."""
    from cryptography import x509

    try:
        return round(x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc.timestamp() * 1000)
    except ValueError as error:
        log.warning("a certificate cannot be looked at", path=str(path), reason=str(error))
        return 0
