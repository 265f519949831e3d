"""The way in: from the gateway's sockets through the pipeline into the spool."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from smtprelay import bounce
from smtprelay.clock import now_ms
from smtprelay.control import SUSPENDED
from smtprelay.domains.verdict import Verdict
from smtprelay.gateway.listeners import Listeners
from smtprelay.keyring import Keyring
from smtprelay.message import Message
from smtprelay.offload import Offload
from smtprelay.pipeline import Pipeline
from smtprelay.policy import Gate, Limits, Policy
from smtprelay.preparation import Preparer
from smtprelay.rendering import Rendering
from smtprelay.settings import Settings
from smtprelay.signing import Signer
from smtprelay.spool import Spool
from smtprelay.steps import Places, Steps


class WayIn:
    """What a new message goes through.

    :param facts: what the spool remembers.
    :param today: recipients accepted since midnight UTC, by `Origin.key`.
    :param verdict: how a domain stands (`Watch.verdict`).
    :param smtputf8: whether a credential's smarthost offers it, where that is known.
    :param quota: why a message has to wait for want of quota.
    :param accepted: told of each message that was stored.
    :ivar policy: like `gate`, `preparer` and `pipeline` it never changes: other settings make another one, and so do
        other keys, and a message keeps to the one that it began with.
    """

    policy: Policy
    gate: Gate
    preparer: Preparer
    pipeline: Pipeline

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        keyring: Keyring,
        facts: Mapping[str, str],
        today: Mapping[str, int],
        *,
        verdict: Callable[[str], Awaitable[Verdict | None]],
        smtputf8: Callable[[str], bool | None],
        quota: Callable[[Message], str],
        accepted: Callable[[Message], None],
    ) -> None:
        config = self._config = settings.config
        self._spool = spool
        self._keyring = keyring
        self._verdict = verdict
        self._smtputf8 = smtputf8
        self._quota = quota
        self._accepted = accepted
        suspended = {key.removeprefix(SUSPENDED) for key in facts if key.startswith(SUSPENDED)}
        self.limits = Limits(config.gateway, today, suspended, now_ms())
        self.rendering = Rendering(config.templates.directory)
        self._places = Places()
        preparer = self._new_preparer()
        self.offload = Offload(preparer)
        self._lay(preparer)
        self.listeners = Listeners(config.gateway, self.pipeline, settings.gateway_tls)

    def use(self, settings: Settings) -> None:
        """Have new messages go by other settings."""
        config = self._config = settings.config
        self.limits.use(config.gateway)
        self.rendering.use(config.templates.directory)
        self.renew()
        self.listeners.use(config.gateway, settings.gateway_tls)

    def renew(self) -> None:
        """Have new messages go by the configuration and the keys of now."""
        preparer = self._new_preparer()
        self.offload.use(preparer)
        self._lay(preparer)
        self.listeners.hand_to(self.pipeline)

    def workers(self) -> dict[str, int | None]:
        """The numbers of its processes, by what they do; None for one that does not run."""
        lanes = self.rendering
        return {"preparation": self.offload.pid, "rendering": lanes.quick.pid, "slow_rendering": lanes.slow.pid}

    async def notification(
        self, message: Message, statuses: Sequence[bounce.Status], header: bytes, body: bytes | None
    ) -> Message | str:
        """See `Pipeline.notification`."""
        return await self.pipeline.notification(message, statuses, header, body)

    def _new_preparer(self) -> Preparer:
        return Preparer(self._config, Signer(self._keyring.signing()))

    def _lay(self, preparer: Preparer) -> None:
        self.policy, self.gate, self.preparer = Policy(self._config), Gate(self._config, self._verdict), preparer
        steps = Steps(self.policy, self.gate, preparer, self.offload, self.rendering.render, self._places)
        self.pipeline = Pipeline(
            self._config,
            self.policy,
            self.gate,
            self.limits,
            self.offload,
            steps,
            preparer.signer,
            self._spool,
            quota=self._quota,
            accepted=self._accepted,
            smtputf8=self._smtputf8,
        )
