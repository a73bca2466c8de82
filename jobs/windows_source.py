"""What the jobs that read `windows` have in common: rows and controls, by shard of the subject.

windows -> decode block -> split by shard ─┐
├─> elements of each shard
control -> decode block -> to each shard  ─┘
"""

from dataclasses import dataclass

from pyflink.common import Types
from pyflink.datastream import DataStream, KeyedStream
from pyflink.table import StreamTableEnvironment

from jobs.settings import Settings
from jobs.telemetry_source import containers, create_raw_source
from schemas.topics import Topic
from udfs.decode_function import BlockUse
from udfs.split_operator import SpreadContainer, element_type, is_for_shards, split_container


@dataclass(frozen=True)
class WindowStreams:
    """The streams of one job.

    Args:
        sections: (shard, kind, payload), by shard.
        raw: the streams in which messages wait for their block, for `hold_blocks`.
    """

    sections: KeyedStream
    raw: list[DataStream]


def window_streams(
    tables: StreamTableEnvironment, settings: Settings, job_name: str, use: BlockUse
) -> WindowStreams:
    """Return what a job reads.

    Args:
        tables: environment of the job.
        settings: of the whole engine.
        job_name: names the group of readers.
        use: how the job takes rows of `windows`.
    """
    windows = _blocks(tables, settings, job_name, (Topic.WINDOWS, use))
    control = _blocks(tables, settings, job_name, (Topic.CONTROL, BlockUse.CONTROLS))
    deltas = windows.flat_map(split_container, output_type=element_type()).uid("split-windows")
    spread = SpreadContainer(settings.flink.shard_count)
    controls = control.flat_map(spread, output_type=element_type()).uid("split-controls")
    both = controls.filter(is_for_shards).union(deltas)
    sections = both.key_by(lambda element: element[0], key_type=Types.INT())
    return WindowStreams(sections, [windows, control])


def _blocks(
    tables: StreamTableEnvironment, settings: Settings, job_name: str, read: tuple[Topic, BlockUse]
) -> DataStream:
    topic, use = read
    source = create_raw_source(tables, settings, topic, job_name)
    return containers(tables, settings, source, use)


def lag_after_ms(settings: Settings) -> int | None:
    """Return how far a job that reads `windows` may be behind; None for logs of the past.

    Windows are seen when a checkpoint has committed them: so far behind is no backlog.
    """
    if settings.kafka.clock != "log":
        return None
    return round(settings.offline.lag_after_s * 1000) + settings.flink.checkpoint_interval_ms
