"""The oracle of the alerts, on the cases of the alert contract by their number.

Times are of 2026-01-01; a tick every 5 s unless a stretch is blind.
"""

from datetime import UTC, datetime

from tests.oracle.alerts_oracle import Contact, Entry, Registration, Tick
from tests.oracle.fleet_numbers import clear, need
from tests.oracle.fleet_oracle import alerts_of


def at(text: str) -> int:
    """Return the UTC ms of a time of the day such as 12:05:00.001."""
    return int(datetime.fromisoformat(f"2026-01-01T{text}").replace(tzinfo=UTC).timestamp() * 1000)


class LogBook:
    """A log under construction: contacts in any order, ticks added when it is closed."""

    def __init__(self, partition_count: int = 1, start: str = "11:00:00") -> None:
        self.partition_count = partition_count
        self.start_ms = at(start)
        self.heard: list[tuple[int, int, str, str, int | None]] = []
        self.registry: list[Registration] = []
        self.blind: list[tuple[int, int, int | None]] = []

    def device(self, *ids: str, tenant: str = "t", interval_s: int = 60, when: str = "11:00:01"):
        for device in ids:
            row = Registration(at(when), tenant, device, report_interval_s=interval_s)
            self.registry.append(row)
        return self

    def gone(self, device: str, when: str, tenant: str = "t"):
        self.registry.append(Registration(at(when), tenant, device, status=None))
        return self

    def contact(
        self, device: str, *times: str, partition: int = 0, tenant: str = "t",
        sequence: int | None = None,
    ):  # fmt: skip
        self.heard += [(at(t), partition, tenant, device, sequence) for t in times]
        return self

    def deaf(self, start: str, end: str, partition: int | None = None):
        self.blind.append((at(start), at(end), partition))
        return self

    def alerts(self, until: str):
        log: list[Entry] = list(self.registry)
        for partition in range(self.partition_count):
            ticks = [
                (ms, partition, None, "", None)
                for ms in range(self.start_ms, at(until) + 1, 5000)
                if not any(a < ms < b and p in (None, partition) for a, b, p in self.blind)
            ]
            spoken = ticks + [row for row in self.heard if row[1] == partition]
            spoken.sort(key=lambda row: (row[0], row[2] is not None))
            for offset, (ms, _, tenant, device, sequence) in enumerate(spoken):
                if tenant is None:
                    log.append(Tick(ms, partition, offset))
                else:
                    boot = None if sequence is None else "boot"
                    log.append(Contact(ms, partition, offset, tenant, device, boot, sequence))
        return alerts_of(log)


def brief(events):
    return [
        (e["subject"], e["status"], e["severity"], datetime.fromtimestamp(e["time"] / 1000, UTC)
         .strftime("%H:%M:%S.%f")[:-3].removesuffix(".000"))
        for e in events
    ]  # fmt: skip


def only_d(events):
    return [row[1:] for row in brief(events)]


def test_case_1_boundaries():
    #  12:00 last       12:05 warning            12:30 critical                  14:00 end
    events = LogBook().device("d").contact("d", "12:00:00").alerts("14:00:00")
    assert only_d(events) == [("firing", "warning", "12:05:00"), ("firing", "critical", "12:30:00")]
    assert [e["seq"] for e in events] == [1, 2]
    assert len({e["episode_id"] for e in events}) == 1
    assert {e["starts_at"] for e in events} == {at("12:05:00")}
    assert {e["last_seen"] for e in events} == {at("12:00:00")}
    assert [e["channels"] for e in events] == [["email"], ["sms", "slack"]]


def test_case_2_a_record_at_the_same_instant_wins():
    log = LogBook().device("d").contact("d", "12:00:00", "12:05:00", "12:09:00")
    assert log.alerts("12:13:00") == []
    late = LogBook().device("d").contact("d", "12:00:00", "12:05:00.001")
    assert only_d(late.alerts("12:09:00")) == [
        ("firing", "warning", "12:05:00"),
        ("resolved", "warning", "12:05:00.001"),
    ]


def test_case_4_recovery_after_critical_goes_to_all_channels_told():
    events = LogBook().device("d").contact("d", "12:00:00", "12:41:00").alerts("12:45:00")
    assert only_d(events)[2:] == [("resolved", "critical", "12:41:00")]
    assert events[2]["channels"] == ["email", "sms", "slack"]
    assert events[2]["ends_at"] == at("12:41:00")
    assert events[2]["seq"] == 3


