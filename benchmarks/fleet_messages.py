"""Turns transmissions into Kafka messages: keys and Avro values in the Confluent wire format.

All batches of a fleet have one shape, so a template encodes a block of them at once. Only clocks
near 1970 have timestamps of another width; fastavro, the reference, encodes those.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from benchmarks.avro_template import (
    END_OF_ARRAY,
    NULL,
    PRESENT,
    TIME_MAX_MS,
    TIME_MIN_MS,
    PointsTemplate,
    avro_long,
    avro_string,
)
from benchmarks.counter_random import Stream, hashes
from benchmarks.fleet import (
    DEPLOYMENT_GROUPS,
    FIRMWARE_VERSIONS,
    HARDWARE_REVISIONS,
    MODEL_VERSIONS,
    Flags,
    Floats,
    Integers,
    SimulatedClock,
)
from benchmarks.fleet_faults import FaultScript
from benchmarks.fleet_schedule import Transmissions
from benchmarks.fleet_values import (
    METRICS,
    POINTS_PER_BATCH,
    batch_values,
    point_times_ms,
)
from schemas.records import Record, encode_record, wire_header
from schemas.topics import Topic, device_key

METRIC_TAGS: dict[str, dict[str, str]] = {"inference_latency_milliseconds": {"runtime": "onnx"}}
"""The other metrics have no tags."""


class Message(NamedTuple):
    """One Kafka message and what the books need to know about it."""

    key: bytes
    value: bytes
    point_count: int
    nan_count: int
    is_copy: bool


@dataclass(frozen=True)
class Content:
    """The columns behind a block of messages; n messages, of which b are batches."""

    sent: Transmissions
    boot_id: list[str]
    sequence: Integers
    device_time_ms: Integers
    """Device clock at the message's own slot, shape (n,)."""
    is_batch: Flags
    point_time_ms: Integers
    """Device clock, shape (b, POINTS_PER_METRIC)."""
    values: Floats
    """Shape (b, POINTS_PER_METRIC, len(METRICS))."""


