"""Every metric by its Prometheus name, in one place. Each comment ends with the cure."""

from dataclasses import dataclass
from enum import StrEnum


class MetricKind(StrEnum):
    """How a metric moves."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True)
class Metric:
    """One metric: its name (Prometheus units), what it says, its labels (bounded values only)."""

    name: str
    kind: MetricKind
    says: str
    labels: tuple[str, ...] = ()


# Stands still while the lag grows: see loader_last_error_info; is ClickHouse up, is its disk full?
LOADER_ROWS = Metric(
    "fleetpulse_loader_rows_total", MetricKind.COUNTER, "Rows loaded, before merging", ("table",)
)
# Many a second with few rows each: raise loader.batch_max_age_ms, small parts cost merges.
LOADER_BATCHES = Metric(
    "fleetpulse_loader_batches_total", MetricKind.COUNTER, "Batches loaded", ("table",)
)
# Above the input of a minute: raise the loader.batch_max_* settings, or give ClickHouse more CPU.
LOADER_LAG = Metric(
    "fleetpulse_loader_lag_messages",
    MetricKind.GAUGE,
    "Messages that are in the log and not yet in a table",
    ("topic", "partition"),
)
# Above 0: a sender writes what the schema does not allow; read dead_letters.reason and .detail.
LOADER_REJECTED = Metric(
    "fleetpulse_loader_rejected_total",
    MetricKind.COUNTER,
    "Messages sent to the dead letters",
    ("topic", "reason"),
)
# Above 0: retention is shorter than the loader's absence; raise retention.ms or restart it sooner.
LOADER_LOST = Metric(
    "fleetpulse_loader_lost_messages_total",
    MetricKind.COUNTER,
    "Offsets that retention removed before they were loaded",
    ("topic",),
)
# Rising: ClickHouse or the registry is away or overloaded; the class is in loader_last_error_info.
LOADER_RETRIES = Metric(
    "fleetpulse_loader_retries_total", MetricKind.COUNTER, "Attempts that failed and are repeated"
)
# Above 0 for a minute: ClickHouse is away and nothing is read; loader_last_error_info says why.
LOADER_BREAKER = Metric(
    "fleetpulse_loader_breaker_state",
    MetricKind.GAUGE,
    "The breaker before ClickHouse: 0 closed, 1 half-open (one probe), 2 open (nothing is sent)",
)
# 1 for the code or class of the last error, 0 for older ones; read the loader's log at that time.
LOADER_LAST_ERROR = Metric(
    "fleetpulse_loader_last_error_info", MetricKind.GAUGE, "The last error", ("error",)
)

# read does not grow while the lag of fleetpulse-aggregate does: the job stands; see its exceptions.
MESSAGES = Metric(
    "fleetpulse_messages_total",
    MetricKind.COUNTER,
    "Telemetry messages by what became of them; read is the sum of the others",
    ("topic", "partition", "outcome"),
)
# duplicate above a few percent: devices send again what was acknowledged; mend their retry.
POINTS = Metric(
    "fleetpulse_points_total",
    MetricKind.COUNTER,
    "Points by what became of them; read is the sum of the others",
    ("topic", "partition", "outcome"),
)
# Rising: a producer or a schema is wrong; `fleetpulse dead-letters list` shows whose, then replay.
REJECTED = Metric(
    "fleetpulse_rejected_total",
    MetricKind.COUNTER,
    "Telemetry messages in the dead letters, and single points refused, by reason",
    ("topic", "unit", "reason"),
)
# Not 0 for minutes: something was lost or told twice; keep the topics and report a defect.
MISSING = Metric(
    "fleetpulse_account_missing",
    MetricKind.GAUGE,
    "Messages and points of a partition that were read and are told nowhere, or told twice",
    ("topic", "partition"),
)

LOADER_METRICS = (
    MESSAGES,
    POINTS,
    REJECTED,
    MISSING,
    LOADER_ROWS,
    LOADER_BATCHES,
    LOADER_LAG,
    LOADER_REJECTED,
    LOADER_LOST,
    LOADER_RETRIES,
    LOADER_BREAKER,
    LOADER_LAST_ERROR,
)

OPERATOR_SCOPE = "flink_taskmanager_job_task_operator_"
"""As Flink's reporter begins the names of what Python operators measure."""

# Stands still: the offline job is stuck and tells of nobody; see its page, its input, the clock.
INPUT_CLOCK = Metric(
    "flink_taskmanager_job_task_operator_fleetpulse_input_clock_seconds",
    MetricKind.GAUGE,
    "Append time up to which the offline job has settled its input, UTC; -1 before any input",
)
# Above 0: nobody on those partitions can be heard; is their leader up, does the clock tick there?
BLIND_PARTITIONS = Metric(
    "flink_taskmanager_job_task_operator_fleetpulse_blind_partitions",
    MetricKind.GAUGE,
    "Partitions of the telemetry that are silent while others run on",
)
# Grows without end: one shard's clock stands; are all subtasks of the offline job running?
WAITING = Metric(
    "flink_taskmanager_job_task_operator_fleetpulse_waiting_transitions",
    MetricKind.GAUGE,
    "Transitions found and not yet told: a shard's clock, or a backlog, is waited for",
)
# Rising: alerts leave later than 10 s; the input lags, or two cores are too few for the fleet.
OVERDUE = Metric(
    "flink_taskmanager_job_task_operator_fleetpulse_overdue_transitions",
    MetricKind.COUNTER,
    "Firings that left the offline job more than 10 s after they were due",
)
# Stands still: no window becomes complete; does the aggregate job send marks, is the drift job up?
DRIFT_CLOCK = Metric(
    "flink_taskmanager_job_task_operator_fleetpulse_drift_clock_seconds",
    MetricKind.GAUGE,
    "Clock of telemetry to which the slowest shard of drift has read the windows, UTC; -1 before",
)
# Rising fast: many devices send late or out of order; drift.complete_after_s gives them longer.
DRIFT_LATE = Metric(
    "flink_taskmanager_job_task_operator_fleetpulse_drift_late_windows",
    MetricKind.GAUGE,
    "Windows of which rows came after they had been judged for drift; those rows do not count",
)
# Many that never end: versions are mixed for good in their groups; rollouts.is_on = false stops it.
OPEN_ROLLOUTS = Metric(
    "flink_taskmanager_job_task_operator_fleetpulse_drift_open_rollouts",
    MetricKind.GAUGE,
    "Rollouts of which both versions are still in their group",
)
ENGINE_METRICS = (
    INPUT_CLOCK,
    BLIND_PARTITIONS,
    WAITING,
    OVERDUE,
    DRIFT_CLOCK,
    DRIFT_LATE,
    OPEN_ROLLOUTS,
)


def operator_name(metric: Metric) -> str:
    """Return a metric's name as an operator gives it; Flink puts its scope before it.

    >>> operator_name(BLIND_PARTITIONS)
    'fleetpulse_blind_partitions'
    """
    return metric.name.removeprefix(OPERATOR_SCOPE)