def test_case_5_a_device_that_reports_every_5_min_is_late_when_its_report_is():
    steady = LogBook().device("d", interval_s=300).contact("d", "12:00:00", "12:05:12", "12:10:03")
    assert steady.alerts("12:20:00") == []
    missed = LogBook().device("d", interval_s=300).contact("d", "12:00:00")
    assert only_d(missed.alerts("12:20:00")) == [("firing", "warning", "12:10:00")]


def test_case_8_a_backlog_resolves_once():
    log = LogBook().device("d").contact("d", "12:00:00", *["12:40:00"] * 8)
    assert only_d(log.alerts("12:44:00")) == [
        ("firing", "warning", "12:05:00"),
        ("firing", "critical", "12:30:00"),
        ("resolved", "critical", "12:40:00"),
    ]


def test_exact_duplicates_are_no_contact():
    #  the record of 12:00 is sent again at 12:04
    log = LogBook().device("d").contact("d", "12:00:00", "12:04:00", sequence=7)
    assert only_d(log.alerts("12:08:00")) == [("firing", "warning", "12:05:00")]


def test_the_next_silence_is_another_episode():
    events = LogBook().device("d").contact("d", "12:00:00", "12:06:00").alerts("12:12:00")
    assert only_d(events)[2] == ("firing", "warning", "12:11:00")
    assert events[2]["episode_id"] != events[0]["episode_id"]
    assert events[2]["seq"] == 1
    assert events[2]["dedup_key"] == f"device-offline/t/device/d/{at('12:06:00')}"


def test_case_26_an_ingest_outage_is_excused():
    #  D 12:00   F 11:57:30   |12:02 nothing heard 12:32|      F 12:34 (grace)   D 12:35
    log = LogBook(partition_count=2).device("d", "f", "g")
    log.contact("d", "12:00:00").contact("f", "11:57:30", partition=1)
    log.contact("g", "11:59:00", "12:32:30").deaf("12:02:00", "12:32:00")
    events = log.alerts("12:36:00")
    assert brief(events) == [
        ("device/f", "firing", "warning", "12:34:00"),
        ("device/d", "firing", "warning", "12:35:00"),
    ]
    assert [e["blind_seconds"] for e in events] == [1800, 1800]


def test_one_blind_partition_does_not_excuse_the_others():
    log = LogBook(partition_count=2).device("d", "f", "g")
    log.contact("d", "12:00:00").contact("f", "12:00:00", partition=1)
    log.contact("g", *(f"12:{m:02}:00" for m in range(0, 20, 2)))
    events = log.deaf("12:02:00", "12:12:00", partition=1).alerts("12:16:00")
    assert brief(events) == [
        ("device/d", "firing", "warning", "12:05:00"),
        ("device/f", "firing", "warning", "12:15:00"),
    ]


def test_a_stretch_of_exactly_30_s_is_not_blind():
    quiet = LogBook().device("d").contact("d", "12:00:00").deaf("12:01:00", "12:01:30")
    assert only_d(quiet.alerts("12:08:00")) == [("firing", "warning", "12:05:00")]
    blind = LogBook().device("d").contact("d", "12:00:00").deaf("12:01:00", "12:01:35")
    assert only_d(blind.alerts("12:08:00")) == [("firing", "warning", "12:05:35")]


def test_case_36_exactly_a_tenth_fires():
    for lost, fires in ((99, False), (100, True)):
        ids = [f"d{i:04}" for i in range(1000)]
        log = LogBook().device(*ids)
        for device in ids:
            log.contact(device, "12:00:00")
        for device in ids[lost:]:
            log.contact(device, "12:04:00")
        events = log.alerts("12:06:00")
        assert len([e for e in events if e["subject"] == "tenant/t"]) == fires
        assert len(events) == lost + fires


def test_case_39_tiny_groups():
    #  N=1 never, N=2 at M=2, N=5 at M=3 and calm at M<=1, N=20 at M=3
    assert (need(2), need(5), need(20), need(21), need(31)) == (2, 3, 3, 3, 4)
    assert (clear(5), clear(2), clear(20)) == (1, 0, 1)
    for size, lost, fires in ((1, 1, 0), (2, 1, 0), (2, 2, 1), (5, 2, 0), (5, 3, 1), (20, 2, 0)):
        ids = [f"d{i:02}" for i in range(size)]
        log = LogBook().device(*ids)
        for device in ids:
            log.contact(device, "12:00:00")
        for device in ids[lost:]:
            log.contact(device, "12:04:00")
        events = log.alerts("12:06:00")
        assert len([e for e in events if e["severity"] == "emergency"]) == fires


