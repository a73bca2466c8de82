"""The acceptance cases of the alert contract, by number, on the pure logic.

In the time lines: o = a contact, x = nothing more comes, W C R = warning, critical, resolved.
"""

from jobs.backtest import Backtest
from tests.alert_logs import FINE, AlertLog, Event, at, clock_of, every, told
from udfs.offline_policy import OfflinePolicy

FLEET = "fleet-offline"
DEVICE = "device-offline"
BLIND = "monitor-blind"


def names(count: int) -> list[str]:
    return [f"d{number:04d}" for number in range(count)]


def counts(event: Event) -> tuple[int, int]:
    return event["counts"]["monitored"], event["counts"]["offline"]


#  12:00   12:05                  12:30             14:00
#  o       W                      C                 |
def test_case_01_a_silent_device_warns_at_5_and_turns_critical_at_30_min() -> None:
    events = AlertLog(until="14:00:00").register("d").contact("d", "12:00:00").events()
    assert told(events) == [("firing", "warning", "12:05:00"), ("firing", "critical", "12:30:00")]
    warning, critical = events
    assert (warning["seq"], critical["seq"]) == (1, 2)
    assert warning["episode_id"] == critical["episode_id"]
    assert warning["id"] != critical["id"]
    assert critical["starts_at"] == warning["starts_at"] == at("12:05:00")
    assert critical["escalated_at"] == at("12:30:00")
    assert (warning["channels"], critical["channels"]) == (["email"], ["sms", "slack"])
    assert [e["last_seen"] for e in events] == [at("12:00:00")] * 2
    assert [e["notify"] for e in events] == [True, True]


#  12:00   12:05.000
#  o       o x           the record at the very instant wins
def test_case_02_a_record_at_the_same_instant_wins_over_the_warning() -> None:
    log = AlertLog(until="12:09:00").register("d").contact("d", "12:00:00", "12:05:00")
    assert log.events() == []


def test_case_02_a_record_1_ms_later_resolves_what_has_fired() -> None:
    log = AlertLog(until="12:09:00").register("d").contact("d", "12:00:00", "12:05:00.001")
    events = log.events()
    assert told(events) == [
        ("firing", "warning", "12:05:00"),
        ("resolved", "warning", "12:05:00.001"),
    ]
    assert events[1]["ends_at"] == at("12:05:00.001")


#  12:00   12:05      12:30   12:41
#  o       W          C       R
def test_case_04_recovery_after_critical_resolves_once_on_all_channels_told() -> None:
    log = AlertLog(until="12:45:00").register("d")
    events = log.contact("d", "12:00:00", *every(60, "12:41:00", "12:45:00")).events()
    assert [e["seq"] for e in events] == [1, 2, 3]
    resolved = events[2]
    assert told([resolved]) == [("resolved", "critical", "12:41:00")]
    assert resolved["channels"] == ["email", "sms", "slack"]
    assert resolved["notify"] is True
    assert resolved["silence_s"] == 41 * 60


#  12:00   12:05:12   12:10:03        a report each 5 minutes, with jitter
#  o       o          o
def test_case_05_a_device_with_long_reports_is_late_only_after_its_report_is() -> None:
    log = AlertLog(until="12:20:00").register("d", report_interval_s=300)
    assert log.contact("d", "12:00:00", "12:05:12", "12:10:03").events() == []


def test_case_05_a_missed_report_warns_5_min_after_it_was_due() -> None:
    log = AlertLog(until="12:20:00").register("d", report_interval_s=300)
    events = log.contact("d", "12:00:00").events()
    assert told(events) == [("firing", "warning", "12:10:00")]
    assert events[0]["threshold_s"] == 600


#  12:00   12:05    12:30   12:40  eight batches of old points
#  o       W        C       oooooooo
def test_case_08_a_backlog_out_of_order_resolves_exactly_once() -> None:
    log = AlertLog(until="12:42:00").register("d").contact("d", "12:00:00")
    for sequence, clock in enumerate(["12:35", "12:05", "12:20", "12:10", "12:30", "12:15"]):
        point = {"name": "t", "value": 1.0, "timestamp": f"2026-01-01T{clock}:00Z", "tags": {}}
        log.contact("d", "12:40:00", points=[point], boot_id="b", sequence=sequence)
    assert told(log.events()) == [
        ("firing", "warning", "12:05:00"),
        ("firing", "critical", "12:30:00"),
        ("resolved", "critical", "12:40:00"),
    ]


