"""Tables as a fleet of 100,000 devices fills them, made by the engine itself in a minute.

    points, windows of every device     |                          |- last hour -|
    windows of one device in a hundred  |------------- 24 h --------------------|
    windows of the groups               |------------- 24 h --------------------|

Window rows go the loader's way, through the landing table, so hours and days are filled by the
views. Every figure is a function of names and times, so each answer is known beforehand.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from schemas.tables import HOUR_MS, MINUTE_MS

TENANT_ID = "demo"
METRICS = ("cpu_usage_ratio", "inference_latency_ms", "power_draw_w", "temperature_c")
MODELS = ("detector-1", "detector-2", "detector-3")
GROUP_COUNT = 20
DEVICE_WINDOW_MS, GROUP_WINDOW_MS = 5 * MINUTE_MS, MINUTE_MS
DAY_WINDOWS = 24 * HOUR_MS // DEVICE_WINDOW_MS
DEEP_SHARE = 100
"""One device in so many has windows of the whole day."""

DEVICE_BINS, GROUP_BINS = 5, 120
GROUP_BIN_COUNT = 14
"""Points in each bin of a group's window: 1,680, as 1,667 devices with a point a minute make."""
FIRST_BIN, MODEL_BIN_STEP = 1_281, 40
"""Bins of a model begin so much further up than those of the one before."""

COLUMNS = (
    "tenant_id, scope, device_id, metric, deployment_group, model_version, window_ms, "
    "window_start, count, sum_fixed, sum_sq_fixed, min, max, histogram, load_batch"
)


