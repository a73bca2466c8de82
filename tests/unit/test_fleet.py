"""The simulated fleet: repeatable, sane, and encoded as the reference encodes it."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.counter_random import Stream, hashes, normals, uniforms
from benchmarks.fleet import DEPLOYMENT_GROUPS, FleetPlan, SimulatedClock, build_fleet
from benchmarks.fleet_faults import MINUTE_MS, NO_FAULTS, FaultPlan, FaultScript
from benchmarks.fleet_messages import FleetEncoder, Message
from benchmarks.fleet_schedule import transmissions
from benchmarks.fleet_values import METRICS, POINTS_PER_BATCH, batch_values
from schemas.records import decode_record, encode_record
from schemas.topics import Topic

STARTED_AT_MS = 1_790_000_000_000
CLOCK = SimulatedClock(STARTED_AT_MS, speed=30.0)
HOUR_MS = 60 * MINUTE_MS
MANY_FAULTS = FaultPlan(
    silence_ratio=0.3, death_ratio=0.05, uncommissioned_ratio=0.05, ahead_ratio=0.1,
    epoch_ratio=0.1, delay_ratio=0.2, resend_ratio=0.2, nan_ratio=0.3,
)  # fmt: skip


def scripted(faults: FaultPlan, **plan: int) -> FaultScript:
    return FaultScript(build_fleet(FleetPlan(**{"device_count": 200, **plan})), faults)


def sent_by(script: FaultScript, *edges_ms: int) -> list[Message]:
    encoder = FleetEncoder(script, CLOCK, schema_id=7)
    spans = itertools.pairwise(edges_ms)
    blocks = (encoder.content(transmissions(script, a, b)) for a, b in spans)
    return [message for block in blocks for message in encoder.messages(block)]


def test_same_plan_gives_the_same_messages_byte_for_byte():
    first = sent_by(scripted(MANY_FAULTS), 0, HOUR_MS)
    assert first == sent_by(scripted(MANY_FAULTS), 0, HOUR_MS)
    assert first != sent_by(scripted(MANY_FAULTS, seed=2), 0, HOUR_MS)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_cutting_time_into_other_blocks_changes_nothing(seed):
    random = np.random.default_rng(seed)
    cuts = sorted(random.integers(1, 5 * HOUR_MS, 40).tolist())
    whole = sent_by(scripted(MANY_FAULTS, seed=seed, device_count=60), 0, 5 * HOUR_MS)
    assert (
        sent_by(scripted(MANY_FAULTS, seed=seed, device_count=60), 0, *cuts, 5 * HOUR_MS) == whole
    )


def test_an_old_time_can_be_asked_for_again():
    script = scripted(MANY_FAULTS)
    first = sent_by(script, 0, HOUR_MS)
    sent_by(script, 19 * HOUR_MS, 20 * HOUR_MS)
    assert sent_by(script, 0, HOUR_MS) == first


def test_every_message_is_what_the_reference_encodes():
    script = scripted(MANY_FAULTS, device_count=100)
    encoder = FleetEncoder(script, CLOCK, schema_id=7)
    content = encoder.content(transmissions(script, 0, HOUR_MS))
    for row, message in enumerate(encoder.messages(content)):
        record = encoder.record(content, row)
        assert message.value == encode_record(Topic.TELEMETRY, record, schema_id=7)
        assert message.key.decode() == f"{record['tenant_id']}/{record['device_id']}"
        assert message.point_count == len(record["points"])
        assert message.nan_count == sum(np.isnan(p["value"]) for p in record["points"])


def test_a_healthy_fleet_sends_a_batch_each_5_min_and_a_heartbeat_each_minute():
    #  one hour, 200 devices: 12 batches and 48 heartbeats each
    messages = sent_by(scripted(NO_FAULTS), 0, HOUR_MS)
    points = [message.point_count for message in messages]
    assert len(messages) == 200 * 60
    assert points.count(POINTS_PER_BATCH) == 200 * 12
    assert points.count(0) == 200 * 48
    assert POINTS_PER_BATCH == 50


def test_devices_do_not_report_at_the_same_time():
    sent = transmissions(scripted(NO_FAULTS, device_count=3000), 0, 5 * MINUTE_MS)
    per_second = np.bincount(sent.sent_ms // 1000, minlength=300)
    assert per_second.min() >= 45
    assert per_second.max() <= 55


def test_points_of_a_batch_end_when_it_is_sent_and_follow_the_last_batch():
    #  speed 30: a batch covers 10 s, a point of each metric every 2 s
    messages = sent_by(scripted(NO_FAULTS, device_count=1), 0, HOUR_MS)
    records = [decode_record(Topic.TELEMETRY, message.value) for message in messages]
    times = [sorted({p["timestamp"] for p in r["points"]}) for r in records if r["points"]]
    assert [r["sent_at"] for r in records if r["points"]] == [t[-1] for t in times]
    assert set(np.diff(list(itertools.chain(*times))).tolist()) == {2000}


def test_sequences_count_up_within_a_boot_and_start_again_after_a_crash():
    script = scripted(replace(NO_FAULTS, silence_ratio=0.5), device_count=80)
    sequences: dict[tuple[str, str], list[int]] = {}
    for message in sent_by(script, 0, 5 * HOUR_MS):
        record = decode_record(Topic.TELEMETRY, message.value)
        boot = (record["device_id"], record["boot_id"])
        sequences.setdefault(boot, []).append(record["sequence"])
    assert len(sequences) > 90
    for numbers in sequences.values():
        assert min(numbers) == 0
        assert len(set(numbers)) == len(numbers)


def test_an_uplink_outage_loses_no_batch_and_a_crash_does():
    script = scripted(replace(NO_FAULTS, silence_ratio=0.5))
    cycle = script.cycle(0)
    sent = transmissions(script, 0, 2 * HOUR_MS)
    batches = np.bincount(
        sent.device_index[script.fleet.is_batch(sent.device_index, sent.slot)], minlength=200
    )
    is_silent = cycle.silent_from_ms < 2 * HOUR_MS
    assert 70 <= is_silent.sum() <= 130
    assert (batches[~cycle.is_crash] == 24).all()
    assert (batches[cycle.is_crash] < 24).all()


def test_a_silent_device_sends_nothing():
    script = scripted(replace(NO_FAULTS, silence_ratio=0.5, death_ratio=0.3))
    sent = transmissions(script, 0, 4 * HOUR_MS)
    for index in (0, 1):
        cycle = script.cycle(index)
        after = sent.sent_ms >= cycle.silent_from_ms[sent.device_index]
        before = sent.sent_ms < cycle.silent_until_ms[sent.device_index]
        assert not (after & before).any()
    assert (sent.sent_ms < script.dead_from_ms[sent.device_index]).all()


def test_one_site_falls_silent_at_once():
    script = scripted(replace(NO_FAULTS, has_site_outage=True))
    sent = transmissions(script, 0, 2 * HOUR_MS)
    minute = sent.sent_ms // MINUTE_MS
    is_out = (minute >= 35) & (minute < 50)
    heard = set(script.fleet.site_index[sent.device_index[is_out]].tolist())
    assert len(heard) == 7
    assert set(script.fleet.site_index[sent.device_index].tolist()) == set(range(8))


def test_copies_are_equal_to_a_message_sent_before():
    messages = sent_by(scripted(MANY_FAULTS), 0, 3 * HOUR_MS)
    seen: set[bytes] = set()
    for message in messages:
        assert (message.value in seen) == message.is_copy
        seen.add(message.value)
    assert sum(message.is_copy for message in messages) > 1000


def test_delayed_batches_arrive_out_of_order():
    script = scripted(replace(NO_FAULTS, delay_ratio=0.1))
    sent = transmissions(script, 0, HOUR_MS)
    late_ms = sent.sent_ms - script.fleet.due_ms(sent.device_index, sent.slot)
    assert set(np.unique(late_ms).tolist()) == {0, MINUTE_MS, 2 * MINUTE_MS, 3 * MINUTE_MS}
    batches = script.fleet.is_batch(sent.device_index, sent.slot)
    assert 0.07 < (late_ms[batches] > 0).mean() < 0.13
    assert (late_ms[~batches] == 0).all()


def test_wrong_clocks_are_two_hours_ahead_or_near_1970():
    script = scripted(MANY_FAULTS)
    messages = sent_by(script, 0, HOUR_MS)
    times: dict[str, list[int]] = {}
    for message in messages:
        record = decode_record(Topic.TELEMETRY, message.value)
        times.setdefault(record["device_id"], []).append(record["sent_at"])
    real_ms = HOUR_MS // 30
    for index, device_id in enumerate(script.fleet.device_ids):
        offset_ms = 0
        if script.has_clock_ahead[index]:
            offset_ms = 2 * HOUR_MS
        if script.has_epoch_clock[index]:
            offset_ms = -STARTED_AT_MS
        low, high = STARTED_AT_MS + offset_ms, STARTED_AT_MS + offset_ms + real_ms
        assert all(low <= at <= high for at in times.get(device_id, []))


def test_values_are_plausible_and_follow_the_load():
    script = scripted(NO_FAULTS, device_count=2000)
    device = np.repeat(np.arange(2000), 24)
    slot = np.tile(np.arange(24) * 60, 2000)
    values = batch_values(script, device, slot)
    assert values.shape == (48_000, 5, 10)
    assert np.isfinite(values).all()
    by_metric = dict(zip(METRICS, values.reshape(-1, 10).T, strict=True))
    for name, column in by_metric.items():
        assert column.std() > 0
        if name.endswith("_ratio"):
            assert 0 <= column.min() <= column.max() <= 1
    load = by_metric["cpu_utilization_ratio"]
    assert np.corrcoef(load, by_metric["cpu_temperature_celsius"])[0, 1] > 0.7
    assert np.corrcoef(load, by_metric["power_watts"])[0, 1] > 0.7
    latency = by_metric["inference_latency_milliseconds"]
    assert 2.0 < np.quantile(latency, 0.999) / np.median(latency) < 10
    assert 20 < by_metric["cpu_temperature_celsius"].mean() < 70


def test_only_the_drifting_model_loses_confidence():
    script = scripted(replace(NO_FAULTS, drifting_model="v3"), device_count=2000)
    device, metric = np.arange(2000), METRICS.index("prediction_confidence_ratio")
    is_drifting = script.fleet.model_index == 2
    before, after = (
        batch_values(script, device, np.full(2000, slot))[:, :, metric].mean(axis=1)
        for slot in (15, 60)
    )
    assert abs((after - before)[~is_drifting].mean()) < 0.003
    assert -0.18 < (after - before)[is_drifting].mean() < -0.14


def test_groups_and_models_have_their_shares():
    fleet = build_fleet(FleetPlan(device_count=20_000))
    groups = np.bincount(fleet.group_index, minlength=3) / 20_000
    assert groups == pytest.approx([0.10, 0.45, 0.45], abs=0.02)
    canary = fleet.group_index == DEPLOYMENT_GROUPS.index("canary")
    assert (fleet.model_index[canary] == 2).mean() == pytest.approx(0.9, abs=0.03)
    assert (fleet.model_index[~canary] < 2).all()


def test_random_numbers_have_their_distributions():
    bits = hashes(3, Stream.VALUE, np.arange(200_000))
    assert uniforms(bits).mean() == pytest.approx(0.5, abs=0.005)
    assert normals(bits).mean() == pytest.approx(0, abs=0.01)
    assert normals(bits).std() == pytest.approx(1, abs=0.01)
    other = normals(hashes(3, Stream.TAIL, np.arange(200_000)))
    assert abs(np.corrcoef(normals(bits), other)[0, 1]) < 0.01
