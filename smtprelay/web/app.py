"""What the status server answers."""

from __future__ import annotations

from functools import partial

from starlette.routing import Route, Router

from smtprelay.status import Backstage
from smtprelay.web.probes import Probes


def app(backstage: Backstage) -> Router:
    """The routes."""
    probes = Probes(backstage)
    return Router(
        routes=[
            Route("/healthz", probes.healthz),
            Route("/readyz", partial(probes.readyz, in_words=True)),
            Route("/metrics", probes.metrics),
        ]
    )
