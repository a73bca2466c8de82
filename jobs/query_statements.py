"""The SQL of the questions by name. Whatever a person typed is in it as a quoted literal only."""

from collections.abc import Mapping
from types import MappingProxyType

from jobs.query_range import DAYS, Choice, Span
from jobs.query_request import SEVERITIES, Asked, NamedQuery, Option
from schemas.tables import HOUR_MS, TELEMETRY_RUNS, WINDOWS
from sinks.read_only_endpoint import quoted

_DEVICE_SCOPE, _GROUP_SCOPE = "scope = 'device'", "scope = 'group'"
IS_TOLD = "type != 'fleetpulse.alert.watchdog'"
"""Leaves out the engine's pulse, which nobody looks for among alerts."""

STATUS_COLUMNS: Mapping[Option, str] = MappingProxyType(
    {Option.GROUP: "deployment_group", Option.MODEL: "model_version", Option.DEVICE: "device_id"}
)
ROLLOUT_COLUMNS: Mapping[Option, str] = MappingProxyType(
    {Option.GROUP: "deployment_group", Option.MODEL: "treatment_version"}
)
METRIC_COLUMN: Mapping[Option, str] = MappingProxyType({Option.METRIC: "metric"})
WINDOW_COLUMNS: Mapping[Option, str] = MappingProxyType({**STATUS_COLUMNS, **METRIC_COLUMN})

_WINDOW_KEY = (
    "tenant_id, scope, device_id, metric, deployment_group, model_version, window_ms, window_start"
)
_FIGURES = """points AS count,
    fleetpulse_mean(points, total, smallest, largest) AS mean,
    if(points = 0, NULL, smallest) AS min,
    if(points = 0, NULL, quantiles[1]) AS p50,
    if(points = 0, NULL, quantiles[2]) AS p95,
    if(points = 0, NULL, quantiles[3]) AS p99,
    if(points = 0, NULL, largest) AS max"""

ACCOUNTS_SQL = """
SELECT topic, partition, messages_read, ticks, messages_accepted, messages_duplicate,
    messages_rejected, points_read, points_accepted, points_duplicate, points_rejected, missing
FROM v_accounts ORDER BY topic, partition"""


def fleet_sql(asked: Asked) -> str:
    """Return the devices of each group and model, by what they are doing now."""
    return f"""
SELECT tenant_id, deployment_group, model_version, devices, online, warning, critical, maintenance,
    offline_ratio
FROM v_fleet_now WHERE {_equal(asked, STATUS_COLUMNS)}
ORDER BY tenant_id, deployment_group, model_version LIMIT {asked.limit + 1}"""  # noqa: S608 - quoted


def alerts_sql(asked: Asked, now_ms: int) -> str:
    """Return the alerts that fire now, the worst and oldest first."""
    return f"""
SELECT tenant_id, severity, starts_at,
    ({now_ms} - toUnixTimestamp64Milli(starts_at)) / 1000 AS open_s,
    subject, labels['group'] AS deployment_group, last_seen, acked, notify, summary
FROM v_open_alerts WHERE {_alert_condition(asked)}
ORDER BY indexOf({list(SEVERITIES)}, severity), starts_at, subject
LIMIT {asked.limit + 1}"""  # noqa: S608 - quoted


def history_sql(asked: Asked, span: Span) -> str:
    """Return what happened to alerts, the newest first; an event that was sent again once."""
    words = "".join(f"\n    AND {_told(word)}" for word in asked.words)
    return f"""
SELECT time, tenant_id, status, severity, subject, labels['group'] AS deployment_group, silence_s,
    reason, notify, summary
FROM alert_events
WHERE {IS_TOLD} AND {_within("time", span)} AND {_alert_condition(asked)}{words}
ORDER BY time DESC, tenant_id, subject, seq DESC
LIMIT 1 BY tenant_id, id LIMIT {asked.limit + 1}"""  # noqa: S608 - quoted


def drift_sql(asked: Asked) -> str:
    """Return the metrics that drift now, the gravest and surest first."""
    return f"""
SELECT tenant_id, metric, severity, incidents, subjects, strongest_subject, direction, shift_sigma,
    strongest_log10_e AS log10_e, first_seen, last_detected
FROM v_top_drift WHERE {_equal(asked, METRIC_COLUMN)}
ORDER BY severity_rank DESC, log10_e DESC, tenant_id, metric LIMIT {asked.limit + 1}"""  # noqa: S608 - quoted


def rollouts_sql(asked: Asked) -> str:
    """Return what is said last of each rollout, what is to be rolled back first."""
    return f"""
SELECT tenant_id, deployment_group, treatment_version, control_version, verdict, reason,
    deciding_metric, is_final, treatment_devices, control_devices, look, started_at, decided_at,
    rollout_id
FROM v_rollouts WHERE {_equal(asked, ROLLOUT_COLUMNS)}
ORDER BY is_final AND verdict = 'ROLLBACK' DESC, decided_at DESC, tenant_id, rollout_id
LIMIT {asked.limit + 1}"""  # noqa: S608 - quoted


