"""Devices whose clock is wrong: one info, and nothing else of it (cases 15 to 17, C1)."""

import random
from itertools import pairwise

import pytest

from jobs.backtest import Backtest, BacktestPlan
from jobs.backtest_blocks import numbered_lines
from schemas.instants import format_instant
from tests.alert_logs import AlertLog, at, clock_of, every, told
from udfs.liveness import LivenessShard
from udfs.offline_policy import OfflinePolicy

SKEW = "clock-skew"
HOUR_MS = 3_600_000


def point(time_ms, **tags):
    said = {key: str(value) for key, value in tags.items()}
    return {"name": "t", "value": 1.0, "timestamp": format_instant(time_ms), "tags": said}


def skewed(log, device, times, ahead_ms):
    """Let a device report at instants, its clock ahead by a constant."""
    for time_ms in times:
        log.contact(device, time_ms, points=[point(time_ms + ahead_ms)])
    return log


#  append  12:00 o x      12:05 W      device time 14:00: nothing of it decides
def test_case_15_a_clock_2_hours_ahead_is_told_once_and_decides_nothing():
    log = AlertLog(until="12:31:00").register("d", when="11:54:59")
    events = skewed(log, "d", every(60, "11:55:00", "12:00:00"), 2 * HOUR_MS).events()
    assert told(events) == [
        ("info", "info", "11:55:00"),
        ("firing", "warning", "12:05:00"),
        ("firing", "critical", "12:30:00"),
    ]
    info = events[0]
    assert (info["type"], info["subject"]) == ("fleetpulse.alert.clock-skew", "device/d")
    assert (info["notify"], info["channels"], info["value"]) == (False, [], 7200.0)


def test_case_16_a_clock_of_1970_is_told_once_and_nobody_is_offline():
    log = AlertLog(until="12:30:00").register("d")
    log.contact("d", *every(60, "12:00:00", "12:30:00"), points=[point(1_000)])
    assert told(log.events()) == [("info", "info", "12:00:00")]


def test_case_16_a_child_of_a_gateway_with_a_clock_of_1970_is_heard_now():
    log = AlertLog(until="12:30:00").register("d")
    old = point(1_000, via_gateway="true")
    log.contact("d", *every(60, "12:00:00", "12:30:00"), points=[old])
    assert told(log.events()) == [("info", "info", "12:00:00")]


def test_case_17_a_clock_that_steps_back_10_min_is_not_told():
    log = AlertLog(until="12:30:00").register("d")
    skewed(log, "d", every(60, "12:00:00", "12:10:00"), 0)
    assert skewed(log, "d", every(60, "12:11:00", "12:30:00"), -600_000).events() == []


@pytest.mark.parametrize(("ahead_ms", "count"), [(120_000, 0), (120_001, 1)])
def test_a_clock_exactly_2_min_ahead_is_right(ahead_ms, count):
    log = AlertLog(until="12:05:00").register("d")
    skewed(log, "d", every(60, "12:00:00", "12:05:00"), ahead_ms)
    assert len(log.of(SKEW)) == count


def days(ahead_by_day):
    """Return when a device is told of that reports once an hour, by its clock's error each hour."""
    log = AlertLog(until="+2 23:00:00").register("d", report_interval_s=7200)
    for hour, ahead_ms in enumerate(ahead_by_day):
        time_ms = at("00:00:00") + hour * HOUR_MS
        points = [] if ahead_ms is None else [point(time_ms + ahead_ms)]
        log.contact("d", time_ms, points=points)
    log.until = str(clock_of(at("00:00:00") + len(ahead_by_day) * HOUR_MS))
    return [clock_of(e["time"]) for e in log.of(SKEW)]


def test_a_clock_that_stays_wrong_for_days_is_told_once():
    assert days([HOUR_MS] * 60) == ["00:00:00"]


def test_a_clock_that_is_right_in_between_is_told_at_most_once_a_day():
    assert days([HOUR_MS, 0] * 30) == ["00:00:00", "+1 00:00:00", "+2 00:00:00"]


def test_a_contact_without_points_does_not_put_a_clock_right():
    assert days([HOUR_MS, None] * 30) == ["00:00:00"]


def random_log(seed):
    # An odd millisecond: what comes first within one instant is no fact of the log.
    chance = random.Random(seed)
    log = AlertLog(until="13:00:00")
    for number in range(6):
        log.register(f"d{number}")
        for time_ms in every(chance.choice([60, 240, 400]), "12:00:00", "13:00:00"):
            skewed(log, f"d{number}", [time_ms], chance.choice([0, 0, HOUR_MS]))
    return log.remove("d0", "12:30:00.501").register("d0", when="12:40:00.501").records()


@pytest.mark.parametrize("seed", range(6))
def test_blocks_shards_and_restarts_change_no_info(seed):
    lines, chance = random_log(seed), random.Random(seed)
    whole = [e["id"] for e in Backtest(OfflinePolicy(), BacktestPlan(fine_ms=None)).run(lines)]
    backtest = Backtest(OfflinePolicy(), BacktestPlan(chance.choice([1, 2, 4]), fine_ms=None))
    numbered, events = list(numbered_lines(lines)), []
    cuts = sorted(chance.randrange(len(lines)) for _ in range(9))
    for begin, end in pairwise([0, *cuts, len(lines)]):
        events += backtest.take(numbered[begin:end])
        backtest.restart()
    assert [e["id"] for e in events + backtest.end()] == whole
    assert len(whole) > 6


def test_who_has_a_wrong_clock_is_part_of_the_state():
    backtest = Backtest(OfflinePolicy(), BacktestPlan(fine_ms=None))
    backtest.take(list(numbered_lines(random_log(1))))
    (shard,) = backtest.shards
    assert len(shard.skews.rows) > 0
    assert (LivenessShard.from_bytes(shard.to_bytes()).skews.rows == shard.skews.rows).all()
