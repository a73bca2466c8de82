"""How many points a CPU-second decodes to columns, and what a bad message costs.

    python -m benchmarks.measure_codec --out benchmarks/out/codec.json

Every contestant gets the same messages, in turns, and the points that came out are counted. CPU
time of the process, not wall time: the machine may be shared. Ratios are safer than figures.
"""

import argparse
import io
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastavro
import polars as pl

from benchmarks.figures import write_figures
from benchmarks.machine import machine_facts
from schemas.careful_reader import CHUNK_MAX_MESSAGES
from schemas.codec import decode_messages
from schemas.records import WIRE_HEADER_BYTES, decode_record, encode_record, schema_of
from schemas.topics import Topic

SCHEMA_ID = 1
MESSAGE_COUNT = 10_000
POINTS_PER_MESSAGE = 50
MESSAGE_KINDS = 500
"""Different messages; the block repeats them, which no contestant takes advantage of."""
ROUND_COUNT = 7
METRICS = ("cpu_usage_ratio", "inference_latency_ms", "model_confidence_ratio", "power_draw_w")
NOON_MS = 1_790_000_100_000

Contestant = Callable[[], int]


@dataclass(frozen=True)
class Figure:
    """CPU seconds of one contestant, round by round."""

    seconds: Sequence[float]

    @property
    def best_s(self) -> float:
        """Return the least disturbed round."""
        return min(self.seconds)

    @property
    def median_s(self) -> float:
        """Return the middle round."""
        return statistics.median(self.seconds)


def telemetry_messages(count: int, seed: int) -> list[bytes]:
    """Return messages of 50 points, about 1.8 kB each, as a device of the fleet writes them."""
    draw = random.Random(seed)
    kinds = [
        encode_record(Topic.TELEMETRY, _batch(draw, n), SCHEMA_ID) for n in range(MESSAGE_KINDS)
    ]
    return [kinds[index % MESSAGE_KINDS] for index in range(count)]


def _batch(draw: random.Random, index: int) -> dict[str, Any]:
    return {
        "tenant_id": f"tenant-{index % 7}",
        "device_id": f"camera-{index:06}",
        "boot_id": f"{draw.getrandbits(64):016x}",
        "sequence": draw.randrange(100_000),
        "sent_at": NOON_MS + index,
        "received_at": None,
        "hardware_revision": "rev-b",
        "firmware_version": "4.2.1",
        "model_version": f"detector-{index % 3}",
        "deployment_group": "stores-north",
        "points": [_point(draw, n) for n in range(POINTS_PER_MESSAGE)],
    }


def _point(draw: random.Random, index: int) -> dict[str, Any]:
    return {
        "name": METRICS[index % len(METRICS)],
        "value": draw.gauss(50, 10),
        "timestamp": NOON_MS - 6_000 * index,
        "tags": {"core": str(index % 4)} if index % 4 == 0 else {},
    }


def measure(contestants: dict[str, Contestant], round_count: int) -> dict[str, Figure]:
    """Run the contestants in turns; every one must bring out every point in every round."""
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(round_count):
        for name, contestant in contestants.items():
            began_s = time.process_time()
            point_count = contestant()
            seconds[name].append(time.process_time() - began_s)
            expected = MESSAGE_COUNT * POINTS_PER_MESSAGE
            assert point_count == expected, f"{name}: {point_count} points of {expected}"
    return {name: Figure(found) for name, found in seconds.items()}


def _ours(messages: Sequence[bytes]) -> Contestant:
    schema = schema_of(Topic.TELEMETRY)

    def decode() -> int:
        block = decode_messages(Topic.TELEMETRY, messages, lambda _: schema)
        assert not block.rejected
        return block.items.height

    return decode


def _record_by_record(messages: Sequence[bytes]) -> Contestant:
    def decode() -> int:
        return sum(len(decode_record(Topic.TELEMETRY, m)["points"]) for m in messages)

    return decode


def _ready_container(messages: Sequence[bytes]) -> Contestant:
    """The limit: what Polars reads when one container lies ready and every byte is believed."""
    schema = json.loads(json.dumps(schema_of(Topic.TELEMETRY)))
    point = schema["fields"][-1]["type"]["items"]
    entry = [{"name": "key", "type": "string"}, {"name": "value", "type": "string"}]
    point["fields"][-1]["type"] = {
        "type": "array",
        "items": {"type": "record", "name": "Entry", "fields": entry},
    }
    point["fields"][-1]["default"] = []
    parsed = fastavro.parse_schema(schema)
    records = [
        fastavro.schemaless_reader(io.BytesIO(m[WIRE_HEADER_BYTES:]), parsed, None)
        for m in messages
    ]
    out = io.BytesIO()
    fastavro.writer(out, parsed, records, codec="null")
    container = out.getvalue()

    def read() -> int:
        return int(pl.read_avro(io.BytesIO(container))["points"].list.len().sum())

    return read


def cost_of_a_bad_message(messages: Sequence[bytes], round_count: int) -> dict[str, float]:
    """Return how many ms more a chunk takes with one bad message in it, by its kind.

    A block is decoded in chunks, and only the bad message's own chunk takes longer; the difference
    of two whole blocks would drown in the noise. Median of the differences, good and bad in turns.
    """
    chunk, middle = list(messages[:CHUNK_MAX_MESSAGES]), CHUNK_MAX_MESSAGES // 2 + 17
    good = chunk[middle]
    bad = {
        "cut short": good[: len(good) // 2],
        "junk behind": good + b"\x07\x07",
        "hostile length": good[:60] + b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01" + good[60:],
    }
    more_ms: dict[str, list[float]] = {name: [] for name in bad}
    for _ in range(round_count):
        for name, message in bad.items():
            good_s = _decode_s(chunk, [])
            bad_s = _decode_s([*chunk[:middle], message, *chunk[middle + 1 :]], [middle])
            more_ms[name].append(1000 * (bad_s - good_s))
    return {name: statistics.median(found) for name, found in more_ms.items()}


def _decode_s(messages: Sequence[bytes], rejected: list[int]) -> float:
    """Return the CPU time of decoding messages of which exactly some must be rejected."""
    schema, began_s = schema_of(Topic.TELEMETRY), time.process_time()
    decoded = decode_messages(Topic.TELEMETRY, messages, lambda _: schema)
    took_s = time.process_time() - began_s
    assert [message.row for message in decoded.rejected] == rejected
    return took_s


def report(round_count: int, seed: int) -> dict[str, Any]:
    """Measure everything and return it as plain figures."""
    messages = telemetry_messages(MESSAGE_COUNT, seed)
    figures = measure(
        {
            "ours": _ours(messages),
            "fastavro": _record_by_record(messages),
            "ready container": _ready_container(messages),
        },
        round_count,
    )
    point_count = MESSAGE_COUNT * POINTS_PER_MESSAGE
    return {
        "machine": machine_facts(),
        "seed": seed,
        "messages": MESSAGE_COUNT,
        "points": point_count,
        "message_bytes": round(statistics.mean(map(len, messages))),
        "points_per_cpu_s": {
            name: {"best": point_count / f.best_s, "median": point_count / f.median_s}
            for name, f in figures.items()
        },
        "ratio_vs_fastavro": figures["fastavro"].median_s / figures["ours"].median_s,
        "share_of_the_limit": figures["ready container"].median_s / figures["ours"].median_s,
        "one_bad_message_ms": cost_of_a_bad_message(messages, 5 * round_count),
    }


def main() -> None:
    """Measure, print, and write the figures where `--out` says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUND_COUNT)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    print(write_figures(report(given.rounds, given.seed), given.out))


if __name__ == "__main__":
    main()
