"""Rules about silence while the job runs: thresholds by scope, from a rule's own append time on.

In the time lines: o = a contact, x = nothing more comes, W C = firing, R = resolved,
r = a rule is said.
"""

from dataclasses import replace

from jobs.backtest import BacktestPlan
from tests.alert_logs import COARSE, AlertLog, clock_of, every, told
from tests.unit.test_alert_operators import names, scoped

ENDLESS = every(60, "11:59:00", "13:10:00")


def silent(**labels):
    """Return a log of a device that was heard at 12:00 for the last time."""
    return AlertLog(until="13:10:00").register("d", **labels).contact("d", "12:00:00")


def rule(log, when, rule_id="r", **fields):
    return log.control(when, "rule", rule_id=rule_id, **fields)


def numbered(events):
    return [(e["seq"], e["status"], e["severity"], clock_of(e["time"])) for e in events]


#  12:00  12:05  12:06  12:10  12:30
#  o x    W      r R    W      C
def test_case_34_a_longer_threshold_takes_the_alert_back_until_it_is_due_anew():
    log = rule(silent(), "12:06:00", warning_after_s=600)
    log.register("e").contact("e", "12:00:00")  # nothing depends on another device
    first, back, second, critical = log.contact("e", *ENDLESS).events()
    assert numbered([first, back, second, critical]) == [
        (1, "firing", "warning", "12:05:00"),
        (2, "resolved", "warning", "12:06:00"),
        (3, "firing", "warning", "12:10:00"),
        (4, "firing", "critical", "12:30:00"),
    ]
    assert [e["reason"] for e in (first, back, second)] == [None, "rule_changed", None]
    assert [e["threshold_s"] for e in (first, second, critical)] == [300, 600, 1800]
    assert [clock_of(e["starts_at"]) for e in (back, second)] == ["12:05:00", "12:10:00"]
    assert clock_of(back["ends_at"]) == "12:06:00"
    assert len({e["episode_id"] for e in (first, back, second, critical)}) == 1
    assert len({e["id"] for e in (first, back, second, critical)}) == 4
    assert all(e["notify"] for e in (first, back, second, critical))


def test_case_34_other_episodes_are_not_touched():
    log = silent(site="a").register("e", site="b").contact("e", "12:00:30")
    rule(log, "12:06:00", warning_after_s=600, **scoped(site="a"))
    others = [e for e in log.events() if e["subject"] == "device/e"]
    assert told(others) == [("firing", "warning", "12:05:30"), ("firing", "critical", "12:30:30")]


def test_case_34_who_comes_back_before_it_is_due_anew_resolves_no_second_time():
    log = rule(silent(), "12:06:00", warning_after_s=600).contact("d", "12:08:00")
    assert numbered(log.contact("d", *every(60, "12:09:00", "13:10:00")).events()) == [
        (1, "firing", "warning", "12:05:00"),
        (2, "resolved", "warning", "12:06:00"),
    ]


def test_case_34_the_second_firing_is_resolved_to_whom_it_was_told():
    log = rule(silent(), "12:06:00", warning_after_s=600)
    events = log.contact("d", *every(60, "12:40:00", "13:10:00")).events()
    assert numbered(events)[2:] == [
        (3, "firing", "warning", "12:10:00"),
        (4, "firing", "critical", "12:30:00"),
        (5, "resolved", "critical", "12:40:00"),
    ]
    assert [e["channels"] for e in events if e["status"] == "resolved"] == [
        ["email"],
        ["email", "sms", "slack"],
    ]


#  12:00  12:04
#  o x    r W       silent for 4 minutes, of which 3 are allowed from now on
def test_a_shorter_threshold_fires_from_now_on_and_not_backwards():
    (warning, critical) = rule(silent(), "12:04:00", warning_after_s=180).events()
    assert [clock_of(warning[name]) for name in ("time", "starts_at")] == ["12:04:00"] * 2
    assert (warning["seq"], warning["threshold_s"]) == (1, 180)
    assert clock_of(critical["time"]) == "12:30:00"


def test_a_shorter_threshold_of_critical_escalates_from_now_on():
    events = rule(silent(), "12:20:00", critical_after_s=900).events()
    assert numbered(events) == [
        (1, "firing", "warning", "12:05:00"),
        (2, "firing", "critical", "12:20:00"),
    ]
    assert clock_of(events[1]["escalated_at"]) == "12:20:00"


