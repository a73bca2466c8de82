"""D4: may a rollout go on? Windows of devices in, ROLLBACK, PROMOTE, CONTINUE or NODATA out.

A rollout gives a new version to some devices (treatment) while others of the same stratum (tenant,
hardware, site, firmware) keep theirs (control). Both are compared over the same windows, look by
look; the unit is the device, never the window:

    rollout starts      look 0             look 1                           horizon
          |  |<--- 60 windows --->|<--- 60 windows --->|   ...                 |
                                  .lateness            .lateness
                                   ^ judged             ^ judged: all devices anew
                                     ROLLBACK or PROMOTE is final

Why looks. Devices are few and are seen again and again; their means converge to what each device
is like, so information is bounded by the number of devices (`canary_ranks`: V near n/2). Within a
look each device is one unit of a sequence, and the e-process over it may stop anywhere. A later
look is no new evidence about the same harm, but the only way to see harm that begins late, and
devices that joined: it starts anew with a smaller part of alpha (`confidence_sequence`). Versions
are compared over the same windows, so the time of day is no difference between them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from udfs.drift.canary_cohorts import NOBODY, turnouts
from udfs.drift.canary_policy import CanaryPolicy
from udfs.drift.canary_state import CanaryState, Rollout, RolloutKey
from udfs.drift.canary_units import NO_VALUE, PLACED, with_windows
from udfs.drift.canary_verdicts import VERDICT_SCHEMA, judge_rollout, verdict_rows
from udfs.offline_policy import DAY_MS, MINUTE_MS
from udfs.partition_clocks import Bools

WINDOW_SCHEMA = {
    "arrived_ms": pl.Int64,  # append time of the message that completed the window
    "tenant_id": pl.String,
    "rollout_id": pl.String,
    "is_treatment": pl.Boolean,
    "stratum": pl.String,  # hardware, site, firmware, ... joined; the tenant is of the rollout
    "device_id": pl.String,
    "metric": pl.String,
    "window_start_ms": pl.Int64,
    "value": pl.Float64,  # mean of the finite points; null or NaN when there is none
    "count": pl.Int64,  # finite points
    "missing_count": pl.Int64,
    "nan_count": pl.Int64,
}
"""Complete windows of devices, in the order of the log."""

AHEAD_MAX_MS = 5 * MINUTE_MS
FORGOTTEN_AFTER_MS = 62 * DAY_MS
"""A rollout that started longer ago and is over is forgotten."""


@dataclass(frozen=True)
class Ignored:
    """How many windows did not count, and why.

    Args:
        late: their look was judged.
        duplicate: they had come before.
        unknown: of a rollout that was not announced or is over, or of a metric nobody judges.
        outside: before the rollout's first window, not on its grid, or of the future.
    """

    late: int = 0
    duplicate: int = 0
    unknown: int = 0
    outside: int = 0


@dataclass(frozen=True)
class Step:
    """What came of some windows.

    Args:
        state: to be kept.
        verdicts: columns `VERDICT_SCHEMA`; one row a metric of each rollout whose verdict changed.
        ignored: windows that did not count.
    """

    state: CanaryState
    verdicts: pl.DataFrame
    ignored: Ignored


def on_windows(
    state: CanaryState, windows: pl.DataFrame, now_ms: int, policy: CanaryPolicy
) -> Step:
    """Take windows, then judge the looks that are due.

    Args:
        state: stays as it is.
        windows: columns `WINDOW_SCHEMA`; may be empty, so that the clock alone can move.
        now_ms: no window that arrived before this is still to come.
        policy: the same for the whole life of a rollout.
    """
    state, ignored = absorb(state, windows, policy)
    return replace(decide(state, now_ms, policy), ignored=ignored)


def absorb(
    state: CanaryState, windows: pl.DataFrame, policy: CanaryPolicy
) -> tuple[CanaryState, Ignored]:
    """Take windows without judging anything.

    A window counts by its own arrival, not by when blocks are cut: before its look is due.
    """
    if windows.is_empty():
        return state, Ignored()
    rows = _placed(state, windows, policy)
    fates = rows.group_by("fate").len()
    count = dict(zip(fates["fate"].to_list(), fates["len"].to_list(), strict=True))
    placed = rows.filter(pl.col("fate") == "counts").select(*PLACED)
    units, duplicates = with_windows(state.units, placed)
    late, unknown, outside = (count.get(fate, 0) for fate in ("late", "unknown", "outside"))
    return replace(state, units=units), Ignored(late, duplicates, unknown, outside)


def decide(state: CanaryState, now_ms: int, policy: CanaryPolicy) -> Step:
    """Judge every look that is due, in order."""
    told = [pl.DataFrame(schema=VERDICT_SCHEMA)]
    while due := [key for key, each in state.rollouts.items() if _is_due(each, now_ms, policy)]:
        state, rows = _judge_looks(state, sorted(due), policy)
        told.append(rows)
    kept = {k: r for k, r in state.rollouts.items() if not _is_forgotten(r, now_ms)}
    order = ["decided_at_ms", "tenant_id", "rollout_id"]
    rows = pl.concat(told).sort(order, maintain_order=True)
    return Step(replace(state, rollouts=kept), rows, Ignored())


def _is_due(rollout: Rollout, now_ms: int, policy: CanaryPolicy) -> bool:
    return not rollout.is_final and rollout.due_at_ms(policy) <= now_ms


def _is_forgotten(rollout: Rollout, now_ms: int) -> bool:
    return rollout.is_final and now_ms - rollout.started_at_ms > FORGOTTEN_AFTER_MS


def _judge_looks(
    state: CanaryState, due: list[RolloutKey], policy: CanaryPolicy
) -> tuple[CanaryState, pl.DataFrame]:
    """Judge the next look of some rollouts, and drop its windows."""
    rollouts, rows = dict(state.rollouts), [pl.DataFrame(schema=VERDICT_SCHEMA)]
    is_judged = _of_looks(state.units.keys, [rollouts[key] for key in due])
    found = turnouts(state.units.take(np.flatnonzero(is_judged)), policy.min_windows)
    for key in due:
        before = rollouts[key]
        after, judgement = judge_rollout(before, found.get(key, NOBODY), policy)
        rollouts[key] = after
        if after.is_final or (after.verdict, after.reason) != (before.verdict, before.reason):
            rows.append(verdict_rows(after, judgement, before.due_at_ms(policy)))
    ended = [rollouts[key] for key in due if rollouts[key].is_final]
    left = state.take_units(~(is_judged | _of_rollouts(state.units.keys, ended)))
    return replace(left, rollouts=rollouts), pl.concat(rows)


def _of_looks(keys: pl.DataFrame, rollouts: list[Rollout]) -> Bools:
    """Say which units are of the next look of some rollouts."""
    looks = [(each.tenant_id, each.rollout_id, each.next_look) for each in rollouts]
    return _is_among(keys, looks, ["tenant_id", "rollout_id", "look"])


def _of_rollouts(keys: pl.DataFrame, rollouts: list[Rollout]) -> Bools:
    """Say which units are of some rollouts."""
    names = [(each.tenant_id, each.rollout_id) for each in rollouts]
    return _is_among(keys, names, ["tenant_id", "rollout_id"])


def _is_among(keys: pl.DataFrame, wanted: Sequence[tuple[object, ...]], names: list[str]) -> Bools:
    schema = {name: keys.schema[name] for name in names}
    among = pl.DataFrame(wanted, schema=schema, orient="row").with_columns(is_among=pl.lit(1))
    found = keys.join(among, on=names, how="left", maintain_order="left")
    return found["is_among"].is_not_null().to_numpy()


def _placed(state: CanaryState, windows: pl.DataFrame, policy: CanaryPolicy) -> pl.DataFrame:
    """Give each window its look and slot, and its fate: counts, late, unknown or outside."""
    rows = windows.select(*WINDOW_SCHEMA).join(
        _open_rollouts(state, policy),
        on=["tenant_id", "rollout_id"],
        how="left",
        maintain_order="left",
    )
    since_ms = pl.col("window_start_ms") - pl.col("first_ms")
    rows = rows.with_columns(since_ms=since_ms, look=since_ms // policy.look_ms)
    names = [metric.name for metric in policy.metrics]
    is_known = pl.col("first_ms").is_not_null() & pl.col("metric").is_in(names)
    is_ahead = pl.col("window_start_ms") > pl.col("arrived_ms") + AHEAD_MAX_MS
    is_outside = (since_ms < 0) | (since_ms % policy.window_ms != 0) | is_ahead
    due_ms = pl.col("first_ms") + (pl.col("look") + 1) * policy.look_ms + policy.lateness_ms
    is_late = (pl.col("look") < pl.col("next_look")) | (pl.col("arrived_ms") >= due_ms)
    fate = (
        pl.when(~is_known).then(pl.lit("unknown"))
        .when(is_outside).then(pl.lit("outside"))
        .when(is_late).then(pl.lit("late"))
        .otherwise(pl.lit("counts"))
    )  # fmt: skip
    has_value = (pl.col("count") > 0) & pl.col("value").is_finite()
    return rows.with_columns(
        fate=fate,
        slot=pl.col("since_ms") % policy.look_ms // policy.window_ms,
        value=pl.when(has_value).then("value").otherwise(NO_VALUE),
        bad_count=pl.col("missing_count").fill_null(0) + pl.col("nan_count").fill_null(0),
    )


def _open_rollouts(state: CanaryState, policy: CanaryPolicy) -> pl.DataFrame:
    window_ms = policy.window_ms
    rows = [
        (each.tenant_id, each.rollout_id, each.first_window_ms(window_ms), each.next_look)
        for each in state.rollouts.values()
        if not each.is_final
    ]
    names = {"tenant_id": pl.String, "rollout_id": pl.String}
    numbers = {"first_ms": pl.Int64, "next_look": pl.Int64}
    return pl.DataFrame(rows, schema={**names, **numbers}, orient="row")
