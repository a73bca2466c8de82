"""Emergencies of deployment groups and sites beside the tenant's (C5, C6, C7, C13).

In the time lines: o = a contact, x = nothing more comes, E R = emergency fires, resolves.
"""

from typing import Any

import pytest

from jobs.backtest import Backtest, BacktestPlan
from jobs.backtest_blocks import numbered_lines
from tests.alert_logs import COARSE, AlertLog, Event, clock_of, every
from udfs.fleet_keys import FleetKey
from udfs.offline_policy import FleetKind, OfflinePolicy

ALL = FleetKind.TENANT | FleetKind.DEPLOYMENT_GROUP | FleetKind.SITE
POLICY = OfflinePolicy(fleet_kinds=ALL)


def names(count: int, prefix: str = "d") -> list[str]:
    return [f"{prefix}{number:03d}" for number in range(count)]


def place(log: AlertLog, devices: list[str], until: str = "12:40:00", **twin: Any) -> AlertLog:
    """Register devices somewhere, heard each minute until an instant."""
    for name in devices:
        log.register(name, **twin).contact(name, *every(60, "12:00:00", until))
    return log


def come_back(log: AlertLog, devices: list[str], since: str) -> None:
    """Let devices be heard again from an instant on."""
    for name in devices:
        log.contact(name, *every(60, since, "12:40:00"))


def fleets(log: AlertLog, policy: OfflinePolicy = POLICY) -> list[Event]:
    events = log.events(policy=policy)
    return [e for e in events if e["type"] == "fleetpulse.alert.fleet-offline"]


def told(events: list[Event]) -> list[tuple[str, str, str | None, bool]]:
    return [(e["subject"], e["status"], clock_of(e["time"]), e["notify"]) for e in events]


def counts(event: Event) -> tuple[int, int]:
    return event["counts"]["monitored"], event["counts"]["offline"]


#  paris: 50 of 50 stop at 12:00; 950 others run on
def nested(others_silent: int = 0) -> AlertLog:
    log = AlertLog(until="12:40:00")
    place(log, names(50, "p"), "12:00:00", site="paris", deployment_group="g")
    place(log, names(950 - others_silent, "o"), site="oslo", deployment_group="h")
    return place(log, names(others_silent, "q"), "12:10:00", site="rome", deployment_group="h")


def test_case_41_a_site_of_50_fires_and_5_percent_of_the_tenant_do_not() -> None:
    events = fleets(nested(), OfflinePolicy(fleet_kinds=FleetKind.TENANT | FleetKind.SITE))
    assert told(events) == [("site/paris", "firing", "12:05:00", True)]
    assert counts(events[0]) == (50, 5)
    assert events[0]["labels"] == {"tenant": "acme", "rule": "fleet-offline", "site": "paris"}
    assert events[0]["summary"] == "5 of 50 devices of site paris of acme are offline."


#  12:05 paris E, 12:15 rome: the 3rd of 60 fires it, the 50th is the tenant's 100th
def test_case_41_the_tenants_emergency_silences_sites_that_fire_later() -> None:
    log = nested(60)
    place(log, names(10, "z"), "12:20:00", site="zagreb")
    events = fleets(log, OfflinePolicy(fleet_kinds=FleetKind.TENANT | FleetKind.SITE))
    tenant = events[2]
    assert told(events) == [
        ("site/paris", "firing", "12:05:00", True),
        ("site/rome", "firing", "12:15:00", True),
        ("tenant/acme", "firing", "12:15:00", True),
        ("site/zagreb", "firing", "12:25:00", False),
    ]
    assert counts(tenant) == (1010, 101)
    assert events[3]["suppressed_by"] == [tenant["id"]]


#  a, b, c of one site and group, all there is: three fleets reach their need with one device
def test_case_41_what_fires_with_the_tenant_is_one_page() -> None:
    log = place(AlertLog(until="12:40:00"), names(3), "12:00:00", site="s", deployment_group="g")
    come_back(log, names(3), "12:10:00")
    events = fleets(log)
    assert told(events) == [
        ("tenant/acme", "firing", "12:05:00", True),
        ("group/g", "firing", "12:05:00", False),
        ("site/s", "firing", "12:05:00", False),
        ("tenant/acme", "resolved", "12:15:00", True),
        ("group/g", "resolved", "12:15:00", False),
        ("site/s", "resolved", "12:15:00", False),
    ]
    assert {tuple(e["suppressed_by"]) for e in events if not e["notify"]} == {(events[0]["id"],)}


