"""Devices that fall silent and come back too often (C9).

In the time lines: W R = an episode of silence begins and ends, F = it flaps, calm = it does no
longer, x = nothing more comes.
"""

from tests.alert_logs import AlertLog, at, clock_of, every
from udfs.offline_policy import OfflinePolicy

DEVICE, FLAPPING = "device-offline", "flapping"


def flapper(until="14:00:00", last="13:00:00", step_s=360, **fields):
    """Return a device that reports every 6 min from 12:00:00, and every minute after `last`."""
    log = AlertLog(until=until).register("d").contact("d", *every(step_s, "12:00:00", last))
    return log.contact("d", *every(60, last, until)[1:], **fields)


def of(rule, events):
    return [e for e in events if e["type"] == f"fleetpulse.alert.{rule}"]


def brief(events):
    return [(e["type"][17:], e["status"], clock_of(e["time"]), e["notify"]) for e in events]


#  12:05 12:06 12:11 12:12   12:17 12:18 ... 12:59 13:00   13:30
#  W     R     W     R F     w     r         w     r       calm     small: nobody is told
def test_case_56_a_flapping_device_is_told_at_its_begin_and_its_end():
    events = flapper().events()
    assert brief(events)[:5] == [
        (DEVICE, "firing", "12:05:00", True),
        (DEVICE, "resolved", "12:06:00", True),
        (DEVICE, "firing", "12:11:00", True),
        (DEVICE, "resolved", "12:12:00", True),
        (FLAPPING, "firing", "12:12:00", True),
    ]
    assert brief(events)[-1] == (FLAPPING, "resolved", "13:30:00", True)
    later = events[5:-1]
    assert len(of(DEVICE, later)) == len(later) == 16
    assert {e["notify"] for e in later} == {False}
    assert {tuple(e["suppressed_by"]) for e in later} == {(events[4]["id"],)}
    assert sum(e["notify"] for e in events) == 6
    firing, resolved = of(FLAPPING, events)
    assert (firing["severity"], firing["channels"]) == ("warning", ["email"])
    assert (firing["subject"], firing["starts_at"]) == ("device/d", at("12:12:00"))
    assert (resolved["starts_at"], resolved["ends_at"]) == (at("12:12:00"), at("13:30:00"))
    assert (firing["episode_id"], firing["seq"], resolved["seq"]) == (resolved["episode_id"], 1, 2)
    assert resolved["summary"].endswith("it is online.")
    assert len({e["id"] for e in events}) == len(events)


def late_flapper(until="14:30:00", back="14:00:00"):
    """Return a device whose fourth change within the hour is a warning, at 13:11:00."""
    log = AlertLog(until=until).register("d").contact("d", "12:00:00", "12:55:00", "13:00:00")
    return log.contact("d", "13:06:00", *every(60, back, until))


#  12:05  12:30  12:55   13:05  13:06   13:11           13:36   13:41           14:00
#  W      C      R       W      R       W F   x         c       calm, C again   R F
def test_a_device_that_is_silent_when_its_flapping_ends_is_told_to_be_so_once():
    events = late_flapper().events()[5:]
    assert brief(events) == [
        (DEVICE, "firing", "13:11:00", True),
        (FLAPPING, "firing", "13:11:00", True),
        (DEVICE, "firing", "13:36:00", False),
        (FLAPPING, "resolved", "13:41:00", True),
        (DEVICE, "firing", "13:41:00", True),
        (DEVICE, "resolved", "14:00:00", True),
        (FLAPPING, "firing", "14:00:00", True),
        (FLAPPING, "resolved", "14:30:00", True),
    ]
    warning, critical, final, end = of(DEVICE, events)
    flapping, calm = of(FLAPPING, events)[:2]
    assert (final["reason"], final["severity"]) == ("flapping_ended", "critical")
    assert final["channels"] == ["sms", "slack"]
    assert critical["suppressed_by"] == [flapping["id"]]
    assert [e["seq"] for e in (warning, critical, final, end)] == [1, 2, 3, 4]
    assert len({e["episode_id"] for e in (warning, critical, final, end)}) == 1
    assert end["channels"] == ["email", "sms", "slack"]
    assert calm["summary"].endswith("it is silent (critical).")


