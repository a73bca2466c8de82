"""What operators say: maintenance, mutes, acknowledgements and goodbyes (C6, C7, C11, C13).

In the time lines: o = a contact, x = nothing more comes, W C R = warning, critical, resolved,
[ ) = from when to when an operator's word acts.
"""

from tests.alert_logs import AlertLog, at, clock_of, every, told

FLEET = "fleet-offline"


def names(count):
    return [f"d{number:02d}" for number in range(count)]


def notified(events):
    return [(e["severity"], e["status"], clock_of(e["time"])) for e in events if e["notify"]]


def scoped(**scope):
    return {"scope": scope}


#  12:00  12:10          12:50  13:00
#  [ o o  o x            o      )
def test_case_46_silence_within_a_maintenance_is_no_alert():
    log = AlertLog(until="14:00:00").register("d")
    log.control("11:59:59", "maintenance", **{"from": "12:00:00", "until": "13:00:00"})
    log.contact("d", *every(60, "11:59:59", "12:10:00"), *every(60, "12:50:00", "14:00:00"))
    assert log.events() == []


#  12:10        13:00   13:05            13:30
#  o x [        )       W                C        silence counts from the end
def test_case_46_silence_that_outlasts_a_maintenance_counts_from_its_end():
    log = AlertLog(until="13:31:00").register("d").contact("d", "12:10:00")
    log.control("12:00:00", "maintenance", **{"from": "12:12:00", "until": "13:00:00"})
    assert told(log.events()) == [
        ("firing", "warning", "13:05:00"),
        ("firing", "critical", "13:30:00"),
    ]


def test_case_46_devices_in_maintenance_are_not_in_n():
    """Of 20 devices 3 fall silent: 15 % of 20, but of the 5 that are not in maintenance most."""
    log = AlertLog(until="12:10:00")
    for number, name in enumerate(names(20)):
        log.register(name, deployment_group="g" if number >= 5 else "rest")
        log.contact(name, *every(60, "11:59:59", "12:00:30" if number < 2 else "12:10:00"))
    assert log.of(FLEET) == []
    log.control("12:01:00", "maintenance", **{"from": "12:01:00", "until": "12:30:00"},
                **scoped(deployment_group="g"))  # fmt: skip
    assert log.of(FLEET) == []
    log.contact("late", *every(60, "11:59:59", "12:00:00")).register(
        "late", deployment_group="rest"
    )
    (event,) = log.of(FLEET)
    assert (event["counts"]["monitored"], event["counts"]["offline"]) == (6, 3)


#  12:00  12:05  12:10    12:20
#  o x    W      [        o R
def test_case_48_what_fired_before_a_maintenance_is_told_to_be_over_in_it():
    log = AlertLog(until="12:30:00").register("d").contact("d", "12:00:00", "12:20:00")
    log.control("12:10:00", "maintenance", **{"from": "12:10:00", "until": "13:00:00"})
    events = log.contact("d", *every(60, "12:21:00", "12:30:00")).events()
    assert told(events) == [("firing", "warning", "12:05:00"), ("resolved", "warning", "12:20:00")]
    assert [(e["notify"], e["channels"]) for e in events] == [(True, ["email"])] * 2


#  12:00  12:05  12:10       12:20
#  o x    W      [ mute      o R   )
def test_case_50_the_end_of_what_was_told_is_told_even_while_muted():
    log = AlertLog(until="12:30:00").register("d").contact("d", "12:00:00")
    log.control("12:10:00", "mute", **{"from": "12:10:00", "until": "13:00:00"})
    events = log.contact("d", *every(60, "12:20:00", "12:30:00")).events()
    assert told(events)[-1] == ("resolved", "warning", "12:20:00")
    assert [e["notify"] for e in events] == [True, True]


#  12:00  12:01      12:05   12:10
#  o x    [ mute     W       o R     nobody was told of it
def test_what_begins_and_ends_while_muted_is_told_to_nobody():
    log = AlertLog(until="12:30:00").register("d").contact("d", "12:00:00")
    log.control("12:01:00", "mute", **{"from": "12:01:00", "until": "13:00:00"})
    events = log.contact("d", *every(60, "12:10:00", "12:30:00")).events()
    assert told(events) == [("firing", "warning", "12:05:00"), ("resolved", "warning", "12:10:00")]
    assert [e["notify"] for e in events] == [False, False]
    assert [e["suppressed_by"] for e in events] == [["mute"], ["mute"]]


