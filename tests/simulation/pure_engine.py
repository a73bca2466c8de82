"""The pure aggregation of all shards, as the job chains it: bytes in, bytes out."""

from collections import Counter

import numpy as np

from schemas.codec import decode_messages
from schemas.records import schema_of
from schemas.topics import Topic
from tests.oracle.windows_oracle import AccountKey, WindowKey, WindowRow
from tests.pure_chain import Shards
from tests.simulation.long_log import SCHEMA_ID, Message
from udfs.block_results import AggregateTopics, block_results
from udfs.duplicates import SeenState
from udfs.shards import pack_sections, split_sections
from udfs.telemetry_blocks import (
    RawBlock,
    account_section,
    batch_sections,
    dead_letter_section,
    decode_telemetry,
)
from udfs.windows import WindowPolicy

TOPICS = AggregateTopics(
    component="fleetpulse-aggregate",
    windows="windows",
    windows_schema_id=SCHEMA_ID,
    accounts="accounts",
    accounts_schema_id=SCHEMA_ID,
    dead_letters="dead-letters",
)
COUNTS = ("count", "nan_count", "out_of_range_count", "skewed_count", "duplicate_count")


class PureEngine:
    """Keeps what the job's operators keep, and adds up what they send.

    State and results are stored together, as the job's transactions do it.
    """

    def __init__(self, shard_count: int) -> None:
        self.shard_count = shard_count
        self.shards = Shards()
        self._stored: dict[int, SeenState] = {}
        self._sent: list[bytes] = []
        self._told: list[bytes] = []
        self.windows: dict[WindowKey, WindowRow] = {}
        self.account: Counter[AccountKey] = Counter()

    def commit(self) -> None:
        """Store the state as bytes, and let the readers see what was sent."""
        self.shards.restart()
        self._stored = dict(self.shards.states)
        self._add(self._sent)
        rows = decode_messages(Topic.ACCOUNTS, self._told, lambda _: schema_of(Topic.ACCOUNTS))
        for *key, count in rows.items.select(
            "topic", "partition", "unit", "outcome", "reason", "count"
        ).iter_rows():
            self.account[tuple(key)] += count
        self._sent, self._told = [], []

    def crash(self) -> None:
        """Lose all since the last commit; the log must be read again from there."""
        self.shards = Shards(dict(self._stored))
        self._sent, self._told = [], []

    def feed(self, block: list[Message]) -> None:
        """Read one block of messages."""
        raw = raw_block(block)
        decoded = decode_telemetry(raw, "", lambda _: schema_of(Topic.TELEMETRY))
        sections = batch_sections(raw, decoded, self.shard_count)
        sections += [*dead_letter_section(raw, decoded), account_section(raw, decoded)]
        judged = self.shards.judged(split_sections(pack_sections(sections)))
        for results in block_results(judged, WindowPolicy(), TOPICS):
            for result in results:
                kept = {TOPICS.windows: self._sent, TOPICS.accounts: self._told}
                if result.topic in kept:
                    kept[result.topic].append(result.value)

    def _add(self, sent: list[bytes]) -> None:
        if not sent:
            return
        deltas = decode_messages(Topic.WINDOWS, sent, lambda _: schema_of(Topic.WINDOWS)).items
        keys = zip(*(deltas[name].to_list() for name in WindowKey._fields), strict=True)
        histograms = deltas["histogram"].struct
        names = ("sum_fixed", "sum_sq_fixed", "min", "max", *COUNTS)
        measures = zip(*(deltas[name].to_list() for name in names), strict=True)
        bins = zip(
            histograms.field("bins").to_list(), histograms.field("counts").to_list(), strict=True
        )
        for key, (total, square, least, most, *counts), histogram in zip(
            keys, measures, bins, strict=True
        ):
            row = self.windows.setdefault(WindowKey(*key), WindowRow())
            row.sum_fixed += int.from_bytes(total, "little", signed=True)
            row.sum_sq_fixed += int.from_bytes(square, "little", signed=True)
            row.min, row.max = min(row.min, least), max(row.max, most)
            for bin_index, bin_count in zip(*histogram, strict=True):
                row.histogram[bin_index] += bin_count
            for name, count in zip(COUNTS, counts, strict=True):
                if count:
                    setattr(row, name, getattr(row, name) + count)


def raw_block(block: list[Message]) -> RawBlock:
    """Return messages as the source gives them."""
    return RawBlock(
        topics=[message.topic for message in block],
        keys=[b"key"] * len(block),
        values=[message.value for message in block],
        append_time_ms=np.array([message.append_time_ms for message in block], np.int64),
        partitions=np.array([message.partition for message in block], np.int32),
        offsets=np.array([message.offset for message in block], np.int64),
    )