def test_who_was_told_of_a_silence_before_the_flapping_is_told_of_its_end_in_it():
    """C6 goes before C9: the warning that made it flap was told."""
    events = late_flapper(back="13:15:00", until="13:30:00").events()[5:]
    assert brief(events) == [
        (DEVICE, "firing", "13:11:00", True),
        (FLAPPING, "firing", "13:11:00", True),
        (DEVICE, "resolved", "13:15:00", True),
    ]


#  12:05  12:06              12:55     13:05:00.000
#  W      R                  W         R             60 min from the first to the fourth
def test_four_changes_within_exactly_60_min_flap_and_a_millisecond_more_does_not():
    for last, flaps in (("13:05:00.000", True), ("13:05:00.001", False)):
        log = AlertLog(until="13:06:00").register("d").contact("d", "12:00:00", last)
        log.contact("d", *every(60, "12:06:00", "12:50:00"))
        assert bool(log.of(FLAPPING)) is flaps, last
        assert len(log.of(DEVICE)) == 4


#  13:00 R ...... o 13:25    13:30 W, or calm first?
def test_at_the_instant_of_the_calm_a_change_wins():
    log = flapper(until="13:00:00").contact("d", *every(60, "13:01:00", "13:25:00"))
    log.until = "13:45:00"
    assert brief(log.events())[-1] == (DEVICE, "firing", "13:30:00", False)
    later = log.contact("d", "13:25:00.001").events()
    assert brief(later)[-3:] == [
        (FLAPPING, "resolved", "13:30:00", True),
        (DEVICE, "firing", "13:30:00.001", True),
        (FLAPPING, "firing", "13:30:00.001", True),
    ]


def test_a_device_that_gets_worse_does_not_change():
    """Warning, critical and resolved are two changes: three would make four with one more."""
    log = AlertLog(until="13:10:00").register("d").contact("d", "12:00:00", "12:35:00")
    events = log.contact("d", *every(60, "12:41:00", "13:10:00")).events()
    assert len(of(DEVICE, events)) == 5
    assert len(of(FLAPPING, events)) == 1  # at 12:41:00, not at 12:40:00
    assert of(FLAPPING, events)[0]["time"] == at("12:41:00")


#  12:12 F ... 12:20 [maintenance 12:40) 12:42: what is silent in it is excused, and is no change
def test_what_a_maintenance_excuses_is_no_change():
    log = flapper(last="12:18:00", until="13:00:00")
    log.lines = [line for line in log.lines if not at("12:18:00") < line.at_ms < at("12:38:00")]
    log.control("12:20:00", "maintenance", **{"from": "12:20:00", "until": "12:40:00"})
    events = log.events()
    assert brief(events)[-3:] == [
        (DEVICE, "firing", "12:17:00", False),
        (DEVICE, "resolved", "12:18:00", False),
        (FLAPPING, "resolved", "12:48:00", True),
    ]


def test_an_end_within_a_maintenance_is_no_change():
    log = AlertLog(until="13:00:00").register("d").contact("d", "12:00:00", "12:06:00", "12:12:00")
    log.contact("d", *every(60, "12:12:00", "13:00:00"))
    log.control("12:11:30", "maintenance", **{"from": "12:11:30", "until": "12:40:00"})
    assert log.of(FLAPPING) == []
    assert [e["notify"] for e in log.of(DEVICE)] == [True] * 4


#  13:11 W F   13:20 [ maintenance     13:41 calm: told, as its begin was; the state is not
def test_a_flapping_that_ends_in_a_maintenance_is_told_and_the_state_is_not():
    log = late_flapper().control(
        "13:20:00", "maintenance", **{"from": "13:20:00", "until": "13:50:00"}
    )
    events = log.events()[5:]
    calm, final, end = events[3:6]
    assert (calm["type"][17:], calm["notify"]) == (FLAPPING, True)
    assert (final["reason"], final["notify"]) == ("flapping_ended", False)
    assert final["suppressed_by"] == ["maintenance"]
    assert (end["status"], end["notify"], end["channels"]) == ("resolved", True, ["email"])