#  12:00  12:01   12:05  12:20      12:30   12:40
#  o x    [ mute  W      ) W again  C       o R
def test_c13_a_mute_that_ends_while_an_episode_fires_tells_its_severity_once():
    log = AlertLog(until="12:45:00").register("d").contact("d", "12:00:00")
    log.control("12:01:00", "mute", **{"from": "12:01:00", "until": "12:20:00"})
    events = log.contact("d", *every(60, "12:40:00", "12:45:00")).events()
    assert [(e["seq"], e["severity"], e["reason"], clock_of(e["time"])) for e in events] == [
        (1, "warning", None, "12:05:00"),
        (2, "warning", "mute_ended", "12:20:00"),
        (3, "critical", None, "12:30:00"),
        (4, "critical", None, "12:40:00"),
    ]
    assert [e["notify"] for e in events] == [False, True, True, True]
    assert len({e["id"] for e in events}) == 4
    assert len({e["episode_id"] for e in events}) == 1
    assert events[3]["channels"] == ["email", "sms", "slack"]


#  12:00  12:01 [ mute ............................ 12:35 )   12:40
#  o x           W 12:05             C 12:30       C again   o R: to those of critical alone
def test_c13_the_end_goes_to_the_channels_that_the_mutes_end_told():
    log = AlertLog(until="12:45:00").register("d").contact("d", "12:00:00")
    log.control("12:01:00", "mute", **{"from": "12:01:00", "until": "12:35:00"})
    events = log.contact("d", *every(60, "12:40:00", "12:45:00")).events()
    assert notified(events) == [
        ("critical", "firing", "12:35:00"),
        ("critical", "resolved", "12:40:00"),
    ]
    assert events[-1]["channels"] == ["sms", "slack"]


def test_c13_a_mute_that_is_made_longer_ends_once_and_one_that_is_cut_short_ends_then():
    log = AlertLog(until="12:29:00").register("d").contact("d", "12:00:00")
    log.control("12:01:00", "mute", **{"from": "12:01:00", "until": "12:20:00"})
    longer = {"from": "12:01:00", "until": "12:25:00"}
    cut = {"from": "12:01:00", "until": "12:08:00"}
    assert notified(log.control("12:10:00", "mute", **longer).events()) == [
        ("warning", "firing", "12:25:00")
    ]
    assert notified(log.control("12:12:00", "mute", **cut).events()) == [
        ("warning", "firing", "12:12:00")
    ]


#  12:01 says 12:10-12:20     12:02 says 12:15-12:25       nothing ends at 12:10
#  12:00  12:05  12:10        12:15               12:25
#  o x    W                   [ mute              ) W again
def test_c13_a_mute_that_was_replaced_before_it_began_never_ends():
    log = AlertLog(until="12:29:00").register("d").contact("d", "12:00:00")
    log.control("12:01:00", "mute", **{"from": "12:10:00", "until": "12:20:00"})
    log.control("12:02:00", "mute", **{"from": "12:15:00", "until": "12:25:00"})
    assert notified(log.events()) == [
        ("warning", "firing", "12:05:00"),
        ("warning", "firing", "12:25:00"),
    ]


def test_c13_a_mute_that_is_over_when_it_is_said_ends_nothing():
    """As a tombstone says it: it lies before its own append time."""
    log = AlertLog(until="12:29:00").register("d").contact("d", "12:00:00")
    log.control("12:01:00", "mute", **{"from": "12:10:00", "until": "12:20:00"})
    log.control("12:07:00", "mute", **{"from": "12:06:59", "until": "12:07:00"})
    assert notified(log.events()) == [("warning", "firing", "12:05:00")]


def test_c13_of_two_mutes_over_a_device_the_later_end_counts():
    log = AlertLog(until="12:29:00").register("d", site="s").contact("d", "12:00:00")
    log.control("12:01:00", "mute", **{"from": "12:01:00", "until": "12:20:00"})
    log.control("12:02:00", "mute", **{"from": "12:02:00", "until": "12:25:00"}, **scoped(site="s"))
    assert notified(log.events()) == [("warning", "firing", "12:25:00")]


def test_c13_muted_devices_stay_in_n_and_m_and_the_emergency_waits_for_the_mutes_end():
    log = AlertLog(until="12:20:00").register(*names(10))
    for number, name in enumerate(names(10)):
        log.contact(name, *every(60, "12:00:00", "12:00:00" if number < 3 else "12:20:00"))
    log.control("12:01:00", "mute", **{"from": "12:01:00", "until": "12:15:00"})
    events = log.of(FLEET)
    assert [(e["seq"], e["status"], e["reason"], e["notify"]) for e in events] == [
        (1, "firing", None, False),
        (2, "firing", "mute_ended", True),
    ]
    assert clock_of(events[1]["time"]) == "12:15:00"
    assert events[0]["suppressed_by"] == ["mute"]


