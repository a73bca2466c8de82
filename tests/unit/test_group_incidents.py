"""One incident of a group instead of many of its devices; a function of the log."""

import random

import polars as pl
import pytest

from tests.alert_logs import at
from tests.drift_chain import MINUTE_MS, DriftChain, bad_log
from tests.drift_findings import finding
from tests.rules_chain import Aggregate
from tests.unit.test_rules_laws import blocks_of
from udfs.drift.company import NEAR_SCHEMA, SIZE_SCHEMA, Company
from udfs.drift.drift_shard import DriftPolicy
from udfs.drift.findings import DriftFinding, Rule, Severity, State
from udfs.drift.group_incidents import GroupIncidents
from udfs.drift.shard_reports import Found

STEP_MS = 5 * MINUTE_MS
SIZE = 100


def step(
    groups: GroupIncidents,
    number: int,
    *,
    pages: tuple[DriftFinding, ...] = (),
    near: tuple[tuple[str, str, float, float], ...] = (),
) -> tuple[list[DriftFinding], list[DriftFinding]]:
    """Let a step pass: findings, and streams near a page as device, metric, margin, sigma."""
    at_ms = number * STEP_MS
    rows = [(at_ms, "t", "g", device, metric, at_ms, margin, sigma, at_ms)
            for device, metric, margin, sigma in near]  # fmt: skip
    company = Company(
        pl.DataFrame(rows, schema=NEAR_SCHEMA, orient="row"),
        pl.DataFrame([(at_ms, "t", "g", SIZE)], schema=SIZE_SCHEMA, orient="row"),
    )
    # What is kept says all of it.
    said, own = GroupIncidents.from_values(groups.to_values()).judge(
        [Found(at_ms, "g", "m", each) for each in pages], company, at_ms
    )
    assert (said, own) == groups.judge(
        [Found(at_ms, "g", "m", each) for each in pages], company, at_ms
    )
    return [each.finding for each in said], [each.finding for each in own]


def page(device: str, metric: str = "power_w", **changes: object) -> DriftFinding:
    names = {"incident_id": f"{device}-{metric}", "finding_id": f"{device}-{metric}-f"}
    plain = {"tenant_id": "t", "subject": device, "metric": metric, "log10_e": 8.0}
    return finding(**names | plain | changes)


def near(*devices: int, metric: str = "power_w", margin: float = -0.5, sigma: float = 1.2):
    return tuple((f"d{n}", metric, margin, sigma) for n in devices)


def test_one_device_that_pages_is_told_alone_and_says_what_else_it_does():
    said, own = step(
        GroupIncidents(), 1, pages=(page("d0"),), near=near(0, metric="load_ratio") + near(7)
    )
    assert own == []
    (told,) = said
    assert (told.notify, told.co_drifting_metrics) == (True, ("load_ratio",))
    assert (told.peers_affected, told.peers) == (1, SIZE - 1)


# By e-BH five devices need a fifth each: log10 of it is -0.7.
@pytest.mark.parametrize(("margin", "is_told"), [(-0.69, True), (-0.75, False)])
def test_five_devices_together_need_a_fifth_of_the_evidence_each(margin, is_told):
    _, own = step(GroupIncidents(), 1, near=near(*range(5), margin=margin))
    assert len(own) == is_told


def test_who_pages_with_four_others_near_it_is_told_as_one_incident_with_its_metrics():
    groups = GroupIncidents()
    said, own = step(groups, 1, pages=(page("d0"),), near=near(1, 2, 3, 4, margin=-3.5))
    (incident,) = own
    assert (said[0].notify, incident.notify, incident.scope, incident.subject) == (
        False, True, "group", "g",
    )  # fmt: skip
    assert (incident.peers_affected, incident.peers, incident.metric) == (5, SIZE, "power_w")
    assert incident.reason.startswith("5 of 100 devices (5%) move together: power_w")
    joined, more = step(groups, 2, pages=(page("d1", "load_ratio", shift_sigma=2.5),))
    assert not joined[0].notify
    assert (more[0].incident_id, more[0].severity) == (incident.incident_id, Severity.CRITICAL)
    assert set(more[0].co_drifting_metrics) | {more[0].metric} == {"power_w", "load_ratio"}


def test_devices_that_move_to_the_other_side_are_no_company():
    _, own = step(
        GroupIncidents(), 1, pages=(page("d0"),), near=near(1, 2, 3, 4, margin=-3.5, sigma=-1.0)
    )
    assert own == []


#            1 opens      7 over, each member          14 half an hour later
def test_an_incident_is_over_half_an_hour_after_its_last_member_and_a_later_one_is_another():
    groups = GroupIncidents()
    first = step(groups, 1, pages=tuple(page(f"d{n}") for n in range(5)))[1][0]
    ends = tuple(page(f"d{n}", state=State.RESOLVED) for n in range(5))
    assert step(groups, 6, pages=ends)[1] == []
    (over,) = step(groups, 7)[1]
    assert (over.state, over.incident_id) == (State.RESOLVED, first.incident_id)
    second = step(groups, 14, pages=tuple(page(f"d{n}") for n in range(5)))[1][0]
    assert second.incident_id != first.incident_id


def test_another_metric_after_half_an_hour_pages_by_itself_and_the_same_one_after_hours_not():
    groups = GroupIncidents()
    step(groups, 1, pages=tuple(page(f"d{n}") for n in range(5)))
    said, _ = step(groups, 8, pages=(page("d8", "load_ratio"), page("d9")))
    assert [f.notify for f in said] == [True, False]


def test_a_metric_of_the_group_itself_is_an_incident_of_the_group():
    group = page("g", scope="group", peers_affected=0)
    said, own = step(GroupIncidents(), 1, pages=(group,))
    assert (said[0].notify, own[0].notify) == (False, True)
    assert own[0].reason == "the group as a whole moves: power_w (+1.5 sigma)"


BAD = {f"d{n}": (10, 40) if n < 6 else (0, 0) for n in range(8)}


def test_six_devices_that_go_blind_are_one_page_whatever_the_cut_shards_or_restarts():
    log = bad_log(BAD, 100)
    written = Aggregate(30_000, is_gathered=True).windows(log, at("13:50:00"))
    whole = DriftChain(policy=DriftPolicy(partition_count=2))
    whole.windows(written)
    cut = DriftChain(4, DriftPolicy(partition_count=2), is_restarted=True)
    for block in blocks_of(written, random.Random(1), 12):
        cut.windows(block)
    assert (cut.findings, cut.alerts) == (whole.findings, whole.alerts)
    told = [e for e in whole.alerts if e["notify"]]
    assert [(e["subject"], e["status"]) for e in told] == [
        ("group/g", "firing"),
        ("group/g", "resolved"),
    ]
    devices = [e for e in whole.alerts if e["subject"].startswith("device/")]
    incident = told[0]["labels"]["incident_id"]
    assert len(devices) == 12
    assert all(e["suppressed_by"] == [incident] for e in devices)
    (first,) = [f for f in whole.findings if f.scope == "group" and f.state is State.FIRING]
    assert (first.rule, first.peers_affected, first.peers) == (Rule.DRIFT, 6, 8)
