"""What the aggregate job sends for the sections of blocks that arrive together.

judged batches of all shards ──> window deltas ──> windows
ticks of the clock ────────────> marks ───────────> windows
                        └────────> account ──────> accounts
what was read ───────────────────────┤
rejected messages ───────────────────┴──> dead-letters
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from schemas.records import encode_record
from schemas.topics import Topic
from udfs.accounts import Entry, account_message, read_entries, rejected_entries
from udfs.block_sums import sum_blocks
from udfs.clock_marks import Mark, partition_keys, tick_clocks
from udfs.dead_letters import dead_letters
from udfs.frame_bytes import read_body, split_bodies, unpack_frames
from udfs.results import Result, letter_result
from udfs.shard_blocks import marked_block
from udfs.shards import Section, SectionKind
from udfs.window_messages import window_messages
from udfs.windows import WindowPolicy


@dataclass(frozen=True)
class AggregateTopics:
    """Where the results go: names on the broker, and schema ids.

    Args:
        component: name of the job, for the dead letters.
        windows_partition_count: each gets its marks.
        telemetry: the shared topic. Tenants' own do not count: one that goes away, or that nobody
            reads for a while, must not stop the time of all.
        telemetry_partition_count: of the shared topic.
    """

    component: str
    windows: str
    windows_schema_id: int
    accounts: str
    accounts_schema_id: int
    dead_letters: str
    windows_partition_count: int = 1
    telemetry: str = Topic.TELEMETRY.value
    telemetry_partition_count: int = 1


def block_results(
    sections: Sequence[Section], policy: WindowPolicy, topics: AggregateTopics
) -> list[list[Result]]:
    """Return the messages to send, one list a section: so no list holds the letters of all.

    Windows, marks and the account, which are of all sections together, stand in the first list.

    Args:
        sections: judged batches, dead letters and what was read; at least one.
        policy: of the windows.
        topics: where the results go.
    """
    results: list[list[Result]] = []
    entries: list[Entry] = []
    for section in sections:
        sent, told = _passed_on(section, topics)
        results.append(sent)
        entries += told
    blocks = [marked_block(s.shard, s.payload) for s in sections if s.kind is SectionKind.BATCHES]
    if blocks:
        sums = sum_blocks(blocks, policy)
        entries += sums.entries
        results[0] += _windows(sums.deltas, topics)
    # After the windows: a mark says that what came before it is there.
    results[0] += _marks(sections, topics)
    if entries:
        account = account_message(entries, topics.accounts_schema_id)
        results[0].append(Result(topics.accounts, topics.component.encode(), account))
    return results


def _passed_on(section: Section, topics: AggregateTopics) -> tuple[list[Result], list[Entry]]:
    """Return what a section alone sends and what the account is told of it."""
    if section.kind is SectionKind.ACCOUNT:
        return [], read_entries(unpack_frames(section.payload)["read"])
    if section.kind is SectionKind.DEAD_LETTERS:
        letters = unpack_frames(section.payload)["letters"]
        sent = dead_letters(letters, topics.component)
        return [letter_result(topics.dead_letters, one) for one in sent], rejected_entries(letters)
    assert section.kind is SectionKind.BATCHES, f"{section.kind.name} is for other jobs"
    return [], []


def _marks(sections: Sequence[Section], topics: AggregateTopics) -> Iterator[Result]:
    """Yield what says how far telemetry is summed, one message for each partition of windows."""
    accounts = [split_bodies(s.payload) for s in sections if s.kind is SectionKind.ACCOUNT]
    clocks = tick_clocks(
        [read_body(bodies["ticks"]) for bodies in accounts if "ticks" in bodies], topics.telemetry
    )
    if not clocks:
        return
    headers = Mark(clocks, topics.telemetry_partition_count).headers()
    value = encode_record(Topic.WINDOWS, {"rows": []}, topics.windows_schema_id)
    for key in partition_keys(topics.windows_partition_count):
        yield Result(topics.windows, key, value, headers)


def _windows(deltas: pl.DataFrame, topics: AggregateTopics) -> Iterator[Result]:
    for message in window_messages(deltas, topics.windows_schema_id):
        yield Result(topics.windows, message.key, message.value)