#  12:00  12:05  12:10   12:30   12:40
#  o x    W      ack     C       o R      nobody gets an SMS
def test_case_51_an_acknowledged_episode_turns_critical_without_a_message():
    log = AlertLog(until="12:45:00").register("d").contact("d", "12:00:00")
    episode_id = log.events()[0]["episode_id"]
    log.control("12:10:00", "ack", episode_id=episode_id)
    events = log.contact("d", *every(60, "12:40:00", "12:45:00")).events()
    assert [(e["severity"], e["acked"], e["notify"]) for e in events] == [
        ("warning", False, True),
        ("critical", True, False),
        ("critical", True, True),
    ]
    assert events[1]["suppressed_by"] == ["ack"]
    assert events[2]["channels"] == ["email"], "sms and slack got no beginning, so no end"


def test_case_51_an_acknowledgement_blocks_no_emergency_and_loses_to_the_end():
    log = AlertLog(until="12:12:00").register(*names(10))
    for number, name in enumerate(names(10)):
        log.contact(name, "12:00:00", *(() if number < 1 else every(60, "12:01:00", "12:12:00")))
    ack = {"episode_id": log.events()[0]["episode_id"]}
    for name in names(3):
        log.lines = [
            r for r in log.lines if r.fields.get("device_id") != name or r.at_ms <= at("12:01:00")
        ]
    log.control("12:05:30", "ack", **ack)
    assert [e["notify"] for e in log.of(FLEET)] == [True]
    late = AlertLog(until="12:12:00").register("d").contact("d", "12:00:00", "12:10:00")
    episode_id = late.events()[0]["episode_id"]
    events = late.control("12:10:02", "ack", episode_id=episode_id).events()
    assert told(events)[-1] == ("resolved", "warning", "12:10:00")
    assert [e["acked"] for e in events] == [False, False]


#  12:00   12:10 goodbye    14:00 expected   14:05
#  o o o   x                                 W
def test_case_55_after_a_goodbye_silence_counts_from_the_expected_return():
    log = AlertLog(until="14:06:00").register("d")
    log.contact("d", *every(60, "12:00:00", "12:10:00"))
    log.control("12:10:01", "goodbye", expected_back="14:00:00", **scoped(device_id="d"))
    assert told(log.events()) == [("firing", "warning", "14:05:00")]


def test_case_55_who_comes_back_early_is_awaited_as_usual_again():
    log = AlertLog(until="12:59:00").register("d").contact("d", "12:00:00", "12:30:00")
    log.control("12:00:01", "goodbye", expected_back="14:00:00", **scoped(device_id="d"))
    assert told(log.events()) == [("firing", "warning", "12:35:00")]


def test_case_55_blind_time_within_a_goodbye_is_not_excused_twice():
    log = AlertLog(until="14:20:00").register("d", "e").outage("13:00:00", "13:20:00")
    log.contact("d", "12:00:00").contact(
        "e", *every(60, "12:00:00", "13:00:00"), *every(60, "13:20:00", "14:20:00")
    )
    log.control("12:00:01", "goodbye", expected_back="14:00:00", **scoped(device_id="d"))
    devices = [e for e in log.events() if e["subject"] == "device/d"]
    assert told(devices) == [("firing", "warning", "14:05:00")]


def test_a_device_that_the_registry_moves_into_a_scope_is_in_its_maintenance_and_out_again():
    log = AlertLog(until="12:40:00").register("d", site="a").contact("d", "12:00:00")
    log.control(
        "12:00:00", "maintenance", **{"from": "12:00:00", "until": "12:30:00"}, **scoped(site="b")
    )
    log.register("d", when="12:02:00", site="b")
    assert told(log.events()) == [("firing", "warning", "12:35:00")]
    log.register("d", when="12:10:00", site="a")
    assert told(log.events())[0] == ("firing", "warning", "12:15:00")


def test_another_tenant_is_not_touched():
    log = AlertLog(until="12:06:00")
    for tenant in ("acme", "other"):
        log.register("d", tenant=tenant).contact("d", "12:00:00", tenant_id=tenant)
    log.control("12:00:00", "maintenance", **{"from": "12:00:00", "until": "13:00:00"})
    log.control("12:00:00", "mute", **{"from": "12:00:00", "until": "13:00:00"})
    (event,) = log.events()
    assert (event["tenant_id"], event["notify"]) == ("other", True)