#  12:00  12:05  12:30  12:35  12:35  13:00
#  o x    W      C      r R    W      C       critical no longer: taken back, and what is due fires
def test_a_critical_that_a_rule_allows_is_taken_back_and_its_warning_fires_again():
    events = rule(silent(), "12:35:00", critical_after_s=3600).events()
    assert numbered(events)[2:] == [
        (3, "resolved", "critical", "12:35:00"),
        (4, "firing", "warning", "12:35:00"),
        (5, "firing", "critical", "13:00:00"),
    ]
    assert [clock_of(e["starts_at"]) for e in events[2:]] == ["12:05:00", "12:35:00", "12:35:00"]


def test_what_a_rule_says_is_due_at_its_own_instant_fires_then():
    for after_s in (360, 361):
        (first, *_) = rule(silent(), "12:04:00", warning_after_s=after_s).events()
        assert clock_of(first["time"]) == f"12:06:0{after_s - 360}"
    events = rule(silent(), "12:06:00", warning_after_s=360).events()
    assert told(events)[:1] == [("firing", "warning", "12:05:00")]
    assert len(events) == 2, "what is due at the rule's instant is not taken back"


def test_a_threshold_adds_to_a_long_report_interval():
    log = rule(silent(report_interval_s=600), "12:01:00", warning_after_s=60)
    (warning, _) = log.events()
    assert (clock_of(warning["time"]), warning["threshold_s"]) == ("12:11:00", 660)


def test_the_narrowest_scope_counts_and_of_equals_the_latest_each_figure_by_itself():
    log = AlertLog(until="13:10:00")
    labels = {"d0": ("a", "g"), "d1": ("a", "h"), "d2": ("b", "g"), "d3": ("b", "h")}
    for name, (site, group) in labels.items():
        log.register(name, site=site, deployment_group=group).contact(name, "12:00:00")
    log.register(*names(40)[20:])
    for name in names(40)[20:]:
        log.contact(name, *ENDLESS)
    rule(log, "12:00:10", "all", warning_after_s=120, critical_after_s=1200)
    rule(log, "12:00:20", "site", warning_after_s=180, **scoped(site="a"))
    rule(log, "12:00:30", "group", warning_after_s=240, **scoped(deployment_group="g"))
    rule(log, "12:00:05", "device", critical_after_s=600, **scoped(device_id="d1"))
    devices = [e for e in log.events() if e["subject"].startswith("device/d")]
    found = {(e["subject"][7:], e["severity"]): clock_of(e["time"]) for e in devices}
    assert [found[name, "warning"] for name in labels] == [
        "12:04:00",
        "12:03:00",
        "12:04:00",
        "12:02:00",
    ]
    assert [found[name, "critical"] for name in labels] == [
        "12:20:00",
        "12:10:00",
        "12:20:00",
        "12:20:00",
    ]


def test_a_rule_that_is_switched_off_or_ended_gives_the_thresholds_back():
    for ending in ({"enabled": False, **scoped(site="a")}, {"enabled": False}):
        log = rule(silent(site="a"), "12:01:00", warning_after_s=1200, **scoped(site="a"))
        assert told(rule(log, "12:08:00", **ending).events())[0] == (
            "firing",
            "warning",
            "12:08:00",
        )


def test_a_rule_that_moves_to_another_scope_leaves_the_one_before():
    log = rule(silent(site="a"), "12:01:00", warning_after_s=1200, **scoped(site="a"))
    rule(log, "12:03:00", warning_after_s=1200, **scoped(site="b"))
    assert told(log.events())[0] == ("firing", "warning", "12:05:00")


def test_a_device_that_the_registry_moves_takes_the_thresholds_of_its_new_site():
    log = rule(silent(site="a"), "12:01:00", warning_after_s=1200, **scoped(site="b"))
    log.register("d", when="12:06:00", site="b")
    assert numbered(log.events())[:3] == [
        (1, "firing", "warning", "12:05:00"),
        (2, "resolved", "warning", "12:06:00"),
        (3, "firing", "warning", "12:20:00"),
    ]


