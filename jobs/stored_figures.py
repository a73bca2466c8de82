"""The live view's questions to the stored tables, cheap ones, and what their answers mean."""

from collections.abc import Callable
from typing import Any

import polars as pl

from jobs.live_figures import SEVERITIES, AlertLine, PointCounts, StoredFigures
from jobs.query_statements import IS_TOLD

LINES_MAX_COUNT = 30
"""Alerts and events that one answer brings; a terminal shows fewer."""

Ask = Callable[[str], pl.DataFrame]
"""Answers one statement."""

# The scope `tenant` holds every point once, in the fewest rows.
FIGURES_SQL = f"""
WITH
    (SELECT (sum(count), sum(duplicate_count), sum(nan_count), sum(out_of_range_count))
        FROM windows WHERE scope = 'tenant') AS points,
    (SELECT groupArray((status, n)) FROM
        (SELECT status, count() AS n FROM v_device_now GROUP BY status)) AS devices,
    (SELECT groupArray((severity, n)) FROM
        (SELECT severity, count() AS n FROM v_open_alerts GROUP BY severity)) AS open_counts,
    (SELECT groupArray((toUnixTimestamp64Milli(starts_at), 'firing', severity, subject, summary))
        FROM (SELECT * FROM v_open_alerts ORDER BY indexOf({list(SEVERITIES)}, severity),
            starts_at DESC, subject LIMIT {LINES_MAX_COUNT})) AS open_alerts,
    (SELECT groupArray((toUnixTimestamp64Milli(time), status, severity, subject, summary))
        FROM (SELECT * FROM v_alert_events WHERE {IS_TOLD}
            ORDER BY time DESC, subject, seq DESC LIMIT {LINES_MAX_COUNT})) AS events
SELECT points, devices, open_counts, open_alerts, events,
    (SELECT count() FROM alert_events WHERE {IS_TOLD}) AS event_count
"""  # noqa: S608 - our own constants

POINTS_SQL = """
SELECT scope, sum(count) AS aggregated, sum(duplicate_count) AS duplicate, sum(nan_count) AS nan,
    sum(out_of_range_count) AS out_of_range,
    uniqExact(tenant_id, device_id, metric, deployment_group, model_version, window_ms,
        window_start) AS window_count
FROM windows GROUP BY scope ORDER BY scope"""

EPISODES_SQL = """
SELECT severity, uniqExact(episode_id) AS episodes FROM v_alert_events
WHERE status = 'firing' GROUP BY severity"""

MISSING_SQL = "SELECT sum(missing) AS missing FROM v_accounts"
DEAD_LETTERS_SQL = "SELECT count() AS messages FROM dead_letters FINAL"


def stored_figures(ask: Ask) -> StoredFigures:
    """Ask for all that the live view shows, in one question.

    Raises:
        Unavailable: the engine does not answer.
    """
    row = ask(FIGURES_SQL).row(0, named=True)
    return StoredFigures(
        points=PointCounts(*_values(row["points"])),
        device_counts=dict(map(_values, row["devices"])),
        open_counts=dict(map(_values, row["open_counts"])),
        open_alerts=tuple(AlertLine(*_values(line)) for line in row["open_alerts"]),
        events=tuple(AlertLine(*_values(line)) for line in row["events"]),
        event_count=row["event_count"],
    )


def _values(fields: dict[str, Any]) -> tuple[Any, ...]:
    """Return a tuple of ClickHouse, which arrives as a struct with numbered fields."""
    return tuple(fields.values())
