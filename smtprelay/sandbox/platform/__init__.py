"""A stand-in for the platform's HTTP API."""

from smtprelay.sandbox.platform.quirks import Quirk
from smtprelay.sandbox.platform.server import Platform
from smtprelay.sandbox.platform.state import State

__all__ = ["Platform", "Quirk", "State"]
