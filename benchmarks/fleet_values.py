"""What the simulated devices measure: ten metrics of four families.

A load with a daily season drives the rest: a busy device is hot, slow and draws power. A drifting
model loses confidence and gets slower. A value is a pure function of device, slot, point, metric.
"""

from dataclasses import dataclass

import numpy as np

from benchmarks.counter_random import Stream, hashes, normals, uniforms
from benchmarks.fleet import MODEL_VERSIONS, SITE_COUNT, Floats, Integers
from benchmarks.fleet_faults import FaultScript

DAY_MS = 24 * 60 * 60 * 1000
POINTS_PER_METRIC = 5
"""Points of each metric in one batch, evenly spread over its interval, the last at the end."""

METRICS = (
    "cpu_temperature_celsius",
    "cpu_utilization_ratio",
    "memory_used_ratio",
    "disk_used_ratio",
    "prediction_confidence_ratio",
    "prediction_entropy_nats",
    "prediction_error_ratio",
    "inference_latency_milliseconds",
    "power_watts",
    "supply_volts",
)
METRIC_DECIMALS = (2, 4, 4, 4, 4, 4, 4, 3, 3, 3)
"""Resolution of each sensor: real ones do not deliver 52 random bits."""
POINTS_PER_BATCH = POINTS_PER_METRIC * len(METRICS)

HARDWARE_LATENCY_MS = np.array([18.0, 11.0, 7.0])
HARDWARE_IDLE_WATTS = np.array([4.5, 6.0, 3.2])
LATENCY_TAIL_INDEX = 4.0
"""Pareto: p99 is 3.2 times, p99.9 5.6 times the smallest."""


@dataclass(frozen=True)
class Draws:
    """Per-point randomness; each of shape (n, POINTS_PER_METRIC)."""

    load: Floats
    noise: Floats
    other_noise: Floats
    tail: Floats


def point_times_ms(script: FaultScript, device_index: Integers, slot: Integers) -> Integers:
    """Return the simulated instants measured by batches, shape (n, POINTS_PER_METRIC)."""
    plan = script.fleet.plan
    interval_ms = plan.slot_ms * plan.slots_per_batch
    age_ms = interval_ms * (POINTS_PER_METRIC - 1 - np.arange(POINTS_PER_METRIC))
    due_ms = script.fleet.due_ms(device_index, slot)
    return np.asarray(due_ms[:, np.newaxis] - age_ms // POINTS_PER_METRIC, np.int64)


def batch_values(script: FaultScript, device_index: Integers, slot: Integers) -> Floats:
    """Return what batches measured, shape (n, POINTS_PER_METRIC, len(METRICS))."""
    at_ms = point_times_ms(script, device_index, slot)
    traits = script.fleet.traits[device_index][:, :, np.newaxis]
    hardware = script.fleet.hardware_index[device_index][:, np.newaxis]
    drift = _drift(script, device_index, at_ms)
    draws = _draws(script, device_index, slot, at_ms)
    watts = HARDWARE_IDLE_WATTS[hardware] + 9 * draws.load + 0.2 * draws.noise
    measured = (
        34 + 3 * traits[:, 1] + 30 * draws.load + 0.6 * draws.noise,
        draws.load,
        np.clip(0.35 + 0.06 * traits[:, 2] + 0.3 * draws.load + 0.01 * draws.other_noise, 0.05, 1),
        _disk(traits[:, 3], at_ms),
        *_model_performance(traits[:, 5], drift, draws),
        HARDWARE_LATENCY_MS[hardware]
        * (1 + 0.08 * traits[:, 4])
        * (1 + 0.5 * draws.load)
        * (1 + 0.6 * drift)
        * draws.tail,
        watts,
        12.2 - 0.03 * watts + 0.02 * draws.other_noise,
    )
    rounded = [np.round(v, d) for v, d in zip(measured, METRIC_DECIMALS, strict=True)]
    return _with_nan(script, device_index, slot, np.stack(rounded, axis=-1))


def _draws(script: FaultScript, device_index: Integers, slot: Integers, at_ms: Integers) -> Draws:
    seed, point = script.fleet.plan.seed, np.arange(POINTS_PER_METRIC)
    cell = (device_index[:, np.newaxis], slot[:, np.newaxis])
    noise, other, third = (
        normals(hashes(seed, Stream.VALUE, *cell, point + POINTS_PER_METRIC * i)) for i in range(3)
    )
    site_phase = script.fleet.site_index[device_index][:, np.newaxis] / SITE_COUNT / 4
    season = np.sin(2 * np.pi * (at_ms / DAY_MS + site_phase))
    busy = 0.07 * script.fleet.traits[device_index][:, :1]
    return Draws(
        load=np.clip(0.45 + 0.22 * season + busy + 0.05 * third, 0.01, 1.0),
        noise=noise,
        other_noise=other,
        tail=uniforms(hashes(seed, Stream.TAIL, *cell, point)) ** (-1 / LATENCY_TAIL_INDEX),
    )


def _drift(script: FaultScript, device_index: Integers, at_ms: Integers) -> Floats:
    """Return how far each device's model has drifted, 0 to 1."""
    if script.plan.drifting_model is None:
        return np.zeros(at_ms.shape)
    model = MODEL_VERSIONS.index(script.plan.drifting_model)
    ramp = (at_ms - script.plan.drift_start_ms) / script.plan.drift_ramp_ms
    has_model = script.fleet.model_index[device_index] == model
    return np.asarray(np.clip(ramp, 0, 1) * has_model[:, np.newaxis], np.float64)


def _disk(trait: Floats, at_ms: Integers) -> Floats:
    """Return a disk that fills over a week and is then cleaned; shape of at_ms."""
    share_of_week = (at_ms / (7 * DAY_MS) + trait) % 1.0
    return np.asarray(np.clip(0.4 + 0.05 * trait + 0.3 * share_of_week, 0, 1), np.float64)


def _model_performance(trait: Floats, drift: Floats, draws: Draws) -> tuple[Floats, Floats, Floats]:
    """Return confidence, entropy and error: they move together."""
    confidence = np.clip(0.92 + 0.01 * trait - 0.16 * drift + 0.02 * draws.other_noise, 0.05, 1)
    entropy = np.maximum(-1.6 * np.log(confidence) + 0.03 * draws.noise, 0)
    error = np.clip(0.05 - 0.01 * trait + 0.2 * drift + 0.012 * draws.noise, 0, 1)
    return confidence, entropy, error


def _with_nan(
    script: FaultScript, device_index: Integers, slot: Integers, values: Floats
) -> Floats:
    """Spoil one value of the chosen batches."""
    bits = hashes(script.fleet.plan.seed, Stream.MISSING, device_index, slot)
    rows = np.flatnonzero(uniforms(bits) < script.plan.nan_ratio)
    place = (bits[rows] % np.uint64(POINTS_PER_BATCH)).astype(np.int64)
    values.reshape(len(values), POINTS_PER_BATCH)[rows, place] = np.nan
    return values