class FleetEncoder:
    """Encodes what a fleet sends.

    Args:
        script: the fleet and its faults.
        clock: maps simulated time to UTC.
        schema_id: under which the registry knows the schema of telemetry.
    """

    def __init__(self, script: FaultScript, clock: SimulatedClock, schema_id: int) -> None:
        self._script, self._fleet, self._clock = script, script.fleet, clock
        self._schema_id = schema_id
        self._template = PointsTemplate.build(METRIC_TAGS)
        offset_ms = np.where(script.has_clock_ahead, script.plan.ahead_ms, 0)
        self._clock_offset_ms = np.where(script.has_epoch_clock, -clock.started_at_ms, offset_ms)
        tenant = self._fleet.plan.tenant_id
        self._keys = [device_key(tenant, device) for device in self._fleet.device_ids]
        self._openings = [self._opening(device) for device in self._fleet.device_ids]

    def content(self, sent: Transmissions) -> Content:
        """Work out what a block of messages says."""
        device, slot = sent.device_index, sent.slot
        is_batch = self._fleet.is_batch(device, slot)
        boot, boot_slot = self._script.boots(device, slot)
        batch_device, batch_slot = device[is_batch], slot[is_batch]
        measured_ms = point_times_ms(self._script, batch_device, batch_slot)
        offset_ms = self._clock_offset_ms
        return Content(
            sent=sent,
            boot_id=self._boot_ids(device, boot),
            sequence=slot - boot_slot,
            device_time_ms=self._clock.utc_ms(self._fleet.due_ms(device, slot)) + offset_ms[device],
            is_batch=is_batch,
            point_time_ms=self._clock.utc_ms(measured_ms) + offset_ms[batch_device][:, np.newaxis],
            values=batch_values(self._script, batch_device, batch_slot),
        )

    def messages(self, content: Content) -> Iterator[Message]:
        """Encode a block."""
        batch_row = np.cumsum(content.is_batch) - 1
        nan_count = np.isnan(content.values).sum(axis=(1, 2)).tolist()
        points = self._template.encode(content.point_time_ms, content.values)
        rows = zip(
            content.sent.device_index.tolist(),
            content.boot_id,
            content.sequence.tolist(),
            content.device_time_ms.tolist(),
            content.is_batch.tolist(),
            batch_row.tolist(),
            _fits_template(content).tolist(),
            content.sent.is_copy.tolist(),
            strict=True,
        )
        for row, (device, boot, sequence, time_ms, is_batch, b, fits, is_copy) in enumerate(rows):
            if fits:
                start = self._start(device, boot, sequence, time_ms)
                value = start + (points[b].tobytes() if is_batch else END_OF_ARRAY)
            else:
                value = encode_record(Topic.TELEMETRY, self.record(content, row), self._schema_id)
            yield Message(
                key=self._keys[device],
                value=value,
                point_count=POINTS_PER_BATCH if is_batch else 0,
                nan_count=nan_count[b] if is_batch else 0,
                is_copy=is_copy,
            )

    def record(self, content: Content, row: int) -> Record:
        """Return one message as a record: the slow, plain meaning of `messages`."""
        fleet, device = self._fleet, int(content.sent.device_index[row])
        batch_row = int(np.count_nonzero(content.is_batch[:row]))
        return {
            "tenant_id": fleet.plan.tenant_id,
            "device_id": fleet.device_ids[device],
            "boot_id": content.boot_id[row],
            "sequence": int(content.sequence[row]),
            "sent_at": int(content.device_time_ms[row]),
            "received_at": None,
            "hardware_revision": HARDWARE_REVISIONS[fleet.hardware_index[device]],
            "firmware_version": FIRMWARE_VERSIONS[fleet.firmware_index[device]],
            "model_version": MODEL_VERSIONS[fleet.model_index[device]],
            "deployment_group": DEPLOYMENT_GROUPS[fleet.group_index[device]],
            "points": _points(content, batch_row) if content.is_batch[row] else [],
        }

    def _boot_ids(self, device: Integers, boot: Integers) -> list[str]:
        """Return ids that another run of the same fleet does not use again."""
        seed, started_at_ms = self._fleet.plan.seed, self._clock.started_at_ms
        bits = hashes(seed, Stream.BOOT, started_at_ms, device, boot)
        return [f"{value:016x}" for value in bits.tolist()]

    def _opening(self, device_id: str) -> bytes:
        identity = avro_string(self._fleet.plan.tenant_id) + avro_string(device_id)
        return wire_header(self._schema_id) + identity + PRESENT

    def _start(self, device: int, boot_id: str, sequence: int, time_ms: int) -> bytes:
        counted = PRESENT + avro_long(sequence) + avro_long(time_ms)
        return self._openings[device] + avro_string(boot_id) + counted + self._claims[device]

    @cached_property
    def _claims(self) -> list[bytes]:
        """Return received_at and what each device says of itself, by device."""
        named = (HARDWARE_REVISIONS, FIRMWARE_VERSIONS, MODEL_VERSIONS, DEPLOYMENT_GROUPS)
        encoded = [[PRESENT + avro_string(name) for name in names] for names in named]
        fleet = self._fleet
        chosen = np.stack(
            [fleet.hardware_index, fleet.firmware_index, fleet.model_index, fleet.group_index]
        )
        return [
            NULL + b"".join(names[i] for names, i in zip(encoded, indexes, strict=True))
            for indexes in chosen.T.tolist()
        ]


def _points(content: Content, batch_row: int) -> list[Record]:
    return [
        {"name": metric, "value": value, "timestamp": time_ms, "tags": METRIC_TAGS.get(metric, {})}
        for time_ms, measured in zip(
            content.point_time_ms[batch_row].tolist(),
            content.values[batch_row].tolist(),
            strict=True,
        )
        for metric, value in zip(METRICS, measured, strict=True)
    ]


def _fits_template(content: Content) -> Flags:
    """Say which messages the template can encode: all point times take TIME_BYTES."""
    fits = np.ones(len(content.is_batch), np.bool_)
    low, high = content.point_time_ms.min(axis=1), content.point_time_ms.max(axis=1)
    fits[content.is_batch] = (low >= TIME_MIN_MS) & (high <= TIME_MAX_MS)
    return fits
