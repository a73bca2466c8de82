"""Events that wait for a backlog: what leaves, when, and whom it is told to (C7, case 25)."""

from dataclasses import replace

from jobs.backtest import Backtest, BacktestPlan
from jobs.backtest_blocks import numbered_lines
from tests.alert_logs import AlertLog, at, clock_of, every
from udfs.backlog import SETTLE_MS, hold_if_lagging
from udfs.fleet import FleetState, on_transitions
from udfs.liveness import on_block
from udfs.offline_policy import OfflinePolicy
from udfs.transitions import no_transitions

POLICY = OfflinePolicy()
LAG_MAX_MS = POLICY.lag_after_ms


def lagging(clock_ms, now_ms, state=None):
    return hold_if_lagging(state or FleetState.empty(1), clock_ms, now_ms, POLICY)


def test_a_lag_of_over_a_minute_holds_until_half_a_minute_after_it_was_seen():
    now_ms = at("12:30:00")
    assert lagging(now_ms - LAG_MAX_MS, now_ms).hold_until_ms is None
    state = lagging(now_ms - LAG_MAX_MS - 1, now_ms)
    assert state.hold_until_ms == now_ms + SETTLE_MS
    later = lagging(now_ms - 90_000, now_ms + 5_000, state)
    assert later.hold_until_ms == now_ms + SETTLE_MS, "a hold that is on is not made longer"


def test_the_end_of_a_silence_of_all_input_is_no_backlog():
    """The first shard that speaks again shows that the log is read as it is written."""
    state = replace(FleetState.empty(2), clocks_ms=(at("12:00:00"), at("12:00:00")))
    assert lagging(at("12:30:00"), at("12:30:01"), state).hold_until_ms is None
    assert lagging(at("12:28:00"), at("12:30:01"), state).hold_until_ms is not None


def test_before_any_input_nothing_is_held():
    assert lagging(-1, at("12:30:01")).hold_until_ms is None


def test_a_hold_ends_when_the_clocks_have_passed_it_and_a_new_lag_holds_anew():
    now_ms = at("12:30:00")
    state = lagging(at("12:10:00"), now_ms)
    step = on_transitions(state, 0, no_transitions(), now_ms + SETTLE_MS, POLICY)
    assert step.state.hold_until_ms is None
    later_ms = now_ms + SETTLE_MS + LAG_MAX_MS + 1
    assert lagging(now_ms, later_ms, step.state).hold_until_ms is not None


def fed(lines, now, chunk_count):
    """Feed lines to the pure stages in chunks; none is read before `now` or its own instant."""
    backtest = Backtest(POLICY, BacktestPlan(fine_ms=None))
    numbered, events = list(numbered_lines(lines)), []
    size = -(-len(numbered) // chunk_count)
    fleet, shard = backtest.fleet, backtest.shards[0]
    for first in range(0, len(numbered), size):
        chunk = numbered[first : first + size]
        (block,) = backtest.blocks_of(chunk)
        done = on_block(shard, block, POLICY)
        shard = done.state
        now_ms = max(at(now), *(line.line.at_ms for line in chunk))
        held = hold_if_lagging(fleet, done.clock_ms, now_ms, POLICY)
        step = on_transitions(held, 0, done.transitions, done.clock_ms, POLICY)
        fleet = step.state
        events += step.events
    return events


def read_in_turns(log, live_from):
    """Return the records as a reader gets them who takes 10 min of each partition at once."""
    backlog = [record for record in log.records() if record.at_ms < at(live_from)]
    live = [record for record in log.records() if record.at_ms >= at(live_from)]
    first_ms = backlog[0].at_ms
    turns = sorted(backlog, key=lambda r: ((r.at_ms - first_ms) // 600_000, r.partition, r.at_ms))
    return turns + live


#  the log            p0 and p1 speak all the while
#  as it is read      p0 12:00-12:10, then p1 12:00-12:10, then p0 12:10-12:20 ... then live
def test_after_an_outage_of_ours_partitions_that_are_read_in_turns_are_not_called_silent():
    log = AlertLog(until="12:42:00").register("d", "e", "f")
    log.contact("d", *every(60, "12:00:00", "12:42:00"), partition=0)
    log.contact("e", *every(60, "12:00:00", "12:42:00"), partition=1)
    log.contact("f", *every(60, "12:00:00", "12:32:00"), partition=1)
    events = fed(read_in_turns(log, "12:40:00"), "12:40:00", 40)
    told = [(e["subject"], clock_of(e["time"]), e["notify"]) for e in events]
    assert told == [("device/f", "12:37:00", True)]


#  p1 12:00 - 12:35, then nothing
def test_a_partition_that_is_silent_at_the_end_of_the_backlog_is_called_so():
    log = AlertLog(until="12:42:00").register("d").outage("12:35:00", "12:42:00", partition=1)
    log.contact("d", *every(60, "12:00:00", "12:42:00"), partition=0).tick("12:00:00", partition=1)
    events = fed(read_in_turns(log, "12:40:00"), "12:40:00", 40)
    told = [(e["subject"], e["status"], clock_of(e["starts_at"])) for e in events]
    assert told[0] == ("partition/1", "firing", "12:35:00")


def test_what_was_resolved_in_the_backlog_is_told_to_nobody_and_what_stands_is():
    log = AlertLog(until="12:42:00").register("d", "e")
    log.contact("d", "12:00:00", *every(60, "12:20:00", "12:42:00"))
    log.contact("e", *every(60, "12:00:00", "12:20:00"))
    events = fed(log.records(), "12:38:00", 16)
    told = [(e["subject"], e["status"], clock_of(e["time"]), e["notify"]) for e in events]
    assert told == [
        ("device/d", "firing", "12:05:00", False),
        ("device/d", "resolved", "12:20:00", False),
        ("device/e", "firing", "12:25:00", True),
    ]


#  12:05  emergency, muted   12:15 the mute ends   12:38 we begin to read all of it, bit by bit
def test_a_mute_that_ended_in_the_backlog_is_told_of_an_emergency_that_stands():
    names = [f"d{number}" for number in range(10)]
    log = AlertLog(until="12:42:00").register(*names)
    log.contact(names[0], *every(60, "12:00:00", "12:42:00")).contact("d1", "12:00:00")
    for name in names[2:]:
        log.contact(name, "12:00:00")
    log.control("12:01:00", "mute", **{"from": "12:01:00", "until": "12:15:00"})
    lines = log.records()
    live, late = fed(lines, "12:00:00", 16), fed(lines, "12:38:00", 16)
    of_fleet = [(e["seq"], e["time"]) for e in live if e["subject"].startswith("tenant/")]
    assert [seq for seq, _ in of_fleet] == [1, 2]
    assert [(e["seq"], e["time"]) for e in late if e["subject"].startswith("tenant/")] == of_fleet
