"""Findings as alerts: one incident, one episode; what does not page stays on its own topic."""

import pytest

from schemas.records import decode_record, encode_record
from schemas.topics import Topic
from tests.drift_findings import MINUTE_MS, finding
from udfs.alerts import AlertRecord
from udfs.drift.finding_alerts import OLD_AFTER_MS, FindingAlerts
from udfs.drift.findings import DriftFinding, Rule, Severity, State
from udfs.offline_policy import OfflinePolicy

POLICY = OfflinePolicy()


def told(
    alerts: FindingAlerts, *findings: DriftFinding, late_ms: int = MINUTE_MS
) -> list[AlertRecord]:
    """Return the events of findings, each at a step of its own."""
    return [
        record
        for each in findings
        for record in alerts.records(
            [each], lambda _: ("g", "m"), each.detected_at_ms + late_ms, POLICY
        )
    ]


def after(minutes: int, **changes: object) -> DriftFinding:
    found = finding(**changes)
    return finding(**changes, detected_at_ms=found.detected_at_ms + minutes * MINUTE_MS)


def test_an_incident_fires_once_rises_once_and_resolves_on_every_channel() -> None:
    minor = finding(severity=Severity.MINOR)
    again = after(5, severity=Severity.MINOR, metric="load_ratio", finding_id="f-2")
    events = told(
        FindingAlerts(),
        minor,
        again,
        after(10, severity=Severity.MAJOR),
        after(15, severity=Severity.CRITICAL),
        after(20, state=State.RESOLVED, notify=False),
        after(25, state=State.RESOLVED),
    )
    said = [(e["seq"], e["status"], e["severity"], e["previous_severity"]) for e in events]
    assert said == [
        (1, "firing", "warning", None),
        (2, "firing", "critical", "warning"),
        (3, "resolved", "critical", "critical"),
    ]
    assert len({e["episode_id"] for e in events}) == len({e["dedup_key"] for e in events}) == 1
    assert len({e["id"] for e in events}) == 3
    assert events[-1]["channels"] == ["email", "sms", "slack"]
    assert events[-1]["notify"]


@pytest.mark.parametrize(
    "silent",
    [
        {"severity": Severity.INFO},
        {"severity": Severity.WATCH},
        {"notify": False},
        {"state": State.INFO},
        {"state": State.RESOLVED},
    ],
)
def test_what_does_not_page_is_no_alert(silent: dict[str, object]) -> None:
    assert told(FindingAlerts(), finding(**silent)) == []


def test_what_is_old_when_it_is_found_notifies_nobody_nor_does_its_end() -> None:
    alerts = FindingAlerts()
    (old,) = told(alerts, finding(), late_ms=OLD_AFTER_MS + 1)
    assert (old["backfilled"], old["notify"]) == (True, False)
    (over,) = told(alerts, after(5, state=State.RESOLVED))
    assert (over["backfilled"], over["notify"]) == (False, False)
    (just,) = told(FindingAlerts(), finding(), late_ms=OLD_AFTER_MS)
    assert (just["backfilled"], just["notify"]) == (False, True)


@pytest.mark.parametrize("rule", Rule)
def test_every_family_is_a_rule_of_the_alerts_and_fits_their_schema(rule: Rule) -> None:
    (event,) = told(FindingAlerts(), finding(rule=rule, scope="tenant", subject=""))
    assert event["type"] == f"fleetpulse.alert.{rule}"
    assert event["subject"] == "tenant/t0"
    sent = encode_record(Topic.ALERTS, event | {"emitted_at": 0}, 7)
    assert decode_record(Topic.ALERTS, sent) == event | {"emitted_at": 0}


def test_two_incidents_of_one_subject_are_two_episodes_and_both_are_kept_in_bytes() -> None:
    alerts = FindingAlerts()
    first, second = told(alerts, finding(), finding(incident_id="i/2"))
    assert first["episode_id"] != second["episode_id"]
    assert len(second["dedup_key"]) <= 255
    kept = FindingAlerts.from_values(alerts.to_values())
    assert kept == alerts
    (over,) = told(kept, after(5, state=State.RESOLVED, incident_id="i/2"))
    assert (over["episode_id"], over["seq"]) == (second["episode_id"], 2)
