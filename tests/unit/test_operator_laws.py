"""What operators bring about depends on the log alone: not on blocks, shards or restarts."""

import pytest

from jobs.backtest import BacktestPlan
from tests.alert_logs import COARSE, FINE, AlertLog, at, every
from tests.unit.test_alert_operators import names, scoped


def story():
    """Everything at once, on two partitions."""
    log = AlertLog(until="13:10:00")
    for number, name in enumerate(names(12)):
        log.register(name, site="s" if number % 2 else "r", deployment_group=f"g{number % 3}")
        log.contact(name, "12:00:00", partition=number % 2)
        back = "12:00:00" if number < 4 else f"12:{12 + 2 * number}:00"
        log.contact(name, *every(60, back, "13:10:00"), partition=number % 2)
        if number < 4:
            log.lines = [
                r
                for r in log.lines
                if r.fields.get("device_id") != name or r.at_ms <= at(f"12:{5 * number:02d}:30")
            ]
    log.control(
        "12:02:00", "maintenance", **{"from": "12:03:00", "until": "12:20:00"}, **scoped(site="s")
    )
    log.control(
        "12:04:00",
        "mute",
        **{"from": "12:04:00", "until": "12:22:00"},
        **scoped(deployment_group="g1"),
    )
    log.control("12:08:00", "mute", **{"from": "12:08:00", "until": "12:31:00"})
    log.control("12:09:00", "goodbye", expected_back="12:50:00", **scoped(device_id="d02"))
    log.control(
        "12:15:00", "maintenance", **{"from": "12:15:00", "until": "12:40:00"}, **scoped(site="s")
    )
    log.register("d05", when="12:16:00", site="r")
    return log


PLANS = [
    COARSE,
    FINE,
    BacktestPlan(shard_count=3, fine_ms=None),
    BacktestPlan(2, 7, None),
    BacktestPlan(1, 1, None),
]


@pytest.mark.parametrize("plan", PLANS[1:], ids=["fine", "3 shards", "blocks of 7", "line by line"])
def test_neither_blocks_nor_shards_change_what_operators_bring_about(plan):
    def decided(events):
        names = (
            "id",
            "time",
            "severity",
            "status",
            "notify",
            "suppressed_by",
            "channels",
            "acked",
            "reason",
        )
        return [tuple(str(e[name]) for name in names) for e in events]

    assert decided(story().events(plan)) == decided(story().events(COARSE))
    assert len(story().events(COARSE)) > 20


@pytest.mark.parametrize("minute", [3, 5, 9, 16, 21, 23, 32, 41])
def test_a_restart_at_any_point_changes_no_event(minute):
    """Between planning, begin, end and telling."""
    restarted = story().engine(stop=f"12:{minute:02d}:10", start=f"12:{minute:02d}:12")
    assert [e["id"] for e in restarted.events()] == [e["id"] for e in story().events()]