def test_c6_a_site_that_was_told_is_resolved_though_the_tenants_emergency_stands() -> None:
    log = AlertLog(until="12:40:00")
    place(log, names(5, "p"), "12:00:00", site="paris")
    come_back(log, names(5, "p"), "12:12:00")
    place(log, names(10, "r"), "12:02:00", site="rome")
    place(log, names(50, "o"), site="oslo")
    events = fleets(log)
    assert ("tenant/acme", "firing", "12:07:00", True) in told(events)
    assert ("site/paris", "resolved", "12:17:00", True) in told(events)
    assert not any(e["status"] == "resolved" for e in events if e["subject"] == "tenant/acme")


def test_c7_devices_are_silenced_by_every_emergency_that_covers_them() -> None:
    log = place(AlertLog(until="12:40:00"), names(6), "12:00:00", site="s", deployment_group="g")
    place(log, names(1, "late"), "12:03:00", site="s", deployment_group="h")
    place(log, names(1, "other"), "12:03:00", site="t")
    events = log.events(policy=POLICY)
    id_of = {e["subject"]: e["id"] for e in events if e["severity"] == "emergency"}
    warnings = {e["subject"]: e for e in events if e["severity"] == "warning"}
    tenant, group, site = id_of["tenant/acme"], id_of["group/g"], id_of["site/s"]
    assert warnings["device/d002"]["notify"]
    assert warnings["device/d003"]["suppressed_by"] == [tenant, group, site]
    assert warnings["device/late000"]["suppressed_by"] == [tenant, site]
    assert warnings["device/other000"]["suppressed_by"] == [tenant]


def test_c3_a_group_and_a_site_of_one_name_have_episodes_of_their_own() -> None:
    log = place(AlertLog(until="12:10:00"), names(3), "12:00:00", site="x", deployment_group="x")
    events = fleets(log)
    assert {e["subject"] for e in events} == {"tenant/acme", "group/x", "site/x"}
    assert len({e["episode_id"] for e in events}) == 3
    assert "fleet-offline/acme/group/x/" in events[1]["dedup_key"]


@pytest.mark.parametrize(("total", "silent", "fires"), [
    (1, 1, 0), (2, 1, 0), (2, 2, 1), (5, 2, 0), (5, 3, 1), (20, 2, 0), (20, 3, 1), (100, 9, 0),
    (100, 10, 1),
])  # fmt: skip
def test_case_36_39_groups_have_the_needs_of_their_size(
    total: int, silent: int, fires: int
) -> None:
    log = place(AlertLog(until="12:10:00"), names(silent), "12:00:00", deployment_group="g")
    place(log, names(total - silent, "on"), deployment_group="g", until="12:10:00")
    place(log, names(1000, "rest"), until="12:10:00")
    events = fleets(log)
    assert told(events) == [("group/g", "firing", "12:05:00", True)] * fires


def test_case_38_a_slow_drip_fires_at_the_tenth_of_a_group_of_100() -> None:
    log = place(AlertLog(until="12:30:00"), names(500, "rest"), "12:30:00")
    for number, name in enumerate(names(100)):
        place(log, [name], f"12:{min(number, 30):02d}:00", deployment_group="g")
    assert told(fleets(log)) == [("group/g", "firing", "12:14:00", True)]


def test_case_39_an_emergency_of_a_site_ends_when_its_last_device_leaves() -> None:
    log = place(AlertLog(until="12:20:00"), ["a", "b"], "12:00:00", site="s")
    place(log, names(30, "rest"))
    log.remove("a", "12:10:00").register("b", when="12:11:00", site="t")
    events = fleets(log)
    assert told(events) == [
        ("site/s", "firing", "12:05:00", True),
        ("site/s", "resolved", "12:11:00", True),
    ]
    assert events[1]["reason"] == "no_monitored_devices"
    assert counts(events[1]) == (0, 0)


def test_case_42_the_sites_of_two_tenants_do_not_touch() -> None:
    log = AlertLog(until="12:10:00")
    for name in names(3):
        log.register(name, tenant="a", site="s").register(name, tenant="b", site="s")
        log.contact(name, "12:00:00", tenant_id="a")
        log.contact(name, *every(60, "12:00:00", "12:10:00"), tenant_id="b")
    events = fleets(log)
    assert {e["tenant_id"] for e in events} == {"a"}
    assert [counts(e) for e in events if e["subject"] == "site/s"] == [(3, 3)]