def test_case_15_a_device_clock_2_hours_ahead_decides_nothing() -> None:
    point = {"name": "t", "value": 1.0, "timestamp": "2026-01-01T14:00:00Z", "tags": {}}
    log = AlertLog(until="12:06:00").register("d").contact("d", "12:00:00", points=[point])
    assert told(log.events()) == [("info", "info", "12:00:00"), ("firing", "warning", "12:05:00")]


def test_case_16_a_device_clock_of_1970_decides_nothing() -> None:
    point = {"name": "t", "value": 1.0, "timestamp": "1970-01-01T00:00:01Z", "tags": {}}
    log = AlertLog(until="12:10:00").register("d")
    (event,) = log.contact("d", *every(60, "12:00:00", "12:10:00"), points=[point]).events()
    assert (event["type"], event["notify"]) == ("fleetpulse.alert.clock-skew", False)


#  append time   12:00 ... 12:10:00 | 12:09:20 12:09:25 ... 12:10:00 ... 12:20
#                                    the new leader is 40 s behind
def test_case_18_a_leader_40_s_behind_makes_no_device_offline() -> None:
    log = AlertLog(until="12:20:00").register("d", "e")
    lines = log.records(tick_ms=None)
    for clock in (*every(5, "12:00:00", "12:10:00"), *every(5, "12:09:20", "12:20:00")):
        on_minute = clock % 60_000 == 0
        step = AlertLog(until="12:20:00")
        step.contact("d", clock) if on_minute else step.contact("e", clock)
        lines += step.lines
    assert list(Backtest(OfflinePolicy()).run(lines)) == []


#  12:00  12:03 down ........ 12:20 up
#  o o o  o o o o o o o o o o o o o          the devices never stop
def test_case_19_the_engine_being_down_makes_no_healthy_device_offline() -> None:
    log = AlertLog(until="12:30:00").engine(stop="12:03:00", start="12:20:00")
    for name in names(50):
        log.register(name).contact(name, *every(60, "12:00:00", "12:30:00"))
    assert log.events() == []


#  12:00   12:04 down  12:04:40 up   12:05
#  o x                               W       never from 12:04:40 on
def test_case_22_a_crash_while_pending_does_not_start_the_5_min_anew() -> None:
    log = AlertLog(until="12:10:00").engine(stop="12:04:00", start="12:04:40")
    assert told(log.register("d").contact("d", "12:00:00").events()) == [
        ("firing", "warning", "12:05:00")
    ]


def test_case_23_24_the_same_log_gives_the_same_ids_with_and_without_a_restart() -> None:
    log = AlertLog(until="12:40:00").register("d").contact("d", "12:00:00", "12:38:00")
    straight = log.events()
    again = log.engine(stop="12:05:04", start="12:05:10").events()
    assert [e["id"] for e in again] == [e["id"] for e in straight]
    assert len(straight) == 3


#        12:00:00  12:02:00 ------ nothing at all ------ 12:32:00   12:34   12:35
#  D     o x       |                                     |                  W
#  F     11:57:30  |                                     |          W
def test_case_26_an_outage_of_all_input_is_excused() -> None:
    log = AlertLog(until="12:38:00").outage("12:02:00", "12:32:00")
    log.register("D", "F", when="11:50:00")
    log.contact("F", "11:57:30").contact("D", "12:00:00")
    for name in names(20):
        log.register(name, when="11:50:00")
        log.contact(name, *every(60, "11:57:00", "12:02:00"), *every(60, "12:33:00", "12:38:00"))
    events = log.events()
    blind = [e for e in events if e["type"].endswith(BLIND)]
    assert told(blind) == [
        ("firing", "critical", "12:02:30"),
        ("resolved", "critical", "12:32:00"),
    ]
    assert [clock_of(e["starts_at"]) for e in blind] == ["12:02:00"] * 2
    assert blind[1]["ends_at"] == at("12:32:00")
    others = [e for e in events if e not in blind]
    assert [(e["subject"], clock_of(e["starts_at"]), e["blind_seconds"]) for e in others] == [
        ("device/F", "12:34:00", 1800.0),
        ("device/D", "12:35:00", 1800.0),
    ]


#  12:00 contact and ticks ... | jump of offsets and time to 13:10
def test_case_28_lost_records_are_blind_time() -> None:
    log = AlertLog(until="13:16:00").outage("12:00:00", "13:10:00")
    log.register("d", "e").contact("d", "12:00:00", *every(60, "13:10:00", "13:16:00"))
    events = log.contact("e", "11:59:59").events()
    assert [e["subject"] for e in events if e["type"].endswith(DEVICE)] == ["device/e"]
    assert told(events)[-1] == ("firing", "warning", "13:14:59")


