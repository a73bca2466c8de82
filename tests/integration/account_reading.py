"""The account of every message and point: as a log demands it, and as it was stored."""

import math
import urllib.request
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from jobs.query import run_query
from jobs.settings import Settings
from schemas.topics import CLOCK_TENANT_ID
from tests.integration.topic_reading import Message

Place = tuple[str, int, int]
VALUE_MAX = 1e12
COLUMNS = (
    "messages_read",
    "ticks",
    "messages_accepted",
    "messages_duplicate",
    "messages_rejected",
    "points_read",
    "points_accepted",
    "points_duplicate",
    "points_rejected",
    "missing",
)


def expected_account(
    logs: Mapping[str, Iterable[Message]], rejected: Iterable[Place]
) -> dict[Any, dict[str, int]]:
    """Count every message of some topics by hand, in the order of each partition.

    Args:
        logs: messages by the full name of their topic.
        rejected: topic, partition and offset of those that cannot be accepted.
    """
    account: dict[Any, Counter[str]] = {}
    refused, seen = set(rejected), set()
    for topic, log in logs.items():
        for message in sorted(log, key=lambda m: (m.partition, m.offset)):
            row = account.setdefault((topic, message.partition), Counter())
            row["messages_read"] += 1
            if (topic, message.partition, message.offset) in refused:
                row["messages_rejected"] += 1
            elif message.record["tenant_id"] == CLOCK_TENANT_ID:
                row["ticks"] += 1
            else:
                _count_batch(row, message.record, seen)
    return {place: {name: row[name] for name in COLUMNS} for place, row in account.items()}


def _count_batch(row: Counter[str], batch: dict[str, Any], seen: set[Any]) -> None:
    identity = tuple(batch[name] for name in ("tenant_id", "device_id", "boot_id", "sequence"))
    is_copy = identity in seen
    seen.add(identity)
    row["messages_duplicate" if is_copy else "messages_accepted"] += 1
    for point in batch["points"]:
        row["points_read"] += 1
        is_usable = math.isfinite(point["value"]) and abs(point["value"]) <= VALUE_MAX
        outcome = "duplicate" if is_copy else "accepted" if is_usable else "rejected"
        row[f"points_{outcome}"] += 1


def stored_account(settings: Settings) -> dict[Any, dict[str, int]]:
    """Return what `v_accounts` says of each topic and partition."""
    rows = run_query(settings, "SELECT * FROM v_accounts").iter_rows(named=True)
    return {(row["topic"], row["partition"]): {n: row[n] for n in COLUMNS} for row in rows}


def served_metric(settings: Settings, name: str, label: str = "") -> float:
    """Return the sum of a metric that the loader serves, over all label sets that have `label`."""
    url = f"http://127.0.0.1:{settings.stack.metrics_port}/metrics"
    with urllib.request.urlopen(url, timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    samples = [line for line in lines if line.startswith(f"{name}{{") and label in line]
    assert samples, f"{name} is not served"
    return sum(float(line.rpartition(" ")[2]) for line in samples)
