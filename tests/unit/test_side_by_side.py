"""What the measurements believe: the oracle, the comparison with it, spans and their cost."""

from collections import defaultdict

import numpy as np
import polars as pl
import pytest

from benchmarks import baseline, report
from benchmarks.contenders import SCHEMA, Cost
from benchmarks.cost_sampler import CostSampler
from benchmarks.drain_tap import DrainTap
from benchmarks.fleet import SimulatedClock, build_fleet
from benchmarks.fleet_faults import NO_FAULTS, FaultPlan, FaultScript
from benchmarks.fleet_messages import FleetEncoder
from benchmarks.fleet_schedule import transmissions
from benchmarks.measure_peers import figures_of
from benchmarks.peers.task import Task, folded, read_batch, read_schema
from benchmarks.prepared_log import WINDOW_MS, LogPlan, PreparedLog, block_points
from benchmarks.result_reading import check_equal, float_sums
from jobs.process_records import ProcessStatus
from jobs.settings import Settings
from udfs.accounts import Entry, Outcome, Unit, account_message

SEED = 20261123
START_MS = 1_767_225_600_000  # 2026-01-01


def test_the_oracle_sums_what_the_messages_say_and_no_copy():
    plan = LogPlan(device_count=40, batches=3, seed=SEED, has_heartbeats=True)
    faults = FaultPlan(**{**NO_FAULTS.__dict__, "resend_ratio": 0.2})
    script = FaultScript(build_fleet(plan.fleet()), faults)
    encoder = FleetEncoder(script, SimulatedClock(START_MS), 7)
    content = encoder.content(transmissions(script, 0, 900_000))
    log = PreparedLog(Settings(), points=[block_points(content)])
    task = Task("", "", "", "", str(SCHEMA), 0, 0, WINDOW_MS, "", "")
    schema, seen, windows = read_schema(task), set(), defaultdict(lambda: None)
    copies = 0
    for message in encoder.messages(content):
        copies += message.value in seen
        if message.value not in seen:
            batch = read_batch(message.value, schema)
            for point in batch["points"]:
                start = point["timestamp"] // WINDOW_MS * WINDOW_MS
                key = batch["device_id"], point["name"], start
                windows[key] = folded(windows[key], point["value"])
        seen.add(message.value)
    rows = [(*key, *stats) for key, stats in windows.items()]
    names = ["device_id", "metric", "window_start", "count", "sum", "min", "max"]
    assert copies > 20
    check_equal(pl.DataFrame(rows, names, orient="row"), log.oracle(), "the messages")


def oracle():
    return pl.DataFrame(
        {
            "device_id": ["a", "a", "b"],
            "metric": ["m", "n", "m"],
            "window_start": [0, 0, 300_000],
            "count": [2, 1, 1],
            "sum": [3.0, 5.0, -7.5],
            "min": [1.0, 5.0, -7.5],
            "max": [2.0, 5.0, -7.5],
        }
    )


CLOSING = {
    "device_id": "closer-0", "metric": "m", "window_start": 0,
    "count": 1, "sum": 1.0, "min": 1.0, "max": 1.0,
}  # fmt: skip


def test_windows_in_another_order_beside_a_closer_are_equal():
    found = pl.concat([oracle().reverse(), pl.DataFrame([CLOSING])])
    check_equal(found.with_columns(pl.col("count").cast(pl.Float64)), oracle(), "somebody")


@pytest.mark.parametrize(
    "spoilt",
    [
        pytest.param(oracle()[:2], id="one is missing"),
        pytest.param(pl.concat([oracle(), oracle()[:1]]), id="one is there twice"),
        pytest.param(pl.concat([oracle()[:2], oracle()[:1]]), id="one stands for another"),
        pytest.param(oracle().with_columns(pl.col("count") + 1), id="count"),
        pytest.param(oracle().with_columns(pl.col("sum") * (1 + 1e-8)), id="sum"),
        pytest.param(oracle().with_columns(pl.col("min") - 1e-9), id="min"),
        pytest.param(oracle().with_columns(pl.col("max") + 1e-9), id="max"),
    ],
)
def test_windows_that_say_something_else_are_refused(spoilt):
    with pytest.raises(AssertionError, match="somebody"):
        check_equal(spoilt, oracle(), "somebody")


def test_sums_of_128_bits_become_floats_below_zero_too():
    values = [0.0, 1.5, -1.5, 1e12 * 50, -123456.789]
    fixed = [round(value * 2**50).to_bytes(16, "little", signed=True) for value in values]
    assert float_sums(pl.Series(fixed)) == pytest.approx(values, rel=1e-15)