def test_a_device_that_says_it_is_in_another_group_takes_that_groups_thresholds():
    log = AlertLog(until="12:20:00").register("d")
    log.contact("d", "12:00:00", deployment_group="g").contact(
        "d", "12:02:00", deployment_group="h"
    )
    rule(log, "12:01:00", "g", warning_after_s=60, **scoped(deployment_group="g"))
    rule(log, "12:01:30", "h", warning_after_s=600, **scoped(deployment_group="h"))
    events = log.events()
    assert told(events) == [
        ("firing", "warning", "12:01:00"),
        ("resolved", "warning", "12:02:00"),
        ("firing", "warning", "12:12:00"),
    ]


def test_a_rule_that_is_there_before_a_device_counts_for_it_and_only_in_its_tenant():
    log = rule(AlertLog(until="12:20:00"), "11:00:00", warning_after_s=60)
    for tenant in ("acme", "other"):
        log.register("d", tenant=tenant).contact("d", "12:00:00", tenant_id=tenant)
    assert [(e["tenant_id"], clock_of(e["time"])) for e in log.events()] == [
        ("acme", "12:01:00"),
        ("other", "12:05:00"),
    ]


def test_a_rule_takes_back_what_was_told_to_the_channels_that_got_it():
    log = silent()
    log.control("12:01:00", "mute", **{"from": "12:01:00", "until": "12:30:00"})
    events = rule(log, "12:06:00", warning_after_s=600).events()
    assert [(e["notify"], e["suppressed_by"]) for e in events[:3]] == [(False, ["mute"])] * 3
    assert (events[1]["reason"], events[3]["reason"]) == ("rule_changed", "mute_ended")
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))


def test_a_rule_said_while_nothing_is_heard_acts_from_when_it_is_heard_again():
    """Blind from 12:04 to 12:14: the silence of 4 minutes is the same after it."""
    log = silent().register("e").outage("12:04:00", "12:14:00")
    log.contact("e", *every(60, "12:00:00", "12:04:00"), *every(60, "12:14:00", "13:10:00"))
    (warning, _) = rule(log, "12:08:00", warning_after_s=180).of("device-offline")
    assert clock_of(warning["time"]) == "12:16:00", "the grace after blind time holds"
    longer = silent().register("e").outage("12:06:00", "12:14:00")
    longer.contact("e", *every(60, "12:00:00", "12:06:00"), *every(60, "12:14:00", "13:10:00"))
    events = rule(longer, "12:08:00", warning_after_s=600).of("device-offline")
    assert told(events)[:3] == [
        ("firing", "warning", "12:05:00"),
        ("resolved", "warning", "12:14:00"),
        ("firing", "warning", "12:18:00"),
    ]


def test_a_planned_maintenance_and_a_rule_at_the_same_instant_both_act():
    log = rule(silent(), "12:02:00", warning_after_s=60)
    log.control("12:02:00", "maintenance", **{"from": "12:02:00", "until": "12:20:00"})
    assert told(log.events())[0] == ("firing", "warning", "12:21:00")


def test_a_silence_whose_rules_change_for_ever_never_uses_an_id_twice():
    log = silent()
    for number in range(200):
        when = f"12:{10 + number // 10:02d}:{number % 10 * 6:02d}"
        rule(log, when, warning_after_s=60 if number % 2 else 7200)
    events = log.events()
    assert len({e["id"] for e in events}) == len(events) > 200
    assert [e["seq"] for e in events] == sorted(e["seq"] for e in events)


def test_of_a_partition_that_is_silent_alone_a_rule_says_nothing_before_it_speaks():
    """However the log is cut: when it is cut while p1 is silent, its clock stands at 12:04."""
    log = silent().register("e").outage("12:04:00", "12:14:00", partition=1)
    for line in [line for line in log.lines if line.fields.get("device_id") == "d"]:
        line_on_p1 = replace(line, partition=1)
        log.lines[log.lines.index(line)] = line_on_p1
    log.contact("e", *every(60, "12:00:00", "13:10:00")).tick("12:04:00", "12:14:00", partition=1)
    rule(log, "12:08:00", warning_after_s=180)
    for plan in (COARSE, BacktestPlan(1, 7, None), BacktestPlan(4, 50, None)):
        devices = [e for e in log.events(plan) if e["subject"] == "device/d"]
        assert clock_of(devices[0]["time"]) == "12:16:00", plan
