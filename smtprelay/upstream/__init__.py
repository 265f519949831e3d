"""Pooled, authenticated connections to the smarthost. They report facts and judge nothing."""

from smtprelay.upstream.connection import Progress
from smtprelay.upstream.pool import Report, Upstream

__all__ = ["Progress", "Report", "Upstream"]
