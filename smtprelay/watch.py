"""How the sending domains stand: told at the door at once, looked up again in the background, kept in the spool."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import replace

import structlog

from smtprelay.domains.verdict import Finding, Status, Verdict, from_json, to_json
from smtprelay.spool import SpoolError
from smtprelay.spool.facts import read_fact

log = structlog.get_logger("domains")

VERDICT = "domain/"  # prefix of the facts in the spool that are verdicts
PATIENCE = 5.0  # seconds that mail waits for DNS, from when a domain began to be looked up
STALE = 86_400_000  # milliseconds for which the last answer counts while DNS fails
AGAIN = 5_000  # milliseconds until a domain is looked up again, at the earliest; and where it does not pass, then
KEEP_EVERY = 600_000  # milliseconds after which a verdict that did not change is written again
LOOK = 2.0  # seconds between two looks at what has to be looked up without being asked for
LATELY = 60_000  # milliseconds for which what DNS has told is news
MAX_DOMAINS = 10_000  # that are known at one time
MAX_LOOKING = 50  # domains that are looked up at one time without being asked for

_TOLD = {
    Status.PASS: (logging.WARNING, "domain is set up"),
    Status.FAIL: (logging.ERROR, "domain is not set up"),
    Status.STALE: (logging.WARNING, "DNS fails: how the domain stood counts"),
    Status.TEMPORARY: (logging.ERROR, "DNS fails: mail of this domain is held until it answers"),
}


class Watch:
    """Knows how each domain stands.

    :param check: looks a domain up; its second argument asks for answers that no cache has.
    :param remember: keeps a fact in the spool (`Spool.remember`).
    :param required: the rules that decide.
    :param configured: domains that are looked up without being asked for.
    :param refusing: mail is refused where one of these rules fails.
    :param clock: Unix time in milliseconds.
    """

    def __init__(
        self,
        check: Callable[[str, bool], Awaitable[Verdict]],
        remember: Callable[[str, str | None], Awaitable[None]],
        *,
        required: Collection[str],
        configured: Iterable[str],
        refusing: bool,
        clock: Callable[[], int],
    ) -> None:
        self._check = check
        self._remember = remember
        self._clock = clock
        self._verdicts: OrderedDict[str, Verdict] = OrderedDict()  # the one that was asked for last, last
        self._kept_at: dict[str, int] = {}
        self._told: dict[str, dict[tuple[str, str], Status]] = {}  # what the log has of a domain, since this start
        self._looking: dict[str, asyncio.Task[Verdict]] = {}
        self._patience_ends: dict[str, float] = {}  # by the loop's clock, while a domain is looked up
        self.waiting: set[str] = set()  # domains that mail is held for
        self.answered: Callable[[Verdict], None] = lambda verdict: None
        self.use(required=required, configured=configured, refusing=refusing)

    def use(self, *, required: Collection[str], configured: Iterable[str], refusing: bool) -> None:
        """Go by other rules from now on. What is known by those before is looked up again before long."""
        self._required = required
        self._configured = tuple(configured)
        self._refusing = refusing
        for domain, verdict in self._verdicts.items():
            self._verdicts[domain] = replace(verdict, expires_at=0)

    def recall(self, facts: Mapping[str, str]) -> None:
        """What the last process knew.

        :param facts: `Spool.recall` of everything, or of `VERDICT`.
        """
        for key in facts:
            if key.startswith(VERDICT) and (verdict := read_fact(facts, key, from_json)):
                # It is looked up again before long: what it is good for is to stand where DNS fails now.
                self._verdicts[verdict.domain] = replace(verdict, expires_at=0)
                self._kept_at[verdict.domain] = verdict.checked_at

    def known(self, domain: str) -> Verdict | None:
        """The last verdict, if it still counts."""
        verdict = self._verdicts.get(domain)
        return verdict if verdict and self._clock() - verdict.checked_at <= STALE else None

    def standing(self) -> list[tuple[str, Verdict | None]]:
        """How the domains stand that are configured or that mail is held for, as far as they were looked up since this
        start; None where DNS has not told for too long."""
        known = [(domain, self._verdicts.get(domain)) for domain in dict.fromkeys((*self._configured, *self.waiting))]
        return [(domain, self.known(domain)) for domain, verdict in known if verdict and verdict.expires_at]

    def is_news(self, verdict: Verdict) -> bool:
        """Whether DNS told it a moment ago; neither the last process, nor before it failed."""
        return 0 <= self._clock() - verdict.checked_at <= LATELY

    async def verdict(self, domain: str) -> Verdict | None:
        """How a domain stands; None where DNS has not told yet. A message waits for DNS where nothing is known of its
        domain, or where it would be refused for what may have been mended since."""
        verdict = self.known(domain)
        if verdict:
            self._verdicts.move_to_end(domain)
            if not self._is_due(verdict):
                return verdict
        looking = self._look(domain)
        if verdict and not (self._refusing and verdict.failing(self._required)):
            return verdict
        left = self._patience_ends[domain] - asyncio.get_running_loop().time()
        await asyncio.wait([looking], timeout=max(left, 0))
        return self.known(domain)

    async def look_again(self, domain: str) -> Verdict:
        """Look a domain up now, whatever is known: somebody has mended it."""
        while running := self._looking.get(domain):
            await asyncio.wait([running])  # it may have asked before
        return await asyncio.shield(self._look(domain, fresh=True))

    async def run(self) -> None:
        """Look up what is configured, and what mail is held for, whenever it is due."""
        while True:
            for domain in self._due():
                while len(self._looking) >= MAX_LOOKING:
                    await asyncio.wait(self._looking.values(), return_when=asyncio.FIRST_COMPLETED)
                self._look(domain)
            await asyncio.sleep(LOOK)

    async def close(self) -> None:
        """Give up what is being looked up."""
        for task in (looking := list(self._looking.values())):
            task.cancel()
        await asyncio.gather(*looking, return_exceptions=True)

    def _due(self) -> list[str]:
        """What has to be looked up without being asked for; what nothing is known of first."""
        verdicts = {domain: self.known(domain) for domain in {*self._configured, *self.waiting}}
        due = {domain: v.expires_at if v else 0 for domain, v in verdicts.items() if v is None or self._is_due(v)}
        return sorted(due, key=due.__getitem__)

    def _is_due(self, verdict: Verdict) -> bool:
        return not verdict.checked_at <= self._clock() < verdict.expires_at  # the clock may have been set back

    def _look(self, domain: str, *, fresh: bool = False) -> asyncio.Task[Verdict]:
        task = self._looking.get(domain)
        if task is None:
            self._patience_ends[domain] = asyncio.get_running_loop().time() + PATIENCE
            task = self._looking[domain] = asyncio.create_task(self._look_up(domain, fresh))
            task.add_done_callback(lambda task: self._looked(domain, task))
        return task

    def _looked(self, domain: str, task: asyncio.Task[Verdict]) -> None:
        del self._looking[domain], self._patience_ends[domain]
        if not task.cancelled() and (error := task.exception()):
            log.error("looking a domain up failed within smtprelay", domain=domain, exc_info=error)

    async def _look_up(self, domain: str, fresh: bool) -> Verdict:
        before = self.known(domain)
        # What did not pass may have been mended a moment ago, and our own cache must not hide that.
        fresh = fresh or (before is not None and bool(before.failing(self._required)))
        verdict = merged(await self._check(domain, fresh), before, self._required)
        again = self._clock() + AGAIN
        verdict = replace(verdict, expires_at=max(verdict.expires_at, again) if self._passes(verdict) else again)
        self._verdicts[domain] = verdict
        self._verdicts.move_to_end(domain)
        self._tell(verdict)
        await self._keep(verdict, before)
        self.answered(verdict)
        return verdict

    def _passes(self, verdict: Verdict) -> bool:
        return all(f.status is Status.PASS for f in verdict.findings if f.rule in self._required)

    def _tell(self, verdict: Verdict) -> None:
        """What an operator has to know, once."""
        told = self._told.get(verdict.domain, {})
        self._told[verdict.domain] = {_key(finding): finding.status for finding in verdict.findings}
        for finding in verdict.findings:
            was = told.get(_key(finding), Status.PASS)
            if finding.rule in self._required and finding.status is not was:
                level, words = _TOLD[finding.status]
                more = {"publish": [record.zone_line for record in finding.publish]} if finding.publish else {}
                log.log(level, words, domain=verdict.domain, rule=finding.rule, problem=finding.problem, **more)

    async def _keep(self, verdict: Verdict, before: Verdict | None) -> None:
        """Over a restart, and not for ever: strangers could fill the disk where any domain may send."""
        changed = before is None or before.findings != verdict.findings
        try:
            if changed or verdict.checked_at - self._kept_at.get(verdict.domain, 0) >= KEEP_EVERY:
                await self._remember(VERDICT + verdict.domain, to_json(verdict))
                self._kept_at[verdict.domain] = verdict.checked_at
            while len(self._verdicts) > MAX_DOMAINS:
                gone, _ = self._verdicts.popitem(last=False)
                self._kept_at.pop(gone, None)
                self._told.pop(gone, None)
                await self._remember(VERDICT + gone, None)
        except SpoolError as error:  # a full disk, say; it is known in memory
            log.error("how a domain stands could not be recorded", domain=verdict.domain, reason=str(error))


def _key(finding: Finding) -> tuple[str, str]:
    return finding.rule, finding.selector


def merged(verdict: Verdict, before: Verdict | None, required: Collection[str]) -> Verdict:
    """Where DNS fails, its last answer stands; where that is about a rule that is required, the verdict is as old."""
    if before is None:
        return verdict
    old = {_key(finding): finding for finding in before.findings}
    findings = tuple(_last(finding, old.get(_key(finding))) for finding in verdict.findings)
    answered = all(f.status in (Status.PASS, Status.FAIL) for f in verdict.findings if f.rule in required)
    checked_at = verdict.checked_at if answered else min(before.checked_at, verdict.checked_at)
    return replace(verdict, findings=findings, checked_at=checked_at)


def _last(finding: Finding, before: Finding | None) -> Finding:
    if finding.status is not Status.TEMPORARY or before is None or before.status is Status.TEMPORARY:
        return finding
    return replace(before, status=Status.STALE) if before.passes else before
