"""The loader's loop: log -> batches -> tables, each message exactly once.

poll ──> pending batch a topic ──due──> blocks of columns ──> ledger: begun
                                                              insert (token = offset ranges)
                                                              ledger: done

While ClickHouse is away the batches that were cut wait (`batch_landing.py`); nothing is read on.
"""

from collections.abc import Mapping, Sequence

import polars as pl
import structlog

from jobs.account_metrics import MISSING_SQL, count_entries, show_missing
from jobs.arrived_messages import POLL_MIN_MESSAGES, poll_count
from jobs.batch_landing import BatchLanding, CutBatch, LoadedTopics
from jobs.loader_parts import LoaderParts
from jobs.loader_topics import LoadedTopic
from schemas.errors import Unavailable
from schemas.heartbeats import Heartbeats
from schemas.metrics import (
    LOADER_BATCHES,
    LOADER_LAG,
    LOADER_LOST,
    LOADER_ROWS,
)
from schemas.tables import TABLE_OF_TOPIC, TableSpec
from schemas.topics import Topic
from sinks.load_ledger import (
    LedgerEntry,
    TopicPlan,
    batch_ranges,
    check_positions,
    lost_count,
    plan_topic,
)
from sinks.messages import Message
from sinks.retry import CircuitOpen
from sinks.row_batch import PendingBatch
from sinks.table_rows import Rows, rows_of

