"""The sending domains: their rules, what DNS says, what to publish, and the keys."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.responses import RedirectResponse, Response

from smtprelay.domains.verdict import Finding, Record, Status, Verdict, rule_name
from smtprelay.keyring import KeyStatus
from smtprelay.web.access import Visit
from smtprelay.web.site import NO_PAGE, Site
from smtprelay.words import Sentence

PATIENCE = 0.2  # seconds for DNS: the page does not wait for it
FRESH = 60.0  # seconds for which an answer that came too late for one page is there for the next
LOOK = 2.0  # seconds for DNS where somebody had a domain looked up

_ASKED = Sentence("DNS was asked about {domain}.")


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as the page shows it. :param title: its name."""

    title: str
    finding: Finding
    required: bool

    @property
    def standing(self) -> str:
        """``ok``, ``unknown``, ``failed``, or ``advice`` where nothing depends on it."""
        if self.finding.passes:
            return "ok"
        if self.finding.status is Status.TEMPORARY:
            return "unknown"
        return "failed" if self.required else "advice"


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain as the page shows it.

    :param verdict: None where DNS has not told yet.
    :param keys: None where DNS takes long to tell of them.
    """

    name: str
    verdict: Verdict | None
    rules: Sequence[Rule]
    keys: Sequence[KeyStatus] | None

    @property
    def standing(self) -> str:
        """The worst of what is required."""
        standings = {rule.standing for rule in self.rules if rule.required}
        return next((s for s in ("failed", "unknown") if s in standings), "ok" if self.verdict else "unknown")


class Domains:
    """Their page."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._asking: asyncio.Task[list[KeyStatus]] | None = None
        self._asked_at = 0.0  # monotonic

    async def page(self, visit: Visit) -> Response:
        """GET."""
        config, watch = self._site.backstage.config, self._site.backstage.watch
        keys = await self._keys()
        shown = [self._domain(d.name, watch.known(d.name), keys) for d in config.domains]
        return self._site.page(visit, "domains.html", domains=shown, rules=config.domain_rules, record=_record)

    async def look_again(self, visit: Visit) -> Response:
        """POST: ask DNS now."""
        name = visit.request.path_params["name"]
        if name not in {domain.name for domain in self._site.backstage.config.domains}:
            raise NO_PAGE
        looking = asyncio.ensure_future(self._site.backstage.watch.look_again(name))
        await asyncio.wait([looking], timeout=LOOK)
        if visit.session:
            visit.session.notice = visit.words.say(_ASKED, domain=name)
        return RedirectResponse(f"/domains#{name}", 303)

    def _domain(self, name: str, verdict: Verdict | None, keys: Mapping[str, Sequence[KeyStatus]] | None) -> Domain:
        settings = self._site.backstage.config.domain_rules
        rules = [
            Rule(rule_name(finding, settings), finding, finding.rule in settings.require)
            for finding in (verdict.findings if verdict else ())
        ]
        return Domain(name, verdict, rules, keys.get(name, ()) if keys is not None else None)

    async def _keys(self) -> Mapping[str, Sequence[KeyStatus]] | None:
        """By domain. DNS is asked of them anew; where it takes long, the answer is there when somebody soon asks
        again."""
        if self._asking is None or time.monotonic() - self._asked_at > FRESH:
            self._asked_at = time.monotonic()
            self._asking = asyncio.create_task(self._site.backstage.keyring.status())
        await asyncio.wait([self._asking], timeout=PATIENCE)
        if not self._asking.done():
            return None
        asked, self._asking = self._asking, None
        by_domain: defaultdict[str, list[KeyStatus]] = defaultdict(list)
        for key in asked.result():
            by_domain[key.domain].append(key)
        return by_domain


def _record(key: KeyStatus) -> Record:
    return Record(key.name, "TXT", key.value)
