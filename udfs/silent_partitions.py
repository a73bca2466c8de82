"""Partitions that fall silent, speak again, or lost records: what is told of them (C8)."""

from typing import NamedTuple

import numpy as np

from udfs.offline_policy import OfflinePolicy
from udfs.partition_clocks import Bools, Rows, Stretches
from udfs.transition_log import TransitionLog
from udfs.transitions import Kind

Span = dict[str, int | None]


class Silence(NamedTuple):
    """Which of some stretches come after lost records, and which after plain silence."""

    is_lost: Bools
    is_blind: Bools


def tell_met(log: TransitionLog, stretches: Stretches, floor_ms: int) -> None:
    """Tell of partitions that are read for the first time, at `floor_ms` at the earliest."""
    for partition, first_ms in zip(stretches.partition, stretches.first_ms, strict=True):
        time_ms = max(int(first_ms), floor_ms)
        log.add_span(Kind.MET, int(partition), {"time_ms": time_ms, "input_clock_ms": time_ms})


def tell_heard(
    log: TransitionLog, books: Rows, stretches: Stretches, silence: Silence, policy: OfflinePolicy
) -> None:
    """Tell of silences that end with these stretches, and of their beginning if nobody has yet.

    Args:
        log: where to tell it.
        books: PARTITION_ROW of the stretches' partitions, before them.
        stretches: one a partition.
        silence: what came before each.
        policy: when silence is blindness.
    """
    told = books["is_blind_told"]
    for i in np.flatnonzero(silence.is_lost | silence.is_blind | told).tolist():
        partition, first_ms = int(stretches.partition[i]), int(stretches.first_ms[i])
        span = _span_since(int(books["clock_ms"][i]), first_ms, policy)
        told_ms = int(books["clock_ms"][i]) + policy.blind_after_ms
        if silence.is_blind[i] and not told[i]:
            log.add_span(Kind.BLIND, partition, {**span, "time_ms": told_ms})
        if silence.is_lost[i]:
            log.add_span(Kind.GAP, partition, {**span, "time_ms": first_ms, "ends_ms": first_ms})
        if silence.is_blind[i] or told[i]:
            # A partition that was only read late speaks before it counted as silent.
            heard: Span = {"time_ms": max(first_ms, told_ms), "ends_ms": first_ms}
            log.add_span(Kind.HEARD, partition, {**span, **heard})


def tell_left_behind(
    log: TransitionLog, partitions: Rows, left: Bools, policy: OfflinePolicy
) -> None:
    """Tell of partitions that are silent while others run on, once each."""
    leading_ms = int(partitions["clock_ms"].max(initial=0))
    for partition in np.flatnonzero(left & ~partitions["is_blind_told"]).tolist():
        begun_ms = int(partitions["clock_ms"][partition])
        span = _span_since(begun_ms, leading_ms, policy)
        log.add_span(Kind.BLIND, partition, {**span, "time_ms": begun_ms + policy.blind_after_ms})


def _span_since(begun_ms: int, input_clock_ms: int, policy: OfflinePolicy) -> Span:
    return {
        "start_ms": begun_ms,
        "starts_ms": begun_ms,
        "input_clock_ms": input_clock_ms,
        "threshold_ms": policy.blind_after_ms,
    }