log = structlog.get_logger()


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
        self._cut: list[CutBatch] = []
        self._poll_count = POLL_MIN_MESSAGES
        self._heartbeats = Heartbeats()
        self._landing = BatchLanding(
            parts,
            LoadedTopics(self._spec, self._take_number, self._read_again, self._decode),
        )

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
        self._next_numbers |= {topic: plan.next_batch_number for topic, plan in plans.items()}
        for entry in unfinished:
            self._finish(entry)
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

    @property
    def is_waiting(self) -> bool:
        """Say whether batches wait for ClickHouse, and nothing is read meanwhile."""
        return bool(self._cut)

    def step(self, now_ms: int, poll_timeout_s: float) -> int:
        """Read what has arrived and insert what is due; return the rows inserted.

        Args:
            now_ms: a clock that only rises, for the age of batches.
            poll_timeout_s: how long to wait for messages.

        Raises:
            SettingsError: ClickHouse or the broker will never do what we ask.
            RejectLimitExceeded: a table refuses too many messages.
            Unavailable: another part than ClickHouse was away for too long.
        """
        source = self._parts.source
        found = source.arrivals(self._poll_count, poll_timeout_s, self._wanted)
        self._poll_count = poll_count(found)
        for topic, arrived in found.items():
            self._pending[topic].add(arrived, now_ms)
            if self._pending[topic].has_block:
                self._decode_pending(topic)
        due = [
            topic
            for topic, batch in self._pending.items()
            if batch.is_due(
                self._topics[topic].policy, now_ms, is_all_read=source.is_all_read(topic)
            )
            and self._decode_pending(topic)
        ]
        try:
            row_count = self._load(due, now_ms)
        except CircuitOpen:
            # We go on polling, which keeps the broker content and the lag known, and get nothing.
            source.pause()
            return 0
        source.resume()
        return row_count

    def flush(self, now_ms: int) -> int:
        """Insert everything that was read; return the rows inserted.

        Raises:
            CircuitOpen: ClickHouse is away.
        """
        waited = self._load([], now_ms)
        unread = [
            topic
            for topic, batch in self._pending.items()
            if not batch.is_empty and self._decode_pending(topic)
        ]
        return waited + self._load(unread, now_ms)

    def show_lag(self) -> None:
        """Bring the lag metric up to date."""
        for topic, partitions in self._parts.source.lag().items():
            for partition, lag in partitions.items():
                self._parts.metrics.set(LOADER_LAG, lag, topic=topic, partition=str(partition))

    def show_missing(self) -> None:
        """Bring the metric of the account up to date: what is read and told nowhere.

        Raises:
            CircuitOpen: ClickHouse is away.
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
        rows = self._decode(entry.topic, self._parts.source.read_again(entry))
        batch = CutBatch(entry, rows, is_begun=True, is_tried=True)
        self._landing.land([batch])
        self._show(batch)
        log.info("finished a batch of the last run", token=entry.token)

    def _spec(self, topic: str) -> TableSpec:
        return TABLE_OF_TOPIC[self._topics[topic].kind]

    def _take_number(self, topic: str) -> int:
        number = self._next_numbers[topic]
        self._next_numbers[topic] += 1
        return number

    def _read_again(self, entry: LedgerEntry) -> list[Message]:
        """Read the messages of a batch anew, then go on where we were."""
        messages = self._parts.source.read_again(entry)
        self._parts.source.assign(
            {name: batch.positions | batch.next_offsets for name, batch in self._pending.items()}
        )
        return messages

    def _decode(self, topic: str, messages: Sequence[Message]) -> Rows:
        return self._parts.retry(lambda: self._decode_now(topic, messages))

    def _decode_now(self, topic: str, messages: Sequence[Message]) -> Rows:
        loaded, schema_of_id = self._topics[topic], self._parts.schema_of_id
        rows = rows_of(loaded.kind, messages, schema_of_id, loaded.tenant_id)
        if loaded.kind is Topic.TELEMETRY:
            self._heartbeats.learn((message.value for message in messages), schema_of_id)
        return rows

    def _wanted(self, topic: str, values: Sequence[bytes | None]) -> Sequence[int] | None:
        """Say which messages can become rows; heartbeats are no more than offsets to us."""
        is_telemetry = self._topics[topic].kind is Topic.TELEMETRY
        return self._heartbeats.wanted(values) if is_telemetry else None

    def _decode_pending(self, topic: str) -> bool:
        """Decode what was read of a topic, and return whether that could be done.

        An id that we do not know waits for the registry, and its topic with it; others go on.
        """
        batch, source = self._pending[topic], self._parts.source
        if batch.raw:
            try:
                batch.add_decoded(self._decode_now(topic, batch.raw))
            except Unavailable:
                source.hold(topic)
                return False
        source.release(topic)
        return True

    def _load(self, topics: Sequence[str], now_ms: int) -> int:
        """Insert the batches that wait or, if there are none, the pending ones of some topics.

        Raises:
            CircuitOpen: ClickHouse is away; the batches wait as they are, for the next call.
        """
        if not self._cut:
            self._cut = [self._cut_pending(topic, now_ms) for topic in topics]
        if self._cut:
            self._landing.land(self._cut)
        landed, self._cut = self._cut, []
        for batch in landed:
            self._show(batch)
        return sum(batch.row_count for batch in landed)

    def _cut_pending(self, topic: str, now_ms: int) -> CutBatch:
        """Fix the ranges of a pending batch, and begin the next one after it."""
        batch, kind = self._pending[topic], self._topics[topic].kind
        rows, ranges = batch.rows(), batch_ranges(batch.positions, batch.next_offsets)
        positions = batch.positions | batch.next_offsets
        self._pending[topic] = PendingBatch(kind, positions, opened_ms=now_ms)
        number = self._take_number(topic)
        return CutBatch(LedgerEntry(topic, number, ranges, rows.table.num_rows), rows)

    def _show(self, batch: CutBatch) -> None:
        """Bring metrics and tools up to date after a batch has landed."""
        topic = batch.entry.topic
        ends = {span.partition: span.last_offset + 1 for span in batch.entry.ranges}
        self._parts.source.show_progress({topic: ends})
        table = self._spec(topic).name
        self._parts.metrics.add(LOADER_ROWS, batch.row_count, table=table)
        self._parts.metrics.add(LOADER_BATCHES, table=table)
        if self._topics[topic].kind is Topic.ACCOUNTS:
            for rows in batch.landed:
                count_entries(self._parts.metrics, pl.DataFrame(rows.table))
