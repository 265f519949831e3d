"""Asynchronous DNS: absent is not the same as failed."""

from __future__ import annotations

from smtprelay.resolver.answers import MX, TXT, Absent, Answer, Failed, Found, Lookup
from smtprelay.resolver.stub import Resolver

__all__ = ["MX", "TXT", "Absent", "Answer", "Failed", "Found", "Lookup", "Resolver"]
