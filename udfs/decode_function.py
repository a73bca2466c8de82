"""The vectorised Flink function that turns one Arrow batch of messages into one container.

It is stateless per batch: a checkpoint between two batches loses nothing. The container comes out
in the batch's first row; the other rows are NULL and are filtered out in SQL.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd
from pyflink.table import FunctionContext, ScalarFunction
from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

from schemas.codec import SchemaOfId
from schemas.dead_letter import Headers
from schemas.errors import Unavailable
from schemas.registry import SchemaRegistry
from udfs.bundle_operator import end_bundles_at_once
from udfs.control_blocks import control_sections
from udfs.device_blocks import device_sections
from udfs.drift.window_rows import DRIFT_ROWS
from udfs.shards import Section, pack_sections
from udfs.telemetry_blocks import (
    RawBlock,
    account_section,
    batch_sections,
    contact_sections,
    dead_letter_section,
    decode_telemetry,
)
from udfs.window_blocks import window_sections

UNAVAILABLE_PATIENCE_S = 60.0
"""How long a block waits for the registry before the job fails and is restarted. Restarts are
limited in number for a time (docker/flink/config.yaml): waiting makes each last long enough."""
LONGEST_PAUSE_S = 5.0


class BlockUse(StrEnum):
    """What a job wants of a block of messages."""

    BATCHES = "batches"
    CONTACTS = "contacts"
    DEVICES = "devices"
    CONTROLS = "controls"
    WINDOWS = "windows"
    DRIFT_WINDOWS = "drift_windows"


class DecodeBlock(ScalarFunction):
    """Decodes a block and packs what each shard gets of it.

    Args:
        use: which sections to make.
        topic_prefix: of every topic name.
        shard_count: fixed for the life of the state.
        registry_url: of the schema registry's Confluent interface.
        registry_timeout_s: for one request.
    """

    def __init__(
        self,
        use: BlockUse,
        *,
        topic_prefix: str,
        shard_count: int,
        registry_url: str,
        registry_timeout_s: float,
    ) -> None:
        self.use = use
        self.topic_prefix = topic_prefix
        self.shard_count = shard_count
        self.registry_url = registry_url
        self.registry_timeout_s = registry_timeout_s
        self.schema_of_id: SchemaOfId | None = None

    def open(self, function_context: FunctionContext) -> None:  # noqa: ARG002 - Flink's
        """Connect to the registry; schemas are cached for the life of the worker."""
        end_bundles_at_once()
        registry = SchemaRegistry(self.registry_url, timeout_s=self.registry_timeout_s)
        self.schema_of_id = registry.schema_by_id

    def eval(self, *columns: Any) -> "pd.Series[Any]":
        """Turn the columns of `RawBlock`, in their order, into a container.

        Raises:
            Unavailable: the registry did not answer for `UNAVAILABLE_PATIENCE_S`.
        """
        raw = _raw_block(columns)
        container = pack_sections(_patiently()(self._sections, raw))
        return pd.Series([container] + [None] * (len(raw.values) - 1))

    def _sections(self, raw: RawBlock) -> list[Section]:
        assert self.schema_of_id is not None, "Flink calls open first"
        if self.use is BlockUse.DEVICES:
            return device_sections(raw, self.schema_of_id, self.shard_count)
        if self.use is BlockUse.CONTROLS:
            return control_sections(raw, self.schema_of_id)
        if self.use is BlockUse.WINDOWS:
            return window_sections(raw, self.schema_of_id, self.shard_count)
        if self.use is BlockUse.DRIFT_WINDOWS:
            return window_sections(raw, self.schema_of_id, self.shard_count, DRIFT_ROWS)
        decoded = decode_telemetry(raw, self.topic_prefix, self.schema_of_id)
        if self.use is BlockUse.CONTACTS:
            return contact_sections(raw, decoded, self.shard_count, self.topic_prefix)
        return [
            *batch_sections(raw, decoded, self.shard_count),
            *dead_letter_section(raw, decoded),
            account_section(raw, decoded),
        ]


def _patiently() -> Retrying:
    return Retrying(
        retry=retry_if_exception_type(Unavailable),
        stop=stop_after_delay(UNAVAILABLE_PATIENCE_S),
        wait=wait_random_exponential(max=LONGEST_PAUSE_S),
        reraise=True,
    )


def _raw_block(columns: "Sequence[pd.Series[Any]]") -> RawBlock:
    topics, keys, values, append_times, partitions, offsets, names, contents = columns
    return RawBlock(
        topics=topics.tolist(),
        keys=keys.tolist(),
        values=values.tolist(),
        append_time_ms=append_times.to_numpy().astype("datetime64[ms]").astype(np.int64),
        partitions=partitions.to_numpy().astype(np.int32),
        offsets=offsets.to_numpy().astype(np.int64),
        headers={
            row: _headers(found, contents.iloc[row])
            for row, found in enumerate(names.tolist())
            if found is not None
        },
    )


def _headers(names: Sequence[str], values: Sequence[bytes | None]) -> Headers:
    """Return a message's headers; a null value becomes an empty one."""
    return tuple((name, value or b"") for name, value in zip(names, values, strict=True))
