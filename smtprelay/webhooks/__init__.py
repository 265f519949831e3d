"""Webhooks: addresses that are told of events over HTTP."""

from smtprelay.webhooks.target import Target, Trouble, targets, wanted
from smtprelay.webhooks.telling import Webhooks

__all__ = ["Target", "Trouble", "Webhooks", "targets", "wanted"]
