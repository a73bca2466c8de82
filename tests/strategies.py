"""Hypothesis strategies: batches, and whole logs, as bad as the wire allows them to be."""

from typing import Any

from hypothesis import strategies as st

from tests.oracle.alerts_oracle import Contact, Entry, Registration, Tick
from tests.oracle.windows_oracle import LogEntry

Record = dict[str, Any]

NOON_MS = 1_790_000_100_000
"""Append times of generated logs begin here; a multiple of 5 min."""
LONG_MAX = 2**63 - 1
SECOND_MS = 1000


def bounded_text(max_bytes: int) -> st.SearchStrategy[str]:
    """Draw any Unicode text of 1 to `max_bytes` bytes of UTF-8."""
    return st.text(st.characters(codec="utf-8"), min_size=1, max_size=max_bytes // 4)


def metric_names() -> st.SearchStrategy[str]:
    """Draw few names that repeat, and some odd ones."""
    return st.sampled_from(["cpu", "latency_ms"]) | bounded_text(128)


def values() -> st.SearchStrategy[float]:
    """Draw ordinary values, the edges of every rule, and what is no number."""
    edges = [0.0, -0.0, 2.0**-20, -(2.0**-20), 1024.0, -1024.0, 1e12, -1e12, 1.0000001e12, 5e-324]
    ordinary = st.floats(-1e4, 1e4) | st.floats(-2e12, 2e12)
    return ordinary | st.sampled_from(edges) | st.floats(allow_nan=True, allow_infinity=True)


def timestamps(append_time_ms: int) -> st.SearchStrategy[int]:
    """Draw device times: recent, at the edges of belief, of 1970, and absurd."""
    recent = st.integers(append_time_ms - 900_000, append_time_ms + 60_000)
    edges = [
        append_time_ms + 120_000,
        append_time_ms + 120_001,
        1_420_070_400_000,
        1_420_070_399_999,
        0,
        -1,
    ]
    return recent | st.sampled_from(edges) | st.integers(-LONG_MAX - 1, LONG_MAX)


def points(append_time_ms: int) -> st.SearchStrategy[Record]:
    """Draw one point."""
    tags = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), st.text(
        st.characters(codec="utf-8"), max_size=8), max_size=3)  # fmt: skip
    return st.fixed_dictionaries(
        {
            "name": metric_names(),
            "value": values(),
            "timestamp": timestamps(append_time_ms),
            "tags": tags,
        }
    )


@st.composite
def batches(draw: st.DrawFn, append_time_ms: int = NOON_MS) -> Record:
    """Draw one batch within the wire limits; few devices, so that they meet again."""
    optional_text = st.none() | st.sampled_from(["", "a", "b"]) | bounded_text(128)
    return {
        "tenant_id": draw(st.sampled_from(["t", "ü"])),
        "device_id": draw(st.sampled_from(["d", "d/1", "設備"])),
        "boot_id": draw(st.none() | st.sampled_from(["", "boot"])),
        # The engine tells copies among the last 1,024 sequences of a boot.
        "sequence": draw(st.none() | st.integers(0, 1_000)),
        "sent_at": draw(timestamps(append_time_ms)),
        "received_at": draw(st.none() | timestamps(append_time_ms)),
        "hardware_revision": draw(optional_text),
        "firmware_version": draw(optional_text),
        "model_version": draw(optional_text),
        "deployment_group": draw(optional_text),
        "points": draw(st.lists(points(append_time_ms), max_size=4)),
    }


@st.composite
def telemetry_logs(draw: st.DrawFn, max_size: int = 12) -> list[LogEntry]:
    """Draw a log of two partitions: batches, exact copies of earlier ones, and ticks."""
    log: list[LogEntry] = []
    at_ms, offsets = NOON_MS, [0, 0]
    for _ in range(draw(st.integers(1, max_size))):
        at_ms += draw(st.integers(0, 90_000))
        kind = draw(st.sampled_from(["batch", "batch", "batch", "copy", "tick"]))
        if kind == "copy" and log:
            batch = draw(st.sampled_from([entry.batch for entry in log]))
        else:
            tick = {"tenant_id": "__clock__", "points": []}
            batch = draw(batches(at_ms)) | (tick if kind == "tick" else {})
        partition = len(batch["device_id"]) % 2
        log.append(LogEntry(at_ms, partition, offsets[partition], batch))
        offsets[partition] += 1
    return log


