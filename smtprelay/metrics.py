"""What the relay counts. docs/metrics.md says what each figure means.

Plain objects over plain dicts, so that counting costs a fraction of a microsecond and no library stands in memory for
it: `smtprelay.web.probes` turns them into Prometheus' text when somebody asks.

A figure is counted by one thread, so none needs a lock: by the event loop's, but for those of commits, which the
spool's writer counts. A value of a label may come from outside, so each figure has a limit of series.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence

SERIES = 100  # of one figure; beyond that the first label of what is new is OTHER
OTHER = "other"
NONE = "none"  # no smarthost was reached
_LONGEST = 255  # characters of a label's value
_UNCLEAN = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")

Labels = tuple[str, ...]


class Figure:
    """What all figures have in common.

    :param name: by Prometheus' conventions, without the prefix ``smtprelay_``.
    :param help: one line.
    :param labels: their names. What comes from outside is the first one: it is what `SERIES` bounds.
    """

    kind = ""

    def __init__(self, name: str, help: str, *labels: str) -> None:  # noqa: A002 - the field's term
        self.name = f"smtprelay_{name}"
        self.help = help
        self.labels = labels


class Number(Figure):
    """A figure that is one number under each set of labels."""

    def __init__(self, name: str, help: str, *labels: str) -> None:  # noqa: A002
        super().__init__(name, help, *labels)
        self.values: dict[Labels, float] = {} if labels else {(): 0}

    def add(self, *labels: str, n: float = 1) -> None:
        """Count.

        :param labels: the values, in the order of their names.
        """
        try:
            self.values[labels] += n
        except KeyError:
            labels = room_for(labels, self.values)
            self.values[labels] = self.values.get(labels, 0) + n

    def total(self) -> float:
        """Over all labels."""
        return sum(self.values.values())


class Counter(Number):
    """A number that only grows."""

    kind = "counter"


class Gauge(Number):
    """A number that goes up and down."""

    kind = "gauge"

    def set(self, value: float, *labels: str) -> None:
        """Say what it is now."""
        self.values[labels if labels in self.values else room_for(labels, self.values)] = value

    def replace(self, values: Mapping[Labels, float]) -> None:
        """Say what it is now, for all labels: what is not named is no more."""
        self.values.clear()
        for labels, value in values.items():
            self.set(value, *labels)


class Series:
    """The observations of a histogram under the same labels.

    :ivar counts: how many fell into each bucket, beyond the last one at the end; not cumulated.
    """

    __slots__ = ("counts", "sum")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * (buckets + 1)
        self.sum = 0.0


class Histogram(Figure):
    """How values are spread.

    :param buckets: their upper bounds, in order.
    """

    kind = "histogram"

    def __init__(self, name: str, help: str, buckets: Sequence[float], *labels: str) -> None:  # noqa: A002
        super().__init__(name, help, *labels)
        self.buckets = tuple(buckets)
        self.values: dict[Labels, Series] = {} if labels else {(): Series(len(buckets))}

    def observe(self, value: float, *labels: str) -> None:
        """Count a value."""
        series = self.values.get(labels)
        if series is None:
            series = self.values.setdefault(room_for(labels, self.values), Series(len(self.buckets)))
        series.counts[bisect_left(self.buckets, value)] += 1
        series.sum += value


def room_for(labels: Labels, known: Mapping[Labels, object]) -> Labels:
    """The labels under which something new is counted."""
    labels = tuple(_UNCLEAN.sub("?", value)[:_LONGEST] for value in labels)
    if labels in known or len(known) < SERIES:
        return labels
    labels = (OTHER, *labels[1:])
    return labels if labels in known or len(known) < 2 * SERIES else (OTHER,) * len(labels)


_QUICK = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)  # seconds
_SLOW = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_WAITS = (0.05, 0.1, 0.25, 0.5, 1, 5, 30, 60, 300, 900, 3600, 14_400, 86_400)

# Mail in
ACCEPTED = Counter("accepted_messages_total", "Messages that were accepted: each is on disk.")
ACCEPTED_RECIPIENTS = Counter("accepted_recipients_total", "Recipients of the accepted messages.")
ACCEPTED_BYTES = Counter("accepted_bytes_total", "Size of the accepted messages, as they are stored.")
TAGGED = Counter("tagged_messages_total", "Accepted messages, by the tag that their app gave them.", "tag")
REFUSED = Counter("refused_total", "Commands and messages that were refused.", "phase", "reason")
ACCEPT_SECONDS = Histogram("accept_seconds", "From a message's last dot to our reply.", _QUICK)
PREPARE_SECONDS = Histogram(
    "prepare_seconds", "Repairing and signing a message, waiting for its turn included.", _QUICK
)
CLIENTS = Counter("gateway_connections_total", "Connections of clients.")
CLIENTS_OPEN = Gauge("gateway_connections", "Connections of clients that are open.")
CLIENTS_REFUSED = Counter("gateway_connections_refused_total", "Connections over the limits: told 421, or closed.")

# Mail out
DELIVERED = Counter("delivered_total", "Recipients that a smarthost has taken.", "domain", "smarthost")
DEFERRED = Counter("deferred_total", "Attempts on a recipient that will be repeated.", "domain", "smarthost")
BOUNCED = Counter("bounced_total", "Recipients that were refused or expired.", "domain", "smarthost")
AMBIGUOUS = Counter("ambiguous_total", "Attempts on a recipient of unknown result.", "domain", "smarthost")
SUPPRESSED = Counter(
    "suppressed_total", "Recipients that were refused, or ended, as their address is not to be sent to.", "cause"
)
CAPTURED = Counter("captured_total", "Recipients whose mail was kept here instead of being sent.", "domain")
ATTEMPT_SECONDS = Histogram("attempt_seconds", "An attempt, from its begin until the smarthost's last word.", _SLOW)
DELIVERY_SECONDS = Histogram("delivery_seconds", "From when a message was due until a smarthost took it.", _WAITS)
SMARTHOSTS = Counter(
    "upstream_connections_total", "Connections to smarthosts, by how far they came.", "smarthost", "result"
)
SMARTHOSTS_OPEN = Gauge("upstream_connections", "Connections to smarthosts that are open.", "state")
SMARTHOST_UP = Gauge("smarthost_up", "Whether the last connection to it came as far as AUTH.", "smarthost")
CREDENTIAL_REFUSALS = Counter("credential_refusals_total", "Log-ins that a smarthost refused.", "credential")
CREDENTIAL_PAUSED = Gauge("credential_paused", "Whether a credential was refused and its mail waits.", "credential")

# The spool
QUEUE = Gauge("queue_recipients", "Recipients that wait, by their state.", "state")
OLDEST = Gauge("queue_oldest_seconds", "Age of the oldest message that waits, by its state.", "state")
HELD = Gauge("queue_held_recipients", "Recipients that are held, by the reason.", "reason")
COMMIT_SECONDS = Histogram("commit_seconds", "A transaction of the spool, until it is on disk.", _QUICK)
COMMIT_OPERATIONS = Histogram(
    "commit_operations", "How many operations share a transaction.", (1, 2, 4, 8, 16, 32, 64, 128, 256)
)
COMMIT_FAILURES = Counter("commit_failures_total", "Transactions of the spool that could not be written.")
SPOOL_BYTES = Gauge("spool_bytes", "Size of the spool.")
DISK_FREE = Gauge("disk_free_bytes", "Bytes free on the spool's disk.")
DISK_FLOOR = Gauge("disk_floor_bytes", "[spool] min_free: below this, mail is not accepted (452).")

# Around
DNS_QUESTIONS = Counter("dns_questions_total", "Questions that DNS was asked.", "outcome")
DNS_SECONDS = Histogram("dns_seconds", "How long DNS took for an answer, or for failing.", _SLOW)
LOOP_LAG_SECONDS = Histogram("loop_lag_seconds", "How late the event loop comes to what is due.", _QUICK)
WORKERS = Gauge("worker_processes", "Processes beside the daemon: preparation, rendering, slow_rendering.", "worker")
WORKER_BYTES = Gauge("worker_resident_memory_bytes", "Resident memory of the processes beside the daemon.", "worker")
CERTIFICATE_EXPIRY = Gauge(
    "certificate_expiry_timestamp_seconds", "When our certificate expires, in Unix time.", "section"
)
RELOADS = Counter("config_reloads_total", "Reloads of the configuration.", "result")
RELOAD_SUCCESSFUL = Gauge("config_last_reload_successful", "Whether the last reload was taken.")
WEBHOOK_BACKLOG = Gauge("webhook_backlog_events", "Events that wait for their webhook.", "webhook")
WEBHOOK_DELIVERIES = Counter("webhook_deliveries_total", "Batches of events handed to a webhook.", "webhook", "result")
WEBHOOK_DROPPED = Counter("webhook_dropped_events_total", "Events that waited too long for their webhook.", "webhook")
PLATFORM_QUOTA = Gauge("platform_quota_recipients", "Recipients that an account may still send to.", "account")
PLATFORM_END = Gauge(
    "platform_service_end_timestamp_seconds", "When an account's service is over, in Unix time.", "account"
)
PLATFORM_SUCCESS = Gauge(
    "platform_last_success_timestamp_seconds",
    "When the platform last told what it was asked, in Unix time.",
    "account",
    "question",
)
PLATFORM_ERRORS = Counter(
    "platform_errors_total", "Questions that the platform did not answer as it should.", "account", "error"
)
PLATFORM_REPORTS = Counter(
    "platform_reports_total",
    "Recipients of whom the platform told that mail failed, or is not wanted.",
    "account",
    "cause",
)
PLATFORM_DIFFERENCE = Gauge(
    "platform_books_difference", "How many more recipients the platform took yesterday than we handed over.", "account"
)
PROBLEM = Gauge("problem", "What is wrong now: 1 for each problem that the page shows.", "key", "severity")
BUILD_INFO = Gauge("build_info", "The versions that run: always 1.", "version", "python")

FIGURES: tuple[Number | Histogram, ...] = tuple(
    value for value in list(globals().values()) if isinstance(value, Number | Histogram)
)
