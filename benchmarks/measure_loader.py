"""What it costs to load points: from the telemetry topic to a table that answers.

    python -m benchmarks.measure_loader --out benchmarks/out/loader.json

A fleet of 100,000 devices writes some minutes of telemetry to a real broker; then the loader is
started and takes it all. CPU time of the loader's whole process, engine and merges included, from
its ready mark until the last point is readable. The rows are counted and compared with what was
sent.
"""

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import write_figures
from benchmarks.fleet import FleetPlan, SimulatedClock, build_fleet
from benchmarks.fleet_faults import FaultPlan, FaultScript
from benchmarks.fleet_messages import FleetEncoder
from benchmarks.fleet_schedule import transmissions
from benchmarks.fleet_topics import connected_producer, registered_schema_id
from benchmarks.machine import machine_facts
from jobs.local_stack import LocalStack, Part
from jobs.ports import free_port_settings
from jobs.query import run_query
from jobs.settings import Settings
from schemas.topics import Topic, topic_name

GOAL_POINTS_PER_CPU_S = 1_000_000
GOAL_BYTES_PER_POINT = 6.0
DEVICE_COUNT = 100_000
BATCH_INTERVAL_MS = 300_000
SPAN_MS = 2_000
"""Of fleet time, encoded at once."""
LOADER = "loader"
READY_TIMEOUT_S = 120.0
PATIENCE_S = 600.0
POLL_INTERVAL_S = 0.5

COUNT_SQL = "SELECT count() FROM telemetry_points"
BYTES_SQL = """
SELECT column, sum(column_data_compressed_bytes) AS bytes FROM system.parts_columns
WHERE table = 'telemetry_runs' AND active GROUP BY column ORDER BY bytes DESC"""
PARTS_SQL = "SELECT count() FROM system.parts WHERE table = 'telemetry_runs' AND active"


@dataclass(frozen=True)
class Sent:
    """What was written to the topic."""

    messages: int
    usable_points: int


def send(settings: Settings, seconds: float, seed: int) -> Sent:
    """Write some seconds of a fleet's telemetry, as fast as the broker takes it."""
    fleet = build_fleet(
        FleetPlan(device_count=DEVICE_COUNT, seed=seed, batch_interval_ms=BATCH_INTERVAL_MS)
    )
    clock = SimulatedClock(started_at_ms=int(time.time() * 1000) - int(seconds * 1000))
    schema_id = registered_schema_id(settings, Topic.TELEMETRY)
    script = FaultScript(fleet, FaultPlan())
    encoder = FleetEncoder(script, clock, schema_id)
    producer = connected_producer(settings)
    topic = topic_name(Topic.TELEMETRY, settings.kafka.topic_prefix)
    message_count = point_count = 0
    for start_ms in range(0, int(seconds * 1000), SPAN_MS):
        sent = transmissions(script, start_ms, start_ms + SPAN_MS)
        for message in encoder.messages(encoder.content(sent)):
            while True:
                try:
                    producer.produce(topic, message.value, message.key)
                    break
                except BufferError:
                    producer.poll(0.1)
            message_count += 1
            point_count += message.point_count - message.nan_count
    assert producer.flush(60) == 0, "messages were not acknowledged"
    return Sent(message_count, point_count)


def load(stack: LocalStack, sent: Sent) -> dict[str, Any]:
    """Start the loader and wait until every point is readable; return what that took."""
    stack.start_module(LOADER, "jobs.loader_service")
    stack.wait_until_ready(LOADER, timeout_s=READY_TIMEOUT_S)
    began_s, before_s = time.monotonic(), _cpu_seconds(stack)
    give_up_at_s = began_s + PATIENCE_S
    while (found := _count(stack.settings)) != sent.usable_points:
        assert found < sent.usable_points, f"{found} points of {sent.usable_points}"
        assert time.monotonic() < give_up_at_s, f"{found} points of {sent.usable_points}"
        time.sleep(POLL_INTERVAL_S)
    cpu_s, wall_s = _cpu_seconds(stack) - before_s, time.monotonic() - began_s
    columns = run_query(stack.settings, BYTES_SQL).rows()
    return {
        "points": sent.usable_points,
        "messages": sent.messages,
        "cpu_s": round(cpu_s, 2),
        "wall_s": round(wall_s, 2),
        "points_per_cpu_s": round(sent.usable_points / cpu_s),
        "parts": run_query(stack.settings, PARTS_SQL).item(),
        "bytes_per_point": round(sum(size for _, size in columns) / sent.usable_points, 2),
        "column_bytes_per_point": {
            column: round(size / sent.usable_points, 2) for column, size in columns
        },
    }


def _count(settings: Settings) -> int:
    return int(run_query(settings, COUNT_SQL).item())


def _cpu_seconds(stack: LocalStack) -> float:
    (status,) = (status for status in stack.processes() if status.name == LOADER)
    return status.cpu_seconds


def measure(seconds: float, seed: int) -> dict[str, Any]:
    """Run one measurement and return everything that belongs to it."""
    with tempfile.TemporaryDirectory(prefix="loader-") as folder:
        settings = free_port_settings(Path(folder))
        with LocalStack(settings, parts=(Part.KAFKA, Part.REGISTRY)) as stack:
            figures = load(stack, send(settings, seconds, seed))
    goal = {"points_per_cpu_s": GOAL_POINTS_PER_CPU_S, "bytes_per_point": GOAL_BYTES_PER_POINT}
    return {"machine": machine_facts(), "seed": seed, "goal": goal, **figures}


def main() -> None:
    """Measure, print, and write the figures where `--out` says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=240.0, help="of the fleet's telemetry")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    print(write_figures(measure(given.seconds, given.seed), given.out))


if __name__ == "__main__":
    main()
