"""Pooled, authenticated connections to the smarthost. They report facts and judge nothing."""

from smtprelay.upstream.connection import Progress
from smtprelay.upstream.lane import Lane, lanes
from smtprelay.upstream.pool import Report, Upstream
from smtprelay.upstream.rate import Rates

__all__ = ["Lane", "Progress", "Rates", "Report", "Upstream", "lanes"]
