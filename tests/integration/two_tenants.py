"""Rows of a tenant whose devices, groups, models and metrics are partly named as another's are."""

from schemas.tables import (
    ALERT_EVENTS,
    DEVICE_STATUS,
    DRIFT_FINDINGS,
    HOUR_MS,
    MINUTE_MS,
    ROLLOUT_VERDICTS,
    WINDOWS,
)
from schemas.topics import Topic
from sinks.load_ledger import LedgerEntry, OffsetRange
from sinks.read_only_endpoint import quoted
from sinks.table_rows import rows_of
from tests.drift_findings import finding
from tests.loader_input import START_MS, WindowInput, alert, device_status, message, schema_of_id
from tests.rollout_verdicts import verdict
from udfs.drift.finding_messages import finding_record
from udfs.drift.findings import State

DAY_MS = 24 * HOUR_MS
NOW_MS = START_MS + 10 * DAY_MS
OWN = {"a": "only-a", "b": "bbb"}
"""A part of each name that only this tenant has."""
SEED = 20261122


def names(tenant, kind):
    return [f"{kind}-1", f"{kind}-{OWN[tenant]}"]


def window_rows(tenant):
    made = WindowInput(SEED)
    ages_ms = [*range(0, 3 * HOUR_MS, 20 * MINUTE_MS), *range(3 * HOUR_MS, 9 * DAY_MS, 9 * HOUR_MS)]
    rows = []
    for age_ms in ages_ms:
        for scope in ("device", "group", "tenant"):
            for index in range(2):
                delta = made.deltas(1)[0]
                rows.append(delta | identity(tenant, scope, index) | placed(scope, age_ms))
    return rows


def identity(tenant, scope, index):
    group, model = names(tenant, "group")[index], names(tenant, "model")[index]
    return {
        "tenant_id": tenant,
        "scope": scope,
        "device_id": names(tenant, "cam")[index] if scope == "device" else None,
        "deployment_group": "" if scope == "tenant" else group,
        "model_version": "" if scope == "tenant" else model,
        "metric": names(tenant, "metric")[index],
    }


def placed(scope, age_ms):
    window_ms = 5 * MINUTE_MS if scope == "device" else MINUTE_MS
    return {"window_ms": window_ms, "window_start": NOW_MS - age_ms - window_ms}


def alert_rows(tenant):
    for index in range(12):
        device, group = names(tenant, "cam")[index % 2], names(tenant, "group")[index % 2]
        at_ms = NOW_MS - 1 - index * 7 * HOUR_MS
        yield alert(
            f"e-{tenant}-{index}",
            tenant_id=tenant,
            subject=f"device/{device}",
            time=at_ms,
            starts_at=at_ms,
            status="firing" if index % 3 else "resolved",
            severity=("warning", "critical", "emergency")[index % 3],
            silence_s=300.0,
            labels={"tenant": tenant, "group": group, "site": f"Köln {OWN[tenant]}"},
            summary=f"{device} is silent, tenant {tenant}",
        )


def finding_rows(tenant):
    for index in range(8):
        at_ms = NOW_MS - index * HOUR_MS
        found = finding(
            tenant_id=tenant,
            subject=names(tenant, "cam")[index % 2],
            metric=names(tenant, "metric")[index // 2 % 2],
            state=State.RESOLVED if index % 4 == 3 else State.FIRING,
            log10_e=8.0 + index,
            first_seen_ms=at_ms - HOUR_MS,
            detected_at_ms=at_ms,
            incident_id=f"i-{index}",
            finding_id=f"f-{index}",
        )
        yield finding_record(found)


def verdict_rows(tenant):
    groups, models = names(tenant, "group"), names(tenant, "model")
    for index in range(4):
        group = groups[index % 2]
        rollout = f"{group}/{models[0]}/{index // 2}"
        yield verdict(
            tenant_id=tenant,
            rollout_id=rollout,
            verdict_id=f"v-{index}",
            deployment_group=group,
            treatment_version=models[0],
            control_version=models[1],
            decided_at=NOW_MS - index * HOUR_MS,
        )


def status_rows(tenant):
    for device, group, model in zip(
        *(names(tenant, kind) for kind in ("cam", "group", "model")), strict=True
    ):
        yield device_status(device, tenant_id=tenant, deployment_group=group, model_version=model)


def store(database, tenant, number):
    inputs = [
        (WINDOWS, Topic.WINDOWS, [{"rows": window_rows(tenant)}]),
        (ALERT_EVENTS, Topic.ALERTS, list(alert_rows(tenant))),
        (DEVICE_STATUS, Topic.DEVICE_STATUS, list(status_rows(tenant))),
        (DRIFT_FINDINGS, Topic.DRIFT, list(finding_rows(tenant))),
        (ROLLOUT_VERDICTS, Topic.ROLLOUTS, list(verdict_rows(tenant))),
    ]
    for spec, topic, records in inputs:
        first = number * 100
        messages = [message(topic, each, first + n) for n, each in enumerate(records)]
        rows = rows_of(topic, messages, schema_of_id(topic)).table
        offsets = OffsetRange(0, first, first + len(records) - 1)
        database.writer.load(spec, LedgerEntry(topic, number, (offsets,), rows.num_rows), rows)
    for device, metric in zip(names(tenant, "cam"), names(tenant, "metric"), strict=True):
        runs = f"""SELECT {quoted(tenant)}, {quoted(metric)}, {quoted(device)},
            fromUnixTimestamp64Milli(min(at_ms) AS first_ms, 'UTC'),
            arrayMap(at -> at - first_ms, groupArray(at_ms)), groupArray(point), map('core', core)
            FROM (SELECT {NOW_MS} - 7000 * (number + 1) AS at_ms, number / 4 AS point,
                toString(number % 2) AS core FROM numbers(50))
            GROUP BY core, intDiv(at_ms, {HOUR_MS})"""
        columns = "tenant_id, metric, device_id, first_at, offset_ms, value, tags"
        for _copy in range(2):
            database.client.command(f"INSERT INTO telemetry_runs ({columns}) {runs}")
    account = f"('telemetry.{tenant}', 0, 'message', 'read', '', 7)"
    database.client.command(
        f"INSERT INTO accounts (topic, partition, unit, outcome, reason, count) VALUES {account}"
    )