#  3 of r are offline, then the registry says they are of s (5 there): 3 of 8, need 3
def test_c5_devices_that_join_a_site_offline_never_fire_by_themselves() -> None:
    log = place(AlertLog(until="12:40:00"), names(3), "12:00:00", site="r")
    place(log, names(40, "r"), site="r")
    place(log, names(5, "s"), site="s")
    log.register(*names(3), when="12:10:00", site="s")
    assert fleets(log, OfflinePolicy(fleet_kinds=ALL)) == []
    place(log, ["one"], "12:20:00", site="s")
    (event,) = fleets(log)
    assert (event["subject"], clock_of(event["time"])) == ("site/s", "12:25:00")
    assert counts(event) == (9, 4)
    assert event["counts"]["sample_devices"] == [*names(3), "one"]


#  the registry gives no group: a claim moves the device from g to h, alive
def test_c5_a_device_that_claims_another_group_counts_there() -> None:
    log = place(AlertLog(until="12:30:00"), names(40, "rest"))
    for name, last in (("a", "12:02:00"), ("b", "12:02:00"), ("c", "12:20:00")):
        log.register(name).contact(name, "12:00:00", deployment_group="g")
        log.contact(name, *every(60, "12:01:00", last), deployment_group="h")
    place(log, ["x", "y"], deployment_group="g")
    events = fleets(log)
    assert [(e["subject"], clock_of(e["time"]), counts(e)) for e in events] == [
        ("group/h", "12:25:00", (3, 3))
    ]


def test_c5_a_device_that_comes_back_with_another_group_leaves_both_counts_right() -> None:
    log = place(AlertLog(until="12:40:00"), names(40, "rest"))
    for name in names(3):
        log.register(name).contact(name, "12:00:00", deployment_group="g")
    log.contact("d000", *every(60, "12:10:00", "12:40:00"), deployment_group="h")
    events = fleets(log)
    assert told(events) == [("group/g", "firing", "12:05:00", True)]
    log.contact("d001", *every(60, "12:11:00", "12:40:00"), deployment_group="h")
    log.contact("d002", *every(60, "12:12:00", "12:40:00"), deployment_group="h")
    events = fleets(log)
    assert told(events)[1:] == [("group/g", "resolved", "12:12:00", True)]
    assert events[1]["reason"] == "no_monitored_devices"


@pytest.mark.parametrize("scope", [{"site": "s"}, {"deployment_group": "g"}, {}])
def test_c13_a_mute_of_its_scope_silences_an_emergency_until_it_ends(scope: dict[str, str]) -> None:
    log = place(AlertLog(until="12:20:00"), names(3), "12:00:00", site="s", deployment_group="g")
    place(log, names(60, "rest"))
    log.control("12:01:00", "mute", **{"from": "12:01:00", "until": "12:10:00"}, scope=scope)
    events = fleets(log)
    muted = [e["subject"] for e in events if not e["notify"]]
    of_scope = {"site": ["site/s"], "deployment_group": ["group/g"]}
    expected = of_scope[next(iter(scope))] if scope else ["group/g", "site/s"]
    assert muted == expected
    later = [e for e in events if clock_of(e["time"]) == "12:10:00"]
    assert [(e["subject"], e["reason"], e["notify"]) for e in later] == [
        (subject, "mute_ended", True) for subject in expected
    ]


def test_maintenance_of_a_site_takes_its_devices_out_of_its_n() -> None:
    log = place(AlertLog(until="12:40:00"), names(5), "12:00:00", site="s")
    place(log, names(60, "rest"))
    span = {"from": "12:01:00", "until": "12:30:00"}
    log.control("12:01:00", "maintenance", **span, scope={"site": "s"})
    events = fleets(log)
    assert told(events) == [("site/s", "firing", "12:35:00", True)]


def test_fleets_with_nobody_in_them_take_no_state() -> None:
    log = place(AlertLog(until="12:20:00"), names(20), "12:20:00", site="r0")
    for minute in range(1, 15):
        log.register(*names(20), when=f"12:{minute:02d}:30", site=f"r{minute}")
    backtest = Backtest(POLICY, BacktestPlan(fine_ms=None))
    backtest.take(list(numbered_lines(log.records())))
    assert list(backtest.fleet.fleets) == [
        FleetKey("acme"), FleetKey("acme", FleetKind.SITE, "r14"),
    ]  # fmt: skip


def test_tenants_alone_are_watched_unless_more_is_asked_for() -> None:
    log = place(AlertLog(until="12:40:00"), names(3), "12:00:00", site="s", deployment_group="g")
    assert {e["subject"] for e in fleets(log, OfflinePolicy())} == {"tenant/acme"}
    assert {e["subject"] for e in log.events(COARSE) if e["severity"] == "emergency"} == {
        "tenant/acme"
    }