#  12:00 start     12:05
#  r . . . . . .   W        r = the registry calls it active; nothing was ever heard of it
def test_case_29_after_a_cold_start_active_devices_that_stay_silent_warn() -> None:
    log = AlertLog(until="12:08:00").register(*names(10), status="active", when="11:59:00")
    for name in names(10)[:9]:
        log.contact(name, *every(60, "12:00:00", "12:08:00"))
    lines = [r for r in log.records() if r.type != "tick" or r.at_ms >= at("12:00:00")]
    events = list(Backtest(OfflinePolicy()).run(lines))
    assert told(events) == [("firing", "warning", "12:05:00")]
    assert events[0]["subject"] == "device/d0009"
    assert events[0]["last_seen"] is None
    assert events[0]["reason"] == "not_seen_since_start"


#  1,000 devices, 60 s apart by turns; all stop at 12:01
def test_case_35_a_whole_fleet_that_stops_is_one_emergency() -> None:
    log = AlertLog(until="12:52:00")
    for number, name in enumerate(names(1000)):
        offset_ms = number * 60
        log.register(name)
        log.contact(name, at("12:00:00") + offset_ms)
        log.contact(name, *(at("12:45:00") + offset_ms + 60_000 * m for m in range(8)))
    events = log.events()
    fleet = [e for e in events if e["type"].endswith(FLEET)]
    assert told(fleet) == [
        ("firing", "emergency", "12:05:05.940"),
        ("resolved", "emergency", "12:50:55.200"),
    ]
    assert counts(fleet[0]) == (1000, 100)
    assert fleet[0]["channels"] == ["pagerduty", "oncall"]
    devices = [e for e in events if e["type"].endswith(DEVICE)]
    firing = [e for e in devices if e["status"] == "firing"]
    assert len(firing) == 2000
    assert sum(e["notify"] for e in firing) == 100
    hushed = [e for e in firing if not e["notify"]]
    assert {tuple(e["suppressed_by"]) for e in hushed} == {(fleet[0]["id"],)}
    resolved = [e for e in devices if e["status"] == "resolved"]
    assert len(resolved) == 1000
    # Only who was told of the beginning is told of the end.
    assert sum(e["notify"] for e in resolved) == 100
    assert {tuple(e["channels"]) for e in resolved if e["notify"]} == {("email",)}


def fleet_events(total: int, silent: int, until: str = "12:06:00") -> list[Event]:
    log = AlertLog(until=until)
    for number, name in enumerate(names(total)):
        log.register(name)
        log.contact(name, "12:00:00")
        if number >= silent:
            log.contact(name, *every(60, "12:01:00", until))
    return log.of(FLEET)


def test_case_36_99_of_1000_is_no_emergency_and_100_is_one() -> None:
    assert fleet_events(1000, 99) == []
    assert [counts(e) for e in fleet_events(1000, 100)] == [(1000, 100)]


#  one more device falls silent each minute
def test_case_38_a_slow_drip_fires_at_the_tenth_of_100() -> None:
    log = AlertLog(until="12:30:00")
    for number, name in enumerate(names(100)):
        last = f"12:{number:02d}:00" if number < 12 else "12:30:00"
        log.register(name).contact(name, *every(60, "12:00:00", last))
    assert told(log.of(FLEET)) == [("firing", "emergency", "12:14:00")]


def test_case_39_tiny_fleets_need_more_than_a_tenth() -> None:
    fired = {
        (total, silent): len(fleet_events(total, silent))
        for total, silent in ((1, 1), (2, 1), (2, 2), (5, 2), (5, 3), (20, 2), (20, 3))
    }
    assert fired == {(1, 1): 0, (2, 1): 0, (2, 2): 1, (5, 2): 0, (5, 3): 1, (20, 2): 0, (20, 3): 1}


#  5 devices, 3 silent; one comes back: M=2 holds it, M=1 for 300 s ends it
def test_case_39_an_emergency_of_5_clears_at_1_for_300_s() -> None:
    log = AlertLog(until="12:30:00").register(*names(5))
    for name in names(5)[:3]:
        log.contact(name, "12:00:00")
    for name in names(5)[3:]:
        log.contact(name, *every(60, "12:00:00", "12:30:00"))
    log.contact("d0000", *every(60, "12:10:00", "12:30:00"))
    log.contact("d0001", *every(60, "12:20:00", "12:30:00"))
    assert told(log.of(FLEET)) == [
        ("firing", "emergency", "12:05:00"),
        ("resolved", "emergency", "12:25:00"),
    ]


