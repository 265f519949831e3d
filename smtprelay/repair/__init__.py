"""Mends what legacy apps get wrong in a message, at the level of bytes."""

from smtprelay.repair.whole import Repaired, repair

__all__ = ["Repaired", "repair"]
