"""Sends dead letters back to where they came from, once each.

    fence out any other replay -> wait for open transactions -> read all receipts
    -> read all letters: those that are meant and may be sent, in transactions of at most 500

The order matters: only when nobody else can commit any more do the receipts say all.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from jobs.dead_letters_source import DeadLetterLog
from jobs.settings import Settings
from jobs.topic_admin import topic_partition_counts
from sinks.dead_letter_replay import Hindrance, Replay, ReplayPolicy, SentBefore, hindrance
from sinks.dead_letter_replay_writer import BATCH_MAX_COUNT, ReplayWriter
from sinks.dead_letter_summary import LetterFilter, Summary, is_receipt, receipt_of, summary_of

TRANSACTIONAL_ID = "fleetpulse-dead-letters-replay"
BATCH_MAX_BYTES = 16 * 1024 * 1024
SETTLING_EXTRA_S = 30.0
"""Beyond two checkpoints, after which a running job has committed what was open."""


@dataclass(frozen=True)
class ReplayOptions:
    """How a replay goes.

    Args:
        wanted: which letters.
        limit: at most so many are sent, the oldest of each partition first; None: all.
        max_attempts: a letter that was sent again so often is parked.
        is_dry_run: only say what would be done.
    """

    wanted: LetterFilter
    limit: int | None = None
    max_attempts: int = 3
    is_dry_run: bool = False


@dataclass
class ReplayAccount:
    """What a replay did, or would do."""

    sent: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By reason and topic."""
    hindered: Counter[Hindrance] = field(default_factory=Counter)
    is_at_limit: bool = False


def replay_letters(
    settings: Settings, options: ReplayOptions, report: Callable[[str], None]
) -> ReplayAccount:
    """Send the letters that are meant, or say in a dry run which would be sent.

    Args:
        settings: where Kafka is.
        options: what to send.
        report: takes lines for a person while it goes on.

    Raises:
        SettingsError: another replay has begun meanwhile, or Kafka does not let us.
        Unavailable: Kafka does not answer, or a transaction stays open.
    """
    kafka = settings.kafka
    with contextlib.ExitStack() as exits:
        log = exits.enter_context(contextlib.closing(DeadLetterLog(kafka)))
        writer = None
        if not options.is_dry_run:
            identity = f"{kafka.topic_prefix}{TRANSACTIONAL_ID}"
            writer = ReplayWriter(kafka.bootstrap_servers, identity)
            exits.enter_context(contextlib.closing(writer))
            patience_s = 2 * settings.flink.checkpoint_interval_ms / 1000 + SETTLING_EXTRA_S
            log.wait_until_settled(patience_s, lambda: report("waiting for open transactions"))
        policy = ReplayPolicy(
            kafka.topic_prefix,
            topic_partition_counts(kafka),
            options.max_attempts,
            options.wanted.topic,
        )
        return _Run(log, policy, options).go(writer)


class _Run:
    """One pass over the letters after one over the receipts."""

    def __init__(self, log: DeadLetterLog, policy: ReplayPolicy, options: ReplayOptions) -> None:
        self._log = log
        self._policy = policy
        self._options = options
        self._sent_before = SentBefore(log.topic)
        self._account = ReplayAccount()

    def go(self, writer: ReplayWriter | None) -> ReplayAccount:
        """Send batch after batch; without a writer only count."""
        for message in self._log.messages():
            receipt = receipt_of(message)
            if receipt is not None:
                self._sent_before.add(receipt)
        for batch in self._batches():
            refused = [] if writer is None else writer.send(batch)
            for replay in batch:
                self._count(replay, is_refused=replay in refused)
        return self._account

    def _count(self, replay: Replay, *, is_refused: bool) -> None:
        if is_refused:
            self._account.hindered[Hindrance.REFUSED] += 1
        else:
            self._account.sent[replay.summary.reason, replay.summary.origin.topic] += 1

    def _batches(self) -> Iterator[list[Replay]]:
        """Yield what is to be sent, in batches that are bounded in number and in bytes."""
        batch: list[Replay] = []
        size_bytes = 0
        for replay in self._replays():
            added_bytes = replay.size_bytes
            is_full = len(batch) == BATCH_MAX_COUNT or size_bytes + added_bytes > BATCH_MAX_BYTES
            if batch and is_full:
                yield batch
                batch, size_bytes = [], 0
            batch.append(replay)
            size_bytes += added_bytes
        if batch:
            yield batch

    def _replays(self) -> Iterator[Replay]:
        count = 0
        for message in self._log.messages():
            if is_receipt(message):
                continue
            letter = summary_of(message)
            if not self._options.wanted.matches(letter):
                continue
            found = self._hindrance(letter)
            if found is not None:
                self._account.hindered[found] += 1
                continue
            if count == self._options.limit:
                self._account.is_at_limit = True
                return
            count += 1
            # Another letter of the same original may follow, even in this batch.
            replay = Replay(message, letter, self._log.topic)
            self._sent_before.add(replay.receipt)
            yield replay

    def _hindrance(self, letter: Summary) -> Hindrance | None:
        if self._sent_before.has(letter):
            return Hindrance.SENT_BEFORE
        return hindrance(letter, self._policy)
