"""The loader's loop: log -> batches -> tables, each message exactly once.

poll ──> pending batch a topic ──due──> blocks of columns ──> ledger: begun
                                                              insert (token = offset ranges)
                                                              ledger: done
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl
import structlog

from jobs.account_metrics import MISSING_SQL, count_entries, show_missing
from jobs.load_source import LoadSource
from jobs.loader_topics import LoadedTopic
from schemas.codec import SchemaOfId
from schemas.dead_letter import Origin, Original, Refusal, dead_letter
from schemas.errors import Unavailable
from schemas.metrics import (
    LOADER_BATCHES,
    LOADER_LAG,
    LOADER_LOST,
    LOADER_REJECTED,
    LOADER_ROWS,
)
from schemas.tables import TABLE_OF_TOPIC
from schemas.topics import Topic
from sinks.clickhouse_writer import ClickHouseWriter
from sinks.dead_letter_writer import DeadLetterWriter
from sinks.ledger_writer import LedgerWriter
from sinks.load_ledger import (
    LedgerEntry,
    TopicPlan,
    batch_ranges,
    check_positions,
    lost_count,
    plan_topic,
)
from sinks.messages import Message
from sinks.prometheus_endpoint import PrometheusEndpoint
from sinks.retry import Retry
from sinks.row_batch import PendingBatch
from sinks.table_rows import Rows, rows_of

POLL_MAX_MESSAGES = 50
"""Of up to 1 MiB and 5,000 rows each: one poll is what a batch may exceed its limits by."""

COMPONENT = "fleetpulse-loader"
STAGE = "VALUE_CONVERTER"

log = structlog.get_logger()


@dataclass(frozen=True)
class LoaderParts:
    """What the loader works with; each part can be replaced in a test by another real one."""

    source: LoadSource
    writer: ClickHouseWriter
    ledger: LedgerWriter
    dead_letters: DeadLetterWriter
    schema_of_id: SchemaOfId
    retry: Retry
    metrics: PrometheusEndpoint


class Loader:
    """Loads topics into their tables.

    Args:
        parts: source and sinks.
        topics: by full name.
    """

    def __init__(self, parts: LoaderParts, topics: Mapping[str, LoadedTopic]) -> None:
        self._parts = parts
        self._topics = topics
        self._pending: dict[str, PendingBatch] = {}
        self._next_numbers: dict[str, int] = {}

    def recover(self) -> int:
        """Finish what the last loader began, and place the reading where the ledger ends.

        Returns:
            how many batches were under way.

        Raises:
            SettingsError: a topic is missing, or is not the one that was loaded.
            Unavailable: a part does not answer.
        """
        partitions = self._parts.source.partitions(self._topics)
        rows = self._parts.ledger.read()
        plans = {topic: plan_topic(topic, rows) for topic in self._topics}
        starts = {topic: self._starts(topic, plans[topic], partitions[topic]) for topic in plans}
        unfinished = [plan.in_flight for plan in plans.values() if plan.in_flight is not None]
        for entry in unfinished:
            self._finish(entry)
        self._next_numbers = {topic: plan.next_batch_number for topic, plan in plans.items()}
        self._pending = {
            topic: PendingBatch(self._topics[topic].kind, positions=offsets)
            for topic, offsets in starts.items()
        }
        self._parts.source.assign(starts)
        return len(unfinished)

    def topic_names(self) -> list[str]:
        """Return the topics on the broker.

        Raises:
            Unavailable: it does not answer.
        """
        return self._parts.source.names()

    def follow(self, topics: Mapping[str, LoadedTopic], now_ms: int) -> bool:
        """Load these topics from now on, with all their partitions; return whether that is new.

        Args:
            topics: by full name.
            now_ms: a clock that only rises.

        Raises:
            SettingsError: as `recover`.
            Unavailable: as `recover`.
        """
        partitions = self._parts.source.partitions(topics)
        known = {topic: sorted(batch.positions) for topic, batch in self._pending.items()}
        if partitions == known:
            return False
        self.flush(now_ms)
        before, self._topics = self._topics, topics
        try:
            self.recover()
        except Unavailable:
            self._topics = before
            raise
        return True

    def step(self, now_ms: int, poll_timeout_s: float) -> int:
        """Read what has arrived and insert what is due; return the rows inserted.

        Args:
            now_ms: a clock that only rises, for the age of batches.
            poll_timeout_s: how long to wait for messages.
        """
        source = self._parts.source
        for topic, messages in source.poll(POLL_MAX_MESSAGES, poll_timeout_s).items():
            self._pending[topic].add(messages, now_ms)
            if self._pending[topic].has_block:
                self._decode_pending(topic)
        due = [
            topic
            for topic, batch in self._pending.items()
            if batch.is_due(
                self._topics[topic].policy, now_ms, is_all_read=source.is_all_read(topic)
            )
        ]
        return self._load(due, now_ms)

    def flush(self, now_ms: int) -> int:
        """Insert everything that was read; return the rows inserted."""
        unread = [topic for topic, batch in self._pending.items() if not batch.is_empty]
        return self._load(unread, now_ms)

    def show_lag(self) -> None:
        """Bring the lag metric up to date."""
        for topic, partitions in self._parts.source.lag().items():
            for partition, lag in partitions.items():
                self._parts.metrics.set(LOADER_LAG, lag, topic=topic, partition=str(partition))

    def show_missing(self) -> None:
        """Bring the metric of the account up to date: what is read and told nowhere.

        Raises:
            Unavailable: the engine does not answer for too long.
        """
        show_missing(self._parts.metrics, self._parts.writer.query_rows(MISSING_SQL))

    def _starts(self, topic: str, plan: TopicPlan, partitions: Sequence[int]) -> dict[int, int]:
        """Return the offset at which each partition is read on."""
        limits = self._parts.source.limits(topic, partitions)
        check_positions(topic, plan.next_offsets, {p: end for p, (_, end) in limits.items()})
        starts = {}
        for partition, (low, _) in limits.items():
            known = plan.next_offsets.get(partition)
            if known is not None and (lost := lost_count(known, low)):
                self._parts.metrics.add(LOADER_LOST, lost, topic=topic)
                log.error("retention removed messages", topic=topic, lost_count=lost)
            starts[partition] = low if known is None else max(known, low)
        return starts

    def _finish(self, entry: LedgerEntry) -> None:
        """Bring a batch that was under way to its end: the same range, the same rows."""
        messages = self._parts.source.read_again(entry)
        rows = self._decode(entry.topic, messages)
        self._send_rejected(entry.topic, rows)
        spec = TABLE_OF_TOPIC[self._topics[entry.topic].kind]
        inserted = self._parts.writer.complete(spec, entry, rows.table)
        self._count(entry.topic, rows)
        self._parts.ledger.write([entry], is_done=True)
        log.info("finished a batch of the last run", token=entry.token, inserted_rows=inserted)

    def _decode(self, topic: str, messages: Sequence[Message]) -> Rows:
        parts, loaded = self._parts, self._topics[topic]
        return parts.retry(
            lambda: rows_of(loaded.kind, messages, parts.schema_of_id, loaded.tenant_id)
        )

    def _decode_pending(self, topic: str) -> None:
        batch = self._pending[topic]
        if batch.raw:
            batch.add_decoded(self._decode(topic, batch.raw))

    def _load(self, topics: Sequence[str], now_ms: int) -> int:
        """Insert the pending batches of some topics under one pair of ledger entries."""
        if not topics:
            return 0
        for topic in topics:
            self._decode_pending(topic)
        rows = {topic: self._pending[topic].rows() for topic in topics}
        entries = {topic: self._entry(topic, rows[topic]) for topic in topics}
        self._parts.ledger.write(list(entries.values()), is_done=False)
        for topic in topics:
            self._send_rejected(topic, rows[topic])
            spec = TABLE_OF_TOPIC[self._topics[topic].kind]
            self._parts.writer.load(spec, entries[topic], rows[topic].table)
        self._parts.ledger.write(list(entries.values()), is_done=True)
        for topic in topics:
            self._advance(topic, entries[topic], now_ms)
            self._count(topic, rows[topic])
        return sum(entry.row_count for entry in entries.values())

    def _count(self, topic: str, rows: Rows) -> None:
        if self._topics[topic].kind is Topic.ACCOUNTS:
            count_entries(self._parts.metrics, pl.DataFrame(rows.table))

    def _entry(self, topic: str, rows: Rows) -> LedgerEntry:
        batch = self._pending[topic]
        ranges = batch_ranges(batch.positions, batch.next_offsets)
        return LedgerEntry(topic, self._next_numbers[topic], ranges, rows.table.num_rows)

    def _advance(self, topic: str, entry: LedgerEntry, now_ms: int) -> None:
        batch, kind = self._pending[topic], self._topics[topic].kind
        positions = batch.positions | batch.next_offsets
        self._pending[topic] = PendingBatch(kind, positions, opened_ms=now_ms)
        self._next_numbers[topic] += 1
        self._parts.source.show_progress({topic: positions})
        table = TABLE_OF_TOPIC[kind].name
        self._parts.metrics.add(LOADER_ROWS, entry.row_count, table=table)
        self._parts.metrics.add(LOADER_BATCHES, table=table)

    def _send_rejected(self, topic: str, rows: Rows) -> None:
        if not rows.rejected:
            return
        letters = [
            dead_letter(
                Origin(topic, message.partition, message.offset),
                Refusal(COMPONENT, STAGE, rejected.reason, rejected.detail),
                Original(message.key, message.value, message.headers, message.timestamp_ms),
            )
            for message, rejected in rows.rejected
        ]
        self._parts.retry(lambda: self._parts.dead_letters.send(letters))
        for _, rejected in rows.rejected:
            self._parts.metrics.add(LOADER_REJECTED, topic=topic, reason=rejected.reason.value)
        log.warning("messages went to the dead letters", topic=topic, count=len(letters))