def test_case_39_an_emergency_ends_when_no_device_is_left() -> None:
    log = AlertLog(until="12:20:00").register("a", "b").contact("a", "12:00:00")
    log.contact("b", "12:00:00").remove("a", "12:10:00").remove("b", "12:11:00")
    events = log.of(FLEET)
    assert told(events)[-1] == ("resolved", "emergency", "12:11:00")
    assert events[-1]["reason"] == "no_monitored_devices"
    assert counts(events[-1]) == (0, 0)


def test_case_42_two_tenants_do_not_touch() -> None:
    log = AlertLog(until="12:10:00")
    for name in names(10):
        log.register(name, tenant="a").register(name, tenant="b")
        log.contact(name, "12:00:00", tenant_id="a")
        log.contact(name, *every(60, "12:00:00", "12:10:00"), tenant_id="b")
    events = log.events()
    assert {e["tenant_id"] for e in events} == {"a"}
    assert [counts(e) for e in events if e["type"].endswith(FLEET)] == [(10, 3)]


def test_case_45_a_reconnect_storm_only_resolves() -> None:
    log = AlertLog(until="12:40:00")
    for number, name in enumerate(names(100)):
        log.register(name).contact(name, "12:00:00")
        log.contact(name, *(at("12:35:00") + number * 50 + 60_000 * m for m in range(5)))
    events = [e for e in log.of(DEVICE) if e["time"] >= at("12:35:00")]
    assert [e["status"] for e in events] == ["resolved"] * 100
    assert [e["time"] for e in events] == sorted(e["time"] for e in events)


#  12:00 maintenance   12:10 silent   12:50 back   13:00 end
def test_case_46_silence_within_a_maintenance_alerts_nobody() -> None:
    log = (
        AlertLog(until="13:10:00")
        .register("d")
        .register("d", when="12:00:00", status="maintenance")
    )
    log.register("d", when="13:00:00", status="active")
    log.contact("d", *every(60, "11:59:59", "12:10:00"), *every(60, "12:50:00", "13:10:00"))
    assert log.events() == []


def test_case_46_silence_that_outlasts_a_maintenance_counts_from_its_end() -> None:
    log = (
        AlertLog(until="13:10:00")
        .register("d")
        .register("d", when="12:00:30", status="maintenance")
    )
    log.register("d", when="13:00:00", status="active").contact("d", "12:00:00")
    assert told(log.events()) == [("firing", "warning", "13:05:00")]


#  12:00 o x   12:05 W   12:10 maintenance   12:20 back
def test_case_48_an_episode_before_a_maintenance_is_resolved_in_it() -> None:
    log = (
        AlertLog(until="12:30:00")
        .register("d")
        .register("d", when="12:10:00", status="maintenance")
    )
    events = log.contact("d", "12:00:00", *every(60, "12:20:00", "12:30:00")).events()
    assert told(events) == [
        ("firing", "warning", "12:05:00"),
        ("resolved", "warning", "12:20:00"),
    ]
    assert events[1]["notify"] is True
    assert events[1]["channels"] == ["email"]


def test_case_48_a_new_severity_within_a_maintenance_tells_nobody() -> None:
    log = (
        AlertLog(until="12:40:00")
        .register("d")
        .register("d", when="12:10:00", status="maintenance")
    )
    events = log.contact("d", "12:00:00", "12:35:00").events()
    assert [(e["severity"], e["notify"]) for e in events] == [
        ("warning", True),
        ("critical", False),
        ("critical", True),
    ]
    assert events[1]["suppressed_by"] == ["maintenance"]
    assert events[2]["channels"] == ["email"]


#  12:00 o x   12:05 W   12:20 tombstone   12:25 o
def test_case_52_a_decommissioned_device_resolves_once_and_is_gone() -> None:
    log = AlertLog(until="12:40:00").register("d").contact("d", "12:00:00", "12:25:00")
    events = log.remove("d", "12:20:00").events()
    assert told(events) == [
        ("firing", "warning", "12:05:00"),
        ("resolved", "warning", "12:20:00"),
    ]
    assert events[1]["reason"] == "decommissioned"


def test_case_53_a_device_never_seen_is_told_of_once_after_a_day() -> None:
    log = AlertLog(until="+2 12:00:00").register("d", when="09:00:00")
    events = log.events()
    assert told(events) == [("info", "info", "+1 09:00:00")]
    assert events[0]["type"] == "fleetpulse.alert.commissioning-overdue"


