"""What all sessions of the gateway share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from smtprelay.accounts import Accounts
from smtprelay.config import Account, Gateway
from smtprelay.gateway.limits import ClientLimit, MemoryBudget
from smtprelay.pipeline import Accepted, Pipeline
from smtprelay.sockets import ServerTLS

if TYPE_CHECKING:
    from smtprelay.gateway.session import Session


@dataclass(slots=True)
class Services:
    """What all sessions share; the open ones, and the messages that are being stored, among it.

    :param config: may change, and so may `pipeline`: a message keeps to those that it began with.
    :param login_delay: seconds that a failed log-in takes longer each time.
    :ivar stopping: no message begins any more.
    """

    config: Gateway
    accounts: Accounts[Account]
    pipeline: Pipeline
    connections: ClientLimit
    memory: MemoryBudget
    tls: ServerTLS
    sessions: set[Session] = field(default_factory=set)
    submissions: set[asyncio.Task[Accepted]] = field(default_factory=set)
    login_delay: float = 0.0
    stopping: bool = False
