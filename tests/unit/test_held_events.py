"""Threshold events while the input lags (C7, C12): they wait, and what is over notifies nobody."""

from tests.alert_logs import Event, at
from udfs.held_events import SETTLE_MS, HeldEvents
from udfs.partition_clocks import UNKNOWN_MS

LAG_AFTER_MS = 60_000
NOON_MS = at("12:00:00")
HOUR_MS = 3_600_000


def event(episode: str, status: str, *, notify: bool = True) -> Event:
    return {"episode_id": episode, "status": status, "notify": notify}


def notified(events: list[Event]) -> list[tuple[str, str, bool]]:
    return [(e["episode_id"], e["status"], e["notify"]) for e in events]


def test_events_of_an_input_that_keeps_up_leave_at_once() -> None:
    held, firing = HeldEvents(), event("a", "firing")
    assert held.pass_on([firing], NOON_MS, NOON_MS + LAG_AFTER_MS, LAG_AFTER_MS) == [firing]
    assert held.pass_on([firing], UNKNOWN_MS, NOON_MS, LAG_AFTER_MS) == [firing]


def test_events_of_a_log_of_the_past_leave_at_once() -> None:
    assert HeldEvents().pass_on([event("a", "firing")], NOON_MS, NOON_MS + HOUR_MS, None) != []


# clock 12:00 ---- a fires ---- b fires ---- a resolves ---- 13:00:30 all leave   (wall clock 13:00)
def test_a_backlog_is_waited_for_and_what_it_resolved_notifies_nobody() -> None:
    held, now_ms = HeldEvents(), NOON_MS + HOUR_MS
    steps = [event("a", "firing"), event("b", "firing"), event("a", "resolved")]
    for minute, each in enumerate(steps):
        clock_ms = NOON_MS + minute * 60_000
        assert held.pass_on([each], clock_ms, now_ms, LAG_AFTER_MS) == []
        held = HeldEvents.from_values(held.to_values())
    assert held.pass_on([], now_ms + SETTLE_MS - 1, now_ms, LAG_AFTER_MS) == []
    left = held.pass_on([event("c", "resolved")], now_ms + SETTLE_MS, now_ms, LAG_AFTER_MS)
    assert notified(left) == [
        ("a", "firing", False),
        ("b", "firing", True),
        ("a", "resolved", False),
        ("c", "resolved", True),  # of a firing that was told before
    ]
    assert held.pass_on([event("d", "firing")], now_ms, now_ms, LAG_AFTER_MS) != []


def test_a_breach_that_began_again_in_the_backlog_notifies_once() -> None:
    held, now_ms = HeldEvents(), NOON_MS + HOUR_MS
    story = [event("a", status) for status in ("resolved", "firing", "resolved", "firing")]
    held.pass_on(story, NOON_MS, now_ms, LAG_AFTER_MS)
    left = held.pass_on([], now_ms + SETTLE_MS, now_ms, LAG_AFTER_MS)
    assert [told for *_, told in notified(left)] == [True, False, False, True]