def test_case_53_a_first_record_begins_the_watch() -> None:
    log = AlertLog(until="12:08:00").register("d", when="09:00:00").contact("d", "12:00:00")
    assert told(log.events()) == [("firing", "warning", "12:05:00")]


def test_case_54_an_unregistered_device_is_told_of_once_a_day_and_does_not_count() -> None:
    log = AlertLog(until="+1 13:00:00").register("a", "b")
    for name in ("a", "b", "stranger"):
        log.contact(name, *every(240, "12:00:00", "+1 12:59:00"))
    events = log.events()
    assert {e["type"] for e in events} == {"fleetpulse.alert.unregistered-device"}
    assert told(events) == [("info", "info", "12:00:00"), ("info", "info", "+1 00:00:00")]


def test_case_54_a_record_that_is_read_within_a_minute_takes_the_info_back() -> None:
    log = AlertLog(until="12:20:00").register("early", when="12:00:30")
    log.register("late", when="12:01:30")
    for name in ("early", "late"):
        log.contact(name, *every(60, "12:00:00", "12:20:00"))
    strange = [e for e in log.events() if e["type"] == "fleetpulse.alert.unregistered-device"]
    assert [e["subject"] for e in strange] == ["device/late"]


def test_c5_a_change_of_the_registry_alone_never_fires() -> None:
    log = AlertLog(until="12:40:00").register(*names(30))
    for number, name in enumerate(names(30)):
        log.contact(name, *every(60, "12:00:00", "12:00:00" if number < 2 else "12:40:00"))
    for name in names(30)[10:]:
        log.remove(name, "12:10:00")
    # 2 of 10 are offline now, as before; 3 would be needed
    assert log.of(FLEET) == []


def test_c12_a_device_that_came_back_while_the_engine_was_down_tells_nobody() -> None:
    log = AlertLog(until="12:30:00").engine(stop="12:03:00", start="12:20:00").register("d")
    events = log.contact("d", "12:00:00", *every(60, "12:12:00", "12:30:00")).events()
    assert [(e["status"], e["notify"], clock_of(e["time"])) for e in events] == [
        ("firing", False, "12:05:00"),
        ("resolved", False, "12:12:00"),
    ]


def test_c12_a_silence_that_lasts_when_the_engine_is_back_is_told() -> None:
    log = AlertLog(until="12:22:00").engine(stop="12:03:00", start="12:20:00").register("d")
    events = log.contact("d", "12:00:00").events()
    assert [(e["time"], e["notify"]) for e in events] == [(at("12:05:00"), True)]


def test_c4_an_exact_duplicate_is_no_contact() -> None:
    log = AlertLog(until="12:08:00").register("d")
    log.contact("d", "12:00:00", "12:03:00", "12:06:00", boot_id="b", sequence=7)
    assert told(log.events()) == [("firing", "warning", "12:05:00")]


#  the gateway uploads at 12:04:30 what the device measured until 12:02:00
def test_c1_an_old_upload_of_a_gateway_is_a_contact_at_its_newest_point() -> None:
    point = {"timestamp": "2026-01-01T12:02:00Z", "tags": {"via_gateway": "true"}}
    log = AlertLog(until="12:08:00").register("d").contact("d", "12:00:00")
    events = log.contact("d", "12:04:30", points=[point]).events()
    assert told(events) == [("firing", "warning", "12:07:00")]
    assert events[0]["last_seen"] == at("12:02:00")


#  p0  o o o o o o o o o o
#  p1  o o o ........... o      silent 12:02:00 - 12:10:00 while p0 runs on
def test_c8_a_silent_partition_is_told_of_while_others_run_on() -> None:
    log = AlertLog(until="12:14:00").outage("12:02:00", "12:10:00", partition=1)
    log.register("a", "b").contact("a", *every(60, "12:00:00", "12:14:00"))
    log.contact("b", "12:00:00", *every(60, "12:11:00", "12:14:00"), partition=1)
    events = log.events(FINE)
    assert told(events) == [
        ("firing", "critical", "12:02:30"),
        ("resolved", "critical", "12:10:00"),
    ]
    assert {e["subject"] for e in events} == {"partition/1"}
    assert events[0]["detection_delay_ms"] <= 5_000


def test_goal_what_is_due_is_found_within_10_s_of_input_clock() -> None:
    log = AlertLog(until="12:45:00").register("d").contact("d", "12:00:00", "12:41:00")
    delays = [e["detection_delay_ms"] for e in log.events(FINE)]
    assert len(delays) == 3
    assert max(delays) <= 10_000