#  12:01 [ mute         12:12 F (untold)    12:30 ) F again
def test_c13_a_flapping_is_told_when_its_mute_ends_and_so_is_its_end():
    log = flapper().control("12:01:00", "mute", **{"from": "12:01:00", "until": "12:30:00"})
    first, again, calm = of(FLAPPING, log.events())
    assert (first["notify"], first["suppressed_by"]) == (False, ["mute"])
    assert (again["notify"], again["reason"], again["seq"]) == (True, "mute_ended", 2)
    assert clock_of(again["time"]) == "12:30:00"
    assert (calm["notify"], calm["seq"]) == (True, 3)


def test_a_flapping_that_nobody_was_told_of_ends_untold():
    log = flapper().control("12:01:00", "mute", **{"from": "12:01:00", "until": "14:00:00"})
    firing, calm = of(FLAPPING, log.events())
    assert [(e["notify"], e["suppressed_by"]) for e in (firing, calm)] == [(False, ["mute"])] * 2


def test_a_flapping_during_an_emergency_is_suppressed_by_it():
    log = AlertLog(until="13:00:00").register("d", "x", "y")
    log.contact("d", *every(360, "12:00:00", "12:36:00")).contact("x", "12:00:00")
    log.contact("y", "12:00:00").contact("d", *every(60, "12:36:00", "13:00:00"))
    (emergency,) = log.of("fleet-offline")
    (flapping,) = log.of(FLAPPING)
    assert (flapping["notify"], flapping["suppressed_by"]) == (False, [emergency["id"]])


def test_a_flapping_ends_with_its_device():
    log = flapper(until="13:00:00").remove("d", "12:30:00")
    events = log.register("d", when="12:40:00").events()
    _, end, anew = of(FLAPPING, events)
    assert (end["reason"], end["status"], end["notify"]) == ("decommissioned", "resolved", True)
    assert (end["time"], end["seq"]) == (at("12:30:00"), 2)
    # It comes back at 12:42:00: the changes of its former life do not count.
    assert clock_of(anew["time"]) == "12:54:00"


def test_a_flapping_that_nobody_was_told_of_ends_untold_with_its_device():
    log = flapper(until="13:00:00").remove("d", "12:30:00")
    log.control("12:01:00", "mute", **{"from": "12:01:00", "until": "12:20:00"})
    first, again, end = of(FLAPPING, log.events())
    assert (first["notify"], again["notify"], end["notify"]) == (False, True, True)
    muted = flapper(until="13:00:00").remove("d", "12:30:00")
    muted.control("12:01:00", "mute", **{"from": "12:01:00", "until": "13:20:00"})
    assert [e["notify"] for e in muted.of(FLAPPING)] == [False, False]


#  13:00 R   13:10 | blind 10 min | 13:20        13:40 calm: 30 min heard without a change
def test_blind_time_is_not_calm():
    log = flapper()
    log.lines = [line for line in log.lines if not at("13:10:00") < line.at_ms < at("13:20:00")]
    log.outage("13:10:00", "13:20:00")
    assert [clock_of(e["time"]) for e in log.of(FLAPPING)] == ["12:12:00", "13:40:00"]


def test_each_flapping_has_its_own_episode():
    log = flapper(until="15:00:00", last="12:18:00")
    log.lines = [line for line in log.lines if not at("14:00:00") < line.at_ms < at("14:30:00")]
    log.lines = [
        line
        for line in log.lines
        if line.at_ms < at("14:30:00") or line.at_ms % 360_000 == at("12:00:00") % 360_000
    ]
    flappings = log.of(FLAPPING)
    assert [e["status"] for e in flappings] == ["firing", "resolved", "firing"]
    assert len({e["episode_id"] for e in flappings}) == 2


#  13:11 W F    13:41 calm, W again     15:06 C: found in one block, told in their order
def test_what_gets_worse_after_the_flapping_is_told_however_late_all_of_it_is_found():
    log = late_flapper(until="15:10:00", back="15:10:00")
    events = log.events(policy=OfflinePolicy(critical_after_ms=2 * 3_600_000))
    assert brief(events)[-5:-1] == [
        (FLAPPING, "firing", "13:11:00", True),
        (FLAPPING, "resolved", "13:41:00", True),
        (DEVICE, "firing", "13:41:00", True),
        (DEVICE, "firing", "15:06:00", True),
    ]
    assert [e["severity"] for e in events[-3:]] == ["warning", "critical", "critical"]
