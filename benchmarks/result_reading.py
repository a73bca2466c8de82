"""Topics of results: emptied before a run, read after it, compared with the oracle."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

import numpy as np
import polars as pl
from confluent_kafka import OFFSET_END, Consumer, TopicPartition
from confluent_kafka.admin import NewTopic

from benchmarks.prepared_log import CLOSER, KEYS, WINDOW_MS
from jobs.settings import KafkaSettings, Settings
from jobs.topic_admin import admin_client, log_ends, topic_partition_counts
from schemas.codec import decode_messages
from schemas.registry import SchemaRegistry
from schemas.topics import Topic, topic_name

READ_TIMEOUT_S = 120.0
BLOCK_MESSAGES = 500
SUM_SCALE = 2.0**50
SUM_RTOL = 1e-9
"""Floats are added in any order; all else must be equal."""


def create_topic(kafka: KafkaSettings, name: str) -> None:
    """Create a topic of results with one partition and wait until the broker shows it."""
    client = admin_client(kafka)  # it must outlive its answers
    for answer in client.create_topics([NewTopic(name, 1)]).values():
        answer.result()
    _wait(lambda: name in topic_partition_counts(kafka), f"{name} appears")


def empty_topics(settings: Settings, topics: Sequence[Topic], groups: Sequence[str]) -> None:
    """Forget what an earlier run wrote, and how far it had read."""
    kafka, client = settings.kafka, admin_client(settings.kafka)
    counts = topic_partition_counts(kafka)
    names = [topic_name(topic, kafka.topic_prefix) for topic in topics]
    ends = [TopicPartition(name, p, OFFSET_END) for name in names for p in range(counts[name])]
    for answer in client.delete_records(ends).values():
        answer.result()
    known = {group.group_id for group in client.list_consumer_groups().result().valid}
    gone = known & {f"{kafka.topic_prefix}{group}" for group in groups}
    for answer in client.delete_consumer_groups(sorted(gone)).values() if gone else ():
        answer.result()


def read_values(kafka: KafkaSettings, name: str) -> Iterator[bytes]:
    """Yield the committed values of a topic up to its present end."""
    ends = {p: end for p, end in log_ends(name, kafka).items() if end > 0}
    config = {
        "bootstrap.servers": kafka.bootstrap_servers,
        "group.id": "bench-results",
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",
    }
    give_up_at_s = time.monotonic() + READ_TIMEOUT_S
    with closing(Consumer(config)) as consumer:
        consumer.assign([TopicPartition(name, p, 0) for p in ends])
        while any(place.offset < ends[place.partition] for place in _places(consumer, name, ends)):
            assert time.monotonic() < give_up_at_s, f"{name} is not read to its end"
            for message in consumer.consume(10_000, 0.2):
                assert message.error() is None, message.error()
                if message.value() is not None:
                    yield message.value()


def _places(
    consumer: Consumer, name: str, partitions: Sequence[int] | dict[int, int]
) -> list[TopicPartition]:
    return consumer.position([TopicPartition(name, p) for p in partitions])


def json_windows(kafka: KafkaSettings, name: str) -> pl.DataFrame:
    """Return the windows that a peer sent, one JSON message each."""
    lines = b"\n".join(read_values(kafka, name))
    schema = {"device_id": pl.String, "metric": pl.String, "window_start": pl.Int64}
    schema |= {"count": pl.Float64, "sum": pl.Float64, "min": pl.Float64, "max": pl.Float64}
    return pl.read_ndjson(lines, schema=schema)


def own_windows(settings: Settings) -> pl.DataFrame:
    """Return the device windows on the topic of the aggregate job: the sum of all deltas."""
    registry = SchemaRegistry(settings.registry.url, settings.registry.timeout_s)
    name = topic_name(Topic.WINDOWS, settings.kafka.topic_prefix)
    values, parts = list(read_values(settings.kafka, name)), []
    for begin in range(0, len(values), BLOCK_MESSAGES):
        block = decode_messages(
            Topic.WINDOWS, values[begin : begin + BLOCK_MESSAGES], registry.schema_by_id
        )
        assert not block.rejected, block.rejected[0]
        is_wanted = (pl.col("scope") == "device") & (pl.col("window_ms") == WINDOW_MS)
        rows = block.items.filter(is_wanted)
        sums = pl.Series("sum", float_sums(rows["sum_fixed"]))
        parts.append(rows.select(*KEYS, "count", "min", "max").with_columns(sums))
    registry.close()
    deltas = pl.concat(parts).group_by(KEYS)
    return deltas.agg(pl.sum("count"), pl.sum("sum"), pl.min("min"), pl.max("max"))


def float_sums(fixed: pl.Series) -> np.ndarray:
    """Return the sums of 128-bit integers, little-endian, as floats."""
    words = np.frombuffer(b"".join(fixed.to_list()), np.uint64).reshape(-1, 2)
    return (words[:, 1].astype(np.int64) * 2.0**64 + words[:, 0]) / SUM_SCALE


def check_equal(windows: pl.DataFrame, oracle: pl.DataFrame, who: str) -> None:
    """Compare windows with the oracle; closers are not in it.

    Raises:
        AssertionError: a window is missing, is there twice, or says something else.
    """
    found = windows.filter(~pl.col("device_id").str.starts_with(CLOSER)).sort(KEYS)
    expected = oracle.sort(KEYS)
    assert len(found) == len(expected), f"{who}: {len(found)} windows, not {len(expected)}"
    for name in (*KEYS, "count", "min", "max"):
        same = found[name].cast(expected[name].dtype).equals(expected[name])
        assert same, f"{who}: {name} differs"
    sums = found["sum"].to_numpy(), expected["sum"].to_numpy()
    assert np.allclose(*sums, rtol=SUM_RTOL, atol=0), f"{who}: sums differ"


def _wait(is_done: Callable[[], bool], what: str) -> None:
    give_up_at_s = time.monotonic() + READ_TIMEOUT_S
    while not is_done():
        assert time.monotonic() < give_up_at_s, f"not in time: {what}"
        time.sleep(0.1)