@st.composite
def alert_logs(draw: st.DrawFn, *, has_partial_blindness: bool = True) -> list[Entry]:
    """Draw half an hour of a small fleet: silences, copies, blind stretches, decommissioning.

    Ticks come every 5 s on both partitions but in blind stretches, and go on for a minute after all
    else. Nobody is decommissioned in a blind stretch: the contract does not say when that counts.

    Args:
        draw: of hypothesis.
        has_partial_blindness: whether one partition may be blind while the other speaks.
    """
    partition_count, device_count = 2, 6
    first_ms, last_ms = NOON_MS, NOON_MS + draw(st.integers(600, 2400)) * SECOND_MS
    where = st.none() | st.integers(0, 1) if has_partial_blindness else st.none()
    blind = draw(st.lists(_blind_stretches(where, first_ms, last_ms), max_size=2))
    spoken: list[list[tuple[int, int, Contact | Tick]]] = [[] for _ in range(partition_count)]
    log: list[Entry] = []

    def is_blind(partition: int, at_ms: int) -> bool:
        return any(p in (None, partition) and a < at_ms < b for p, a, b in blind)

    for index in range(device_count):
        tenant, device = f"t{index % 2}", f"d{index}"
        partition = draw(st.integers(0, partition_count - 1))
        interval_s = draw(st.sampled_from([60, 60, 60, 180]))
        log.append(Registration(first_ms + 1, tenant, device, "provisioned", interval_s))
        if draw(st.integers(0, 9)) == 0:
            gone_ms = draw(st.integers(first_ms + 2, last_ms))
            if not is_blind(partition, gone_ms):
                log.append(Registration(gone_ms, tenant, device, status=None))
        for at_ms, sequence in draw(_contact_times(first_ms, last_ms)):
            if not is_blind(partition, at_ms):
                contact = Contact(at_ms, partition, 0, tenant, device, "boot", sequence)
                spoken[partition].append((at_ms, 1, contact))
    for partition, entries in enumerate(spoken):
        for at_ms in range(first_ms, last_ms + 60 * SECOND_MS, 5 * SECOND_MS):
            if not is_blind(partition, at_ms):
                entries.append((at_ms, 0, Tick(at_ms, partition, 0)))
        entries.sort(key=lambda entry: entry[:2])
        log += [entry._replace(offset=offset) for offset, (_, _, entry) in enumerate(entries)]
    return log


def _blind_stretches(
    where: st.SearchStrategy[int | None], first_ms: int, last_ms: int
) -> st.SearchStrategy[tuple[int | None, int, int]]:
    """Draw a stretch without records, on one partition or on all (None)."""
    starts = st.integers(first_ms // SECOND_MS + 60, last_ms // SECOND_MS - 30)
    lengths = st.integers(20, 400)
    return st.builds(
        lambda p, start, length: (p, start * SECOND_MS, (start + length) * SECOND_MS),
        where,
        starts,
        lengths,
    )


@st.composite
def _contact_times(draw: st.DrawFn, first_ms: int, last_ms: int) -> list[tuple[int, int | None]]:
    """Draw (append time, sequence) of one device: gaps around the 5 minutes, some exact copies."""
    times: list[tuple[int, int | None]] = []
    at_ms = first_ms + draw(st.integers(2, 120)) * SECOND_MS
    gaps_ms = st.sampled_from([20, 60, 120, 299, 300, 301, 360, 480, 700, 1900]).map(
        lambda seconds: seconds * SECOND_MS
    ) | st.integers(1, 600_000)
    sequence = 0
    while at_ms < last_ms and len(times) < 30:
        times.append((at_ms, sequence))
        sequence += draw(st.sampled_from([1, 1, 1, 1, 0]))
        at_ms += draw(gaps_ms)
        if draw(st.integers(0, 8)) == 0:
            break
    return times