def account(points, outcome=Outcome.ACCEPTED):
    return account_message([Entry("telemetry", 0, Unit.POINT, outcome, "", points)], 3)


def test_a_span_begins_with_the_first_block_and_leaves_its_points_out():
    tap = DrainTap(Settings())
    #            1 s      3 s      4 s      9 s
    #   points   100      200      300      400
    for at_ms, points in ((1_000, 100), (3_000, 200), (4_000, 300), (9_000, 400)):
        tap.on_account(account(points), at_ms, at_ms + 50)
    tap.on_account(account(999, Outcome.READ), 9_500, 9_500)
    assert tap.settled == 1_000
    whole, later = tap.span(), tap.span(skipped_ratio=0.25)
    assert (whole.begin_s, whole.end_s, whole.points) == (1.0, 9.0, 900)
    assert (later.begin_s, later.end_s, later.points) == (3.0, 9.0, 700)


def test_one_block_alone_is_no_span():
    tap = DrainTap(Settings())
    tap.on_account(account(100), 1_000, 1_050)
    with pytest.raises(AssertionError, match="one block"):
        tap.span()


def test_the_cost_of_a_span_is_read_between_samples(monkeypatch):
    now_s, spent_s = [100.0], [5.0]
    monkeypatch.setattr("benchmarks.cost_sampler.time.time", lambda: now_s[0])

    def read():
        return [
            ProcessStatus("jvm", 1, is_alive=True, rss_bytes=300_000_000, cpu_seconds=spent_s[0]),
            ProcessStatus(
                "worker", 2, is_alive=True, rss_bytes=200_000_000, cpu_seconds=2 * spent_s[0]
            ),
        ]

    costs = CostSampler(read)
    for now_s[0], spent_s[0] in ((100.0, 5.0), (110.0, 15.0), (120.0, 15.0)):
        costs.sample()
    assert costs.cpu_by_name(102.0, 115.0) == pytest.approx({"jvm": 8.0, "worker": 16.0})
    assert costs.cpu_s(110.0, 120.0) == 0
    assert costs.peak_mb == 500


def test_ratios_are_of_one_round_and_never_across_rounds():
    costs = {
        "fleetpulse": [Cost(100, 1.0, 2.0, 10, 1.0), Cost(100, 10.0, 20.0, 10, 9.0)],
        "loop": [Cost(100, 2.0, 2.0, 10, 1.0), Cost(100, 20.0, 20.0, 10, 9.0)],
    }
    found = figures_of(costs)["loop"]
    assert found["ratio"] == {"min": 2.0, "median": 2.0, "max": 2.0}
    assert found["ratio_per_cpu"] == {"min": 1.0, "median": 1.0, "max": 1.0}


def test_a_stored_baseline_tells_what_got_slower_and_nothing_else(tmp_path):
    path = tmp_path / "baseline.json"
    was = {"codec_vs_fastavro_ratio": 6.0, "ratio_per_cpu_vs_quix": 10.0, "freshness_p50_s": 4.0}
    assert baseline.stored(path) == {}
    baseline.store(was, {"seed": 1}, path)
    now = {"codec_vs_fastavro_ratio": 5.9, "ratio_per_cpu_vs_quix": 7.9, "freshness_p50_s": 1.0}
    assert baseline.slower(now, baseline.stored(path)) == [
        "slower: ratio_per_cpu_vs_quix is 7.90, was 10.00"
    ]
    assert baseline.slower({"ratio_per_cpu_vs_quix": None}, baseline.stored(path)) == []


def test_the_page_shows_what_was_measured_and_names_what_was_not():
    spread = {"min": 1.0, "median": 2.0, "max": 4.0}
    each = dict.fromkeys(("points_per_s", "points_per_cpu_s", "peak_mb"), spread)
    ratios = {"ratio": spread, "ratio_per_cpu": spread}
    contenders = {"fleetpulse": each | {"points": 10}, "a<b": each | ratios | {"points": 10}}
    page = report.page_of({"peers": {"machine": {}, "seed": 1, "contenders": contenders}})
    assert "a&lt;b" in page
    assert "2.00 (1.00 to 4.00)" in page
    assert page.count("<svg") == 3
    assert page.count("Not measured:") == 3
    assert np.all([source in page for name, source in report.SOURCES.items() if name != "peers"])
