"""Streams of a shard: devices against their group, restarts, shards, what operators accept."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from schemas.control import parse_control
from udfs.drift.profiles import QUALITY_ROW
from udfs.drift.rates import RATES_ROW
from udfs.drift.shift_state import STORED_ROW
from udfs.drift.stream_member import StreamMember
from udfs.drift.window_rows import CANONICAL_ORDER, COMPLETE_SCHEMA, PEERS

SEED = 20_261_123
DEVICES = 12
SPAN_MS = 300_000
WINDOWS = 1_300
SHIFT_AT = 1_100
STEP_WINDOWS = 50
CUT_MS = 1_050 * SPAN_MS + 600_000
STREAMS = Path(__file__).parents[1] / "fixtures" / "state" / "streams_v1.bin"
"""Written by the first release with this layout, from `before_the_cut`; never written again."""


def fleet(seed=SEED, common_shift=0.0):
    """Windows of devices of one group, shape (DEVICES, WINDOWS); device 0 shifts by 3 sigma.

    All share a daily cycle of 5 sigma, and from window 1,200 on a shift.
    """
    random = np.random.default_rng(seed)
    hours = np.arange(WINDOWS) * SPAN_MS / 3_600_000
    common = 40 + 5 * np.sin(2 * np.pi * hours / 24)
    common[1_200:] += common_shift
    values = common + random.normal(0, 1, (DEVICES, WINDOWS)) + np.arange(DEVICES)[:, None]
    values[0, SHIFT_AT:] += 3
    return values


def row(scope, subject, window_ms, start_ms, mean, count):
    return {
        "window_start": start_ms, "tenant_id": "acme", "scope": scope, "subject": subject,
        "metric": "temp", "deployment_group": "g", "model_version": "m1", "window_ms": window_ms,
        "count": count, "missing_count": 0, "nan_count": 0, "out_of_range_count": 0,
        "mean": float(mean), "min": float(mean), "max": float(mean), "bins": [], "bin_counts": [],
    }  # fmt: skip


def steps(values, devices=range(DEVICES)):
    """Complete windows of some devices and of the group of all, some hours at a time."""
    for first in range(0, WINDOWS, STEP_WINDOWS):
        rows = []
        for window in range(first, first + STEP_WINDOWS):
            start_ms = window * SPAN_MS
            rows += [
                row("device", f"d{device}", SPAN_MS, start_ms, values[device, window], 5)
                for device in devices
            ]
            rows += [
                row(PEERS, "g", 60_000, start_ms + minute * 60_000, values[:, window].mean(),
                    DEVICES)
                for minute in range(5)
            ]  # fmt: skip
        frame = pl.DataFrame(rows, COMPLETE_SCHEMA)
        yield frame.sort(CANONICAL_ORDER), (first + STEP_WINDOWS) * SPAN_MS + 600_000


def found(values, members=1, *, restarted=False):
    """Findings of a fleet, by shards with every n-th device each."""
    findings = []
    for number in range(members):
        member = StreamMember()
        for windows, clock_ms in steps(values, range(number, DEVICES, members)):
            findings += member.observe(windows, clock_ms)
            if restarted:
                packed = member.to_bytes()
                member = StreamMember.from_bytes(packed)
                assert member.to_bytes() == packed
    return sorted(findings, key=lambda f: (f.detected_at_ms, f.subject, f.finding_id))


@pytest.fixture(scope="module")
def plain():
    return found(fleet())


def test_the_device_that_leaves_its_group_is_found_and_nobody_else(plain):
    paging = [f for f in plain if f.notify]
    assert {f.subject for f in paging} == {"d0"}
    first = paging[0]
    assert abs(first.first_seen_ms // SPAN_MS - SHIFT_AT) <= 2
    assert first.delay_windows <= 12
    assert first.severity.does_page
    assert first.before.count > 0


def test_what_the_whole_group_does_is_no_drift_of_its_devices(plain):
    both = found(fleet(common_shift=8.0))
    assert {f.subject for f in both if f.notify} == {"d0"}
    assert [f.finding_id for f in both if f.notify] == [f.finding_id for f in plain if f.notify]


def test_findings_depend_neither_on_shards_nor_on_restarts(plain):
    ids = [f.finding_id for f in plain]
    assert len(ids) > 0
    assert [f.finding_id for f in found(fleet(), members=3)] == ids
    assert found(fleet(), restarted=True) == plain


def test_what_is_accepted_ends_its_incident_and_is_learned_anew():
    member = StreamMember()
    for windows, clock_ms in steps(fleet()):
        member.observe(windows, clock_ms)
    event = parse_control(
        {"type": "accept_new_normal", "metric": "temp",
         "scope": {"tenant_id": "acme", "device_id": "d0"}}
    )  # fmt: skip
    (ended,) = member.accept([event], clock_ms)
    assert (ended.subject, ended.state, ended.reason) == ("d0", "resolved", "accepted_new_normal")
    assert member.device_detectors.shifts.table["phase"].tolist().count(0) == 1
    assert member.accept([event], clock_ms) == []


def test_the_shifts_of_a_stream_take_no_more_bytes_than_the_contract_allows():
    rows = {"shifts": STORED_ROW, "rates": RATES_ROW, "rules": QUALITY_ROW}
    print({name: row.itemsize for name, row in rows.items()})
    assert STORED_ROW.itemsize <= 0.6 * 1024


def test_a_learned_shard_is_as_large_as_its_records():
    member = StreamMember()
    for windows, clock_ms in steps(fleet()):
        member.observe(windows, clock_ms)
    records = STORED_ROW.itemsize + RATES_ROW.itemsize + QUALITY_ROW.itemsize
    headers_bytes = len(StreamMember().to_bytes()) + 8_000
    peers_bytes = member.peers.sums.estimated_size() * 2
    assert len(member.to_bytes()) <= DEVICES * records + headers_bytes + peers_bytes


def test_a_state_of_the_first_release_restores_and_goes_on():
    packed = STREAMS.read_bytes()
    member = StreamMember.from_bytes(packed)
    assert member.to_bytes() == packed
    rest = [step for step in steps(fleet(), range(3)) if step[1] > CUT_MS]
    findings = [f for windows, clock_ms in rest for f in member.observe(windows, clock_ms)]
    assert {f.subject for f in findings if f.notify} == {"d0"}


def before_the_cut():
    """The member whose bytes are the fixture."""
    member = StreamMember()
    for windows, clock_ms in steps(fleet(), range(3)):
        if clock_ms <= CUT_MS:
            member.observe(windows, clock_ms)
    return member