def windows_sql(asked: Asked, choice: Choice) -> str:
    """Return a device's or a group's history, the newest first."""
    table = choice.resolution.table
    if table == TELEMETRY_RUNS.name:
        return _points_sql(asked, choice.span)
    scope = _DEVICE_SCOPE if asked.name is NamedQuery.DEVICE else _GROUP_SCOPE
    condition = f"{_equal(asked, WINDOW_COLUMNS)} AND {_within('window_start', choice.span)}"
    identity = "tenant_id, deployment_group, model_version, metric"
    order = f"ORDER BY window_start DESC, {identity} LIMIT {asked.limit + 1}"
    if table == WINDOWS.name:
        # Not through the view: the engine would take twice as long to analyse it, which is most.
        summed = _summed(table, _WINDOW_KEY, f"{scope} AND {condition}")
        return f"SELECT window_start, {identity}, {_FIGURES} FROM ({summed}) {order}"  # noqa: S608 - quoted
    scope = "1" if asked.name is NamedQuery.DEVICE else scope
    return f"""
SELECT window_start, {identity}, count, mean, min, p50, p95, p99, max, covered_ratio
FROM {choice.resolution.view} WHERE {scope} AND {condition} {order}"""  # noqa: S608 - quoted


def _points_sql(asked: Asked, span: Span) -> str:
    """Return a device's points, the newest first, each once however often it came.

    Not through the view, which would read the runs of all times.
    """
    table = TELEMETRY_RUNS.name
    # The points of a run are of one hour.
    runs = _within("first_at", Span(span.since_ms // HOUR_MS * HOUR_MS, span.until_ms))
    return f"""
SELECT first_at + toIntervalMillisecond(after_ms) AS timestamp, tenant_id, metric, point AS value,
    arrayStringConcat(arrayMap((name, tag) -> concat(name, '=', tag),
        mapKeys({table}.tags), mapValues({table}.tags)), ' ') AS tags
FROM {table} ARRAY JOIN offset_ms AS after_ms, {table}.value AS point
WHERE {_equal(asked, WINDOW_COLUMNS)} AND {runs} AND {_within("timestamp", span)}
ORDER BY timestamp DESC, tenant_id, metric, tags
LIMIT 1 BY tenant_id, metric, timestamp, {table}.tags LIMIT {asked.limit + 1}"""  # noqa: S608 - quoted


def models_sql(asked: Asked, choice: Choice) -> str:
    """Return the figures of each model and metric over the whole stretch.

    From the group's rows, which are few: of 100,000 devices there are as many as there are groups.
    """
    key = "tenant_id, metric, model_version"
    condition = f"{_equal(asked, WINDOW_COLUMNS)} AND {_within('window_start', choice.span)}"
    summed = _summed(choice.resolution.table, key, f"{_GROUP_SCOPE} AND {condition}")
    return f"SELECT {key}, {_FIGURES} FROM ({summed}) ORDER BY {key} LIMIT {asked.limit + 1}"  # noqa: S608 - quoted


def _summed(table: str, key: str, condition: str) -> str:
    """Return the sums of each key, and the quantiles that `_FIGURES` shows."""
    return f"""
  -- All quantiles at once: a function is pasted in wherever it is used, and analysed each time.
  SELECT *, fleetpulse_quantiles_within(bins, [0.5, 0.95, 0.99], smallest, largest) AS quantiles
  FROM
  (
    SELECT {key}, sum(count) AS points, sum(sum_fixed) AS total,
        min(min) AS smallest, max(max) AS largest, sumMap(histogram) AS bins
    FROM {table} WHERE {condition}
    GROUP BY {key}
  )
"""  # noqa: S608 - quoted


def newest_sql(asked: Asked) -> str:
    """Return when the newest window ends of what is asked about, UTC ms, and of how many rows.

    The day's sum says which day to look at, so no month of windows is read for it.
    """
    scope = _DEVICE_SCOPE if asked.name is NamedQuery.DEVICE else _GROUP_SCOPE
    condition = f"{scope} AND {_equal(asked, WINDOW_COLUMNS)}"
    return f"""
SELECT toUnixTimestamp64Milli(max(window_start)) + max(window_ms) AS end_ms, count() AS row_count
FROM {WINDOWS.name} WHERE {condition}
    AND window_start >= (SELECT max(window_start) FROM {DAYS.name} WHERE {condition})
"""  # noqa: S608 - quoted


def kept_sql() -> str:
    """Return the tables that exist, each with the engine's words on how long it keeps what."""
    names = (TELEMETRY_RUNS.name, WINDOWS.name, *(rollup.name for rollup in WINDOWS.rollups))
    return f"""
SELECT name, engine_full FROM system.tables
WHERE database = currentDatabase() AND name IN ({", ".join(map(quoted, names))})"""  # noqa: S608 - quoted


def _equal(asked: Asked, columns: Mapping[Option, str]) -> str:
    given = {option: asked.option(option) for option in columns}
    if asked.device_id is not None:
        given[Option.DEVICE] = asked.device_id
    conditions = (
        f"{columns[option]} = {quoted(value)}"
        for option, value in given.items()
        if value is not None
    )
    return " AND ".join(conditions) or "1"


def _alert_condition(asked: Asked) -> str:
    device, group = asked.option(Option.DEVICE), asked.option(Option.GROUP)
    severity = asked.option(Option.SEVERITY)
    conditions = [
        *([] if severity is None else [f"severity = {quoted(severity)}"]),
        *([] if device is None else [f"subject = {quoted('device/' + device)}"]),
        *([] if group is None else [f"labels['group'] = {quoted(group)}"]),
    ]
    return " AND ".join(conditions) or "1"


def _told(word: str) -> str:
    """Return the condition that an alert has a word anywhere in its summary, subject or labels."""
    return (
        f"arrayExists(told -> positionCaseInsensitiveUTF8(told, {quoted(word)}) > 0, "
        "arrayConcat([subject, summary], mapValues(labels)))"
    )


def _within(column: str, span: Span) -> str:
    return (
        f"{column} >= fromUnixTimestamp64Milli({span.since_ms}, 'UTC') "
        f"AND {column} < fromUnixTimestamp64Milli({span.until_ms}, 'UTC')"
    )