def five_devices_of_which_three_return(minute: int) -> LogBook:
    ids = ["d1", "d2", "d3", "d4", "d5"]
    log = LogBook().device(*ids)
    for device in ids[3:]:
        log.contact(device, *(f"12:{m:02}:00" for m in range(0, 60, 2)))
    for i, device in enumerate(ids[:3]):
        log.contact(device, f"12:00:0{i}", *(f"12:{m:02}:0{i}" for m in range(minute, 60, 2)))
    return log


def test_case_35_emergency_and_its_end_after_5_calm_minutes():
    #  M: 12:05:00 1 | :01 2 | :02 3 = need(5) | 12:10:00 2 | :01 1 = clear(5) ... 5 min
    events = five_devices_of_which_three_return(10).alerts("12:16:00")
    fleet = [e for e in events if e["subject"] == "tenant/t"]
    assert brief(fleet) == [
        ("tenant/t", "firing", "emergency", "12:05:02"),
        ("tenant/t", "resolved", "emergency", "12:15:01"),
    ]
    assert [e["counts"] for e in fleet] == [
        {"monitored": 5, "offline": 3},
        {"monitored": 5, "offline": 0},
    ]
    assert fleet[0]["dedup_key"] == f"fleet-offline/t/tenant/t/{at('12:05:02')}"
    assert fleet[0]["channels"] == ["pagerduty", "oncall"]


def test_during_an_emergency_new_device_events_are_suppressed_and_told_ones_are_resolved():
    log = five_devices_of_which_three_return(40).device("e").contact("e", "12:01:00")
    events = log.alerts("12:50:00")
    fleet = next(e for e in events if e["subject"] == "tenant/t")
    by = {(e["subject"], e["status"], e["severity"]): e for e in events}
    assert by["device/d3", "firing", "warning"]["notify"]
    late = by["device/e", "firing", "warning"]
    assert (late["notify"], late["suppressed_by"]) == (False, [fleet["id"]])
    critical = by["device/d1", "firing", "critical"]
    assert (critical["notify"], critical["suppressed_by"]) == (False, [fleet["id"]])
    resolved = by["device/d1", "resolved", "critical"]
    assert (resolved["notify"], resolved["channels"]) == (True, ["email"])


def test_case_42_tenants_do_not_touch_each_other():
    log = LogBook().device("a", "b", "c", tenant="one").device("a", "b", "c", tenant="two")
    for device in ("a", "b", "c"):
        log.contact(device, "12:00:00", tenant="one")
        log.contact(device, "12:00:00", "12:04:00", "12:08:00", tenant="two")
    events = log.alerts("12:06:00")
    assert {e["tenant_id"] for e in events} == {"one"}
    assert [e["severity"] for e in events] == ["warning"] * 3 + ["emergency"]


def test_case_52_a_decommissioned_device_resolves_once_and_is_forgotten():
    log = LogBook().device("d").contact("d", "12:00:00", "12:25:00").gone("d", "12:20:00")
    events = log.alerts("14:00:00")
    assert only_d(events) == [
        ("firing", "warning", "12:05:00"),
        ("resolved", "warning", "12:20:00"),
    ]


def test_case_53_a_device_never_seen_is_not_offline():
    assert LogBook().device("d").alerts("14:00:00") == []
    log = LogBook().device("d").contact("d", "12:00:00")
    assert only_d(log.alerts("12:08:00")) == [("firing", "warning", "12:05:00")]


def test_case_54_an_unregistered_device_is_not_counted():
    log = LogBook().device("d", "e").contact("x", "12:00:00").contact("y", "12:00:00")
    log.contact("d", "12:00:00").contact("e", "12:00:00", "12:04:00")
    assert brief(log.alerts("12:06:00")) == [("device/d", "firing", "warning", "12:05:00")]


def test_case_56_a_flapping_device_is_told_at_its_begin():
    times = [f"12:{m:02}:00" for m in range(0, 60, 6)]
    events = LogBook().device("d").contact("d", *times).alerts("12:58:00")
    assert only_d(events)[:4] == [
        ("firing", "warning", "12:05:00"),
        ("resolved", "warning", "12:06:00"),
        ("firing", "warning", "12:11:00"),
        ("resolved", "warning", "12:12:00"),
    ]
    assert only_d(events)[4] == ("firing", "warning", "12:12:00")
    assert [e["notify"] for e in events] == [True] * 5 + [False] * 14


def test_nothing_is_known_beyond_the_slowest_partition():
    log = LogBook(partition_count=2).device("d").contact("d", "12:00:00")
    log.deaf("12:04:45", "12:59:00", partition=1)
    assert log.alerts("12:05:10") == []
    assert len(log.alerts("12:05:20")) == 1
