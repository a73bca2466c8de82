"""Messages for tests of the loader: seeded window deltas, alerts and device states.


The expected sums are made here by plain Python, from the same numbers.
"""

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from schemas.records import encode_record, schema_of
from schemas.topics import Topic
from sinks.messages import Message
from udfs.histogram import bin_index

SCHEMA_ID = 7
START_MS = 1_767_225_600_000  # 2026-01-01
MONTH_MS = 31 * 24 * 3600 * 1000
SUM_SCALE, SQUARE_SCALE = 2**50, 2**80
COUNTERS = (
    "missing_count",
    "nan_count",
    "out_of_range_count",
    "skewed_count",
    "duplicate_count",
)


def schema_of_id(topic):
    return lambda _schema_id: schema_of(topic)


def message(topic, record, offset=0, partition=0, schema_id=SCHEMA_ID):
    value = encode_record(topic, record, schema_id)
    return Message(partition, offset, START_MS, b"key", value)


@dataclass
class ExpectedWindow:
    """The plain sum of the deltas of one window."""

    count: int = 0
    sum_fixed: int = 0
    sum_sq_fixed: int = 0
    min: float = float("inf")
    max: float = float("-inf")
    bins: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    counters: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    values: list[float] = field(default_factory=list)

    def add(self, delta, values):
        self.count += delta["count"]
        self.sum_fixed += int.from_bytes(delta["sum_fixed"], "little", signed=True)
        self.sum_sq_fixed += int.from_bytes(delta["sum_sq_fixed"], "little", signed=True)
        self.min, self.max = min(self.min, delta["min"]), max(self.max, delta["max"])
        histogram = delta["histogram"]
        for index, count in zip(histogram["bins"], histogram["counts"], strict=True):
            self.bins[index] += count
        for name in COUNTERS:
            self.counters[name] += delta[name]
        self.values += values


KEY = (
    "tenant_id",
    "scope",
    "device_id",
    "metric",
    "deployment_group",
    "model_version",
    "window_ms",
    "window_start",
)


def window_key(delta):
    return tuple(delta[name] or "" if name == "device_id" else delta[name] for name in KEY)


class WindowInput:
    """Seeded window deltas, and the sum of those that were handed out."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.expected = defaultdict(ExpectedWindow)

    def deltas(self, count):
        """Return the rows of one message and remember them as expected."""
        rows = []
        for _ in range(count):
            delta, values = self._delta()
            self.expected[window_key(delta)].add(delta, values)
            rows.append(delta)
        return rows

    def message(self, count, offset=0, partition=0, schema_id=SCHEMA_ID):
        record = {"rows": self.deltas(count)}
        return message(Topic.WINDOWS, record, offset, partition, schema_id)

    def _delta(self):
        pick = self.random
        size = int(pick.integers(0, 20))
        scale = 10.0 ** pick.integers(-6, 9)
        values = (pick.standard_normal(size) * scale).tolist()
        bins, counts = np.unique(bin_index(np.array(values, dtype=float)), return_counts=True)
        total = sum(int(value * SUM_SCALE) for value in values)
        squares = sum(int(value * value * SQUARE_SCALE) for value in values)
        scope = str(pick.choice(["device", "group", "tenant"]))
        is_device = scope == "device"
        delta = {
            "tenant_id": f"t{pick.integers(2)}",
            "scope": scope,
            "device_id": f"d{pick.integers(5)}" if is_device else None,
            "deployment_group": "" if scope == "tenant" else f"g{pick.integers(2)}",
            "model_version": "" if scope == "tenant" else f"v{pick.integers(2)}",
            "metric": str(pick.choice(["latency_ms", "power_w"])),
            # Over some months, so that an insert has several parts.
            "window_start": START_MS + int(pick.integers(3)) * MONTH_MS,
            "window_ms": 300_000 if is_device else 60_000,
            "count": size,
            "sum_fixed": total.to_bytes(16, "little", signed=True),
            "sum_sq_fixed": squares.to_bytes(32, "little", signed=True),
            "min": min(values, default=float("inf")),
            "max": max(values, default=float("-inf")),
            "histogram": {"bins": bins.tolist(), "counts": counts.tolist()},
        }
        delta |= {name: int(pick.integers(3)) for name in COUNTERS}
        return delta, values


def alert(episode="e1", seq=1, **changes):
    return {
        "id": f"{episode}-{seq}",
        "source": "fleetpulse/device-offline",
        "type": "fleetpulse.alert.device-offline",
        "subject": "device/d1",
        "tenant_id": "t0",
        "time": START_MS + 300_000 * seq,
        "emitted_at": START_MS + 300_000 * seq + 7,
        "dedup_key": f"device-offline/t0/device/d1/{episode}",
        "episode_id": episode,
        "seq": seq,
        "status": "firing",
        "severity": "warning",
        "starts_at": START_MS + 300_000,
        "notify": True,
        "channels": ["email"],
        "input_clock": START_MS + 300_000 * seq,
        "detection_delay_ms": 0,
        "labels": {"tenant": "t0", "group": "g1"},
        "summary": "d1 is silent",
    } | changes


def device_status(device_id="d1", status="online", **changes):
    return {
        "tenant_id": "t0",
        "device_id": device_id,
        "status": status,
        "status_since": START_MS,
        "last_seen": START_MS,
        "deployment_group": "g1",
        "model_version": "v1",
    } | changes
