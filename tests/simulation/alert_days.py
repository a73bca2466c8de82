"""Days of alerts of a whole fleet, compared with a brute-force oracle event by event.

    python -m tests.simulation.alert_days --devices 10000 --days 2 --seed 7

The engine reads the log three times: with 1, 2 and 4 shards, cut at other places, killed at others.
Exit code 1 when an event is false, missing or different.
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.oracle.alerts_oracle import OfflineRules
from tests.oracle.days_oracle import DaysOracle
from tests.oracle.fleet_oracle import Alert
from tests.oracle.hearing_oracle import known_until_ms
from tests.simulation.day_faults import PARTITIONS, DayPlan, Habit, Script, build_script
from tests.simulation.day_log import Hour, hours_of
from tests.simulation.days_engine import DaysEngine
from udfs.offline_policy import FleetKind, OfflinePolicy

SHARD_COUNTS = (1, 2, 4)
POLICY = OfflinePolicy(fleet_kinds=FleetKind.TENANT | FleetKind.SITE)
RULES = OfflineRules(emergency_scopes=("tenant", "site"))


@dataclass
class Verdict:
    """What one engine told, against the oracle.

    Args:
        events: how many the oracle has.
        false_offline: ids of firings that it has not.
        false_resolved: ids of ends that it has not.
        missing: ids that it has alone.
        different: ids whose events differ.
        repeated: ids that came again after a crash, and not the same.
        is_in_order: whether the events of each tenant came in their order.
    """

    shard_count: int
    events: int
    false_offline: list[str]
    false_resolved: list[str]
    missing: list[str]
    different: list[str]
    repeated: list[str]
    is_in_order: bool
    cases: dict[str, int]

    @property
    def is_right(self) -> bool:
        """Return whether nothing is wrong."""
        wrong = self.false_offline + self.false_resolved + self.missing + self.different
        return not wrong + self.repeated and self.is_in_order


@dataclass
class Outcome:
    """What came of a simulation."""

    script: Script
    oracle: DaysOracle
    expected: list[Alert]
    engines: list[DaysEngine]
    verdicts: list[Verdict]
    faults: Counter[str] = field(default_factory=Counter)
    """How often each kind of fault took place."""


def simulate(plan: DayPlan, shard_counts: Sequence[int] = SHARD_COUNTS) -> Outcome:
    """Write the log once, hour by hour, and let the oracle and every engine read it."""
    script = build_script(plan)
    oracle = DaysOracle(script.registrations, PARTITIONS, RULES)
    engines = [DaysEngine(script, POLICY, count, plan.seed) for count in shard_counts]
    faults: Counter[str] = Counter()
    for hour in hours_of(script):
        oracle.hear(hour.append_ms, hour.partition, hour.device, hour.sequence)
        _count_records(faults, script, hour)
        for engine in engines:
            engine.read(hour)
    for engine in engines:
        engine.end()
    expected = oracle.alerts()
    verdicts = [judge(expected, engine, oracle) for engine in engines]
    _count_faults(faults, script, oracle, expected)
    return Outcome(script, oracle, expected, engines, verdicts, faults)


def judge(expected: list[Alert], engine: DaysEngine, oracle: DaysOracle) -> Verdict:
    """Compare all events by id, and their order by tenant."""
    # What falls on the very end of the log waits for the log to move on.
    end_ms = known_until_ms(oracle.partitions, RULES)
    right = {event["id"]: event for event in expected}
    told = {event_id: e for event_id, e in engine.told.items() if e["time"] < end_ms}
    false = [event for event_id, event in told.items() if event_id not in right]
    assert len(right) == len(expected), "the oracle gave an id twice"
    in_order = sorted((e for e in told.values()), key=lambda e: str(e["tenant_id"]))
    return Verdict(
        len(engine.shards),
        len(right),
        [e["id"] for e in false if e["status"] == "firing"],
        [e["id"] for e in false if e["status"] != "firing"],
        [event_id for event_id in right if event_id not in told],
        [event_id for event_id in right if event_id in told and told[event_id] != right[event_id]],
        engine.changed,
        [e["id"] for e in in_order if e["id"] in right] == [i for i in right if i in told],
        engine.cases,
    )


def _count_records(faults: Counter[str], script: Script, hour: Hour) -> None:
    is_contact = hour.device >= 0
    faults["contacts with a clock behind"] += int(
        (is_contact & (hour.append_ms < hour.clock_ms)).sum()
    )
    for span in script.ticks_away[:1]:
        inside = (hour.true_ms > span.begin_ms) & (hour.true_ms < span.end_ms)
        faults["contacts without ticks"] += int((inside & is_contact).sum())
    moved = is_contact & (hour.true_ms >= script.move_ms[hour.device])
    faults["contacts after a move"] += int(moved.sum())


def _count_faults(
    faults: Counter[str], script: Script, oracle: DaysOracle, expected: list[Alert]
) -> None:
    blind = [set(log.blind) for log in oracle.partitions.values()]
    begins = [{begin // 60_000 for begin, _ in spans} for spans in blind]
    whole = len(set.intersection(*begins))
    faults["all partitions silent"] = whole
    faults["one partition silent"] = sum(map(len, begins)) - PARTITIONS * whole
    faults["exact duplicates"] = oracle.duplicate_count
    faults["engine down"] = len(script.engine_down)
    faults["devices decommissioned"] = sum(said.status is None for _, said in script.registrations)
    faults["devices changed"] = int((script.habit == Habit.CHANGED).sum())
    silences = script.silences
    for edge_ms in (299_999, 300_000, 300_001, 1_800_000):
        name = f"silences of {edge_ms} ms"
        faults[name] = int((silences.end_ms - silences.begin_ms == edge_ms).sum())
    for event in expected:
        faults[_name_of(event)] += 1


def _name_of(event: Alert) -> str:
    rule = event["type"].rpartition(".")[2]
    if rule == "fleet-offline":
        return f"{event['subject'].split('/')[0]} emergency {event['status']}"
    return f"{rule} {event['severity']} {event['status']}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one simulation, print its tables and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--days", type=float, default=2)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**31))
    parser.add_argument("--blocks-per-hour", type=int, default=8)
    parser.add_argument("--shards", type=int, nargs="*", default=SHARD_COUNTS)
    given = parser.parse_args(arguments)
    print(f"seed {given.seed}", flush=True)
    plan = DayPlan(given.seed, given.devices, round(24 * given.days), given.blocks_per_hour)
    outcome = simulate(plan, given.shards)
    _print_tables(outcome)
    return int(not all(verdict.is_right for verdict in outcome.verdicts))


def _print_tables(outcome: Outcome) -> None:
    for name, count in sorted(outcome.faults.items()):
        print(f"  {name}: {count:,}")
    head = "shards", "contacts", "events", "false offline", "false resolved", "missing", "different"
    _print_row(*head, "told twice otherwise", "in order", "blocks", "restarts", "crashes")
    _print_row(*["---"] * (len(head) + 5))
    for each in outcome.verdicts:
        wrong = each.false_offline, each.false_resolved, each.missing, each.different, each.repeated
        cases = each.cases["blocks"], each.cases["restarts"], each.cases["crashes"]
        counts = [f"{outcome.oracle.contact_count:,}", f"{each.events:,}", *map(len, wrong)]
        _print_row(each.shard_count, *counts, "yes" if each.is_in_order else "no", *cases)
        for ids in wrong:
            for event_id in ids[:2]:
                print(_told_of(outcome, event_id), file=sys.stderr)


def _told_of(outcome: Outcome, event_id: str) -> str:
    right = [event for event in outcome.expected if event["id"] == event_id]
    told = [engine.told.get(event_id) for engine in outcome.engines]
    return f"oracle {right}\nengine {told}"


def _print_row(*cells: object) -> None:
    print("|", " | ".join(map(str, cells)), "|")


if __name__ == "__main__":
    sys.exit(main())