@dataclass(frozen=True)
class StoredFleet:
    """What is stored.

    Args:
        device_count: devices; a multiple of the groups times the models.
        end_ms: where all of it ends, UTC; a full hour.
    """

    device_count: int
    end_ms: int

    def statements(self) -> Iterator[str]:
        """Return the inserts, none of which is larger than a block of the loader by much."""
        last_hour = HOUR_MS // DEVICE_WINDOW_MS
        for back in range(1, last_hour + 1):
            yield self._device_windows(self.device_count, back, back)
        for back in range(last_hour + 1, DAY_WINDOWS + 1, last_hour):
            deep_count = self.device_count // DEEP_SHARE
            yield self._device_windows(deep_count, back, min(back + last_hour - 1, DAY_WINDOWS))
        for hour in range(24):
            yield self._group_windows(hour)
        yield from (self._points(metric) for metric in METRICS)
        yield self._statuses()

    @property
    def group_row_count(self) -> int:
        """Return the windows of groups."""
        return GROUP_COUNT * len(MODELS) * len(METRICS) * 24 * HOUR_MS // GROUP_WINDOW_MS

    @property
    def device_row_count(self) -> int:
        """Return the windows of devices."""
        last_hour = HOUR_MS // DEVICE_WINDOW_MS
        deep = self.device_count // DEEP_SHARE * (DAY_WINDOWS - last_hour)
        return (self.device_count * last_hour + deep) * len(METRICS)

    def _device_windows(self, device_count: int, first_back: int, last_back: int) -> str:
        """Return a row for each device, metric and window; windows count back from the end."""
        windows = last_back - first_back + 1
        metric_count = len(METRICS)
        return _insert(
            f"""SELECT number % {device_count} AS device,
                intDiv(number, {device_count}) % {metric_count} AS metric_number,
                {first_back} + intDiv(number, {device_count * metric_count}) AS back,
                {FIRST_BIN} + cityHash64(device, metric_number, back) % 300 AS first_bin,
                'device' AS scope, {_device_id("device")} AS device_id,
                {_group("device % " + str(GROUP_COUNT))} AS deployment_group,
                {_model(f"intDiv(device, {GROUP_COUNT})")} AS model_version,
                {DEVICE_WINDOW_MS} AS window_ms,
                range(toInt32(first_bin), toInt32(first_bin + {DEVICE_BINS})) AS bins, 1 AS per_bin
            FROM numbers({device_count * metric_count * windows})""",  # noqa: S608 - our own names
            self.end_ms,
        )

    def _group_windows(self, hour: int) -> str:
        """Return one row for each group, model, metric and minute of an hour."""
        kinds = GROUP_COUNT * len(MODELS)
        rows_a_minute = kinds * len(METRICS)
        return _insert(
            f"""SELECT number % {GROUP_COUNT} AS group_number,
                intDiv(number, {GROUP_COUNT}) % {len(MODELS)} AS model_number,
                intDiv(number, {kinds}) % {len(METRICS)} AS metric_number,
                {60 * hour} + 1 + intDiv(number, {rows_a_minute}) AS back,
                {FIRST_BIN} + {MODEL_BIN_STEP} * model_number AS first_bin,
                'group' AS scope, '' AS device_id,
                {_group("group_number")} AS deployment_group,
                {_model("model_number")} AS model_version,
                {GROUP_WINDOW_MS} AS window_ms,
                range(toInt32(first_bin), toInt32(first_bin + {GROUP_BINS})) AS bins,
                {GROUP_BIN_COUNT} AS per_bin
            FROM numbers({rows_a_minute * 60})""",  # noqa: S608 - our own names
            self.end_ms,
        )

    def _points(self, metric: str) -> str:
        last_hour = HOUR_MS // DEVICE_WINDOW_MS
        return f"""
INSERT INTO telemetry_runs (tenant_id, metric, device_id, first_at, offset_ms, value)
SELECT '{TENANT_ID}', '{metric}', {_device_id(f"number % {self.device_count}")},
    fromUnixTimestamp64Milli(
        {self.end_ms} - {DEVICE_WINDOW_MS} * (1 + intDiv(number, {self.device_count})), 'UTC'),
    [0], [(cityHash64(number) % 100000) / 1000]
FROM numbers({self.device_count * last_hour})"""  # noqa: S608 - our own names

    def _statuses(self) -> str:
        return f"""
INSERT INTO device_status (tenant_id, device_id, status, deployment_group, model_version)
SELECT '{TENANT_ID}', {_device_id("number")}, if(number % 50 = 0, 'warning', 'online'),
    {_group(f"number % {GROUP_COUNT}")}, {_model(f"intDiv(number, {GROUP_COUNT})")}
FROM numbers({self.device_count})"""  # noqa: S608 - our own names


def device_name(number: int) -> str:
    """Return the identity of a device."""
    return f"camera-{number:06}"


def first_bin(model: str) -> int:
    """Return the first bin of a model's windows."""
    return FIRST_BIN + MODEL_BIN_STEP * MODELS.index(model)


def _device_id(number: str) -> str:
    return f"concat('camera-', leftPad(toString({number}), 6, '0'))"


def _group(number: str) -> str:
    return f"concat('stores-', toString({number}))"


def _model(number: str) -> str:
    return f"{list(MODELS)}[1 + {number} % {len(MODELS)}]"


def _insert(rows: str, end_ms: int) -> str:
    """Return the insert of window rows whose values are the middles of their bins."""
    return f"""
INSERT INTO windows_landing ({COLUMNS})
SELECT '{TENANT_ID}', scope, device_id, {list(METRICS)}[1 + metric_number], deployment_group,
    model_version, window_ms,
    fromUnixTimestamp64Milli(toInt64({end_ms} - back * window_ms), 'UTC') AS start,
    length(bins) * per_bin, toInt128(arraySum(middles) * per_bin * exp2(50)),
    toInt256(arraySum(middle -> middle * middle, middles) * per_bin * exp2(80)),
    middles[1], middles[-1], (bins, arrayMap(bin -> toUInt64(per_bin), bins)), 1
FROM (SELECT *, arrayMap(bin -> fleetpulse_bin_value(bin), bins) AS middles FROM ({rows}))"""  # noqa: S608 - our own names
