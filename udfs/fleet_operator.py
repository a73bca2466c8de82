"""Runs the fleet stage in Flink: transitions of all shards in, alerts and device statuses out."""

import time
from collections.abc import Iterator
from typing import Any

from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ValueState, ValueStateDescriptor

from schemas.records import encode_record
from schemas.topics import Topic, device_key
from udfs.backlog import hold_if_lagging
from udfs.fleet import FleetState, on_transitions
from udfs.frame_bytes import unpack_frames
from udfs.offline_policy import OfflinePolicy
from udfs.result_operator import result_row
from udfs.results import Result


class WatchFleet(KeyedProcessFunction):
    """Orders, counts and announces what the shards found; one key, so one order.

    Args:
        policy: of alerts and channels.
        shard_count: whose clocks are waited for.
        topics: name on the broker, and schema id, of alerts and of device statuses.
        is_live: whether the log's times are of today, so that it can lag behind our clock.
    """

    def __init__(
        self,
        policy: OfflinePolicy,
        shard_count: int,
        topics: dict[Topic, tuple[str, int]],
        *,
        is_live: bool = True,
    ) -> None:
        self.policy = policy
        self.shard_count = shard_count
        self.topics = topics
        self.is_live = is_live
        self.fleet: ValueState | None = None
        self.known: FleetState | None = None

    def open(self, runtime_context: RuntimeContext) -> None:
        """Reach the state; its name carries the layout's version."""
        descriptor = ValueStateDescriptor("fleet_v1", Types.PRIMITIVE_ARRAY(Types.BYTE()))
        self.fleet = runtime_context.get_state(descriptor)
        # There is one key, so what was written last is what would be read.
        self.known = None

    def process_element(self, value: Any, ctx: Any) -> Iterator[Row]:  # noqa: ARG002 - Flink's
        """Apply what one shard's step gave."""
        shard, clock_ms, payload = value[0], value[1], bytes(value[2])
        transitions = unpack_frames(payload)["transitions"]
        # The wall clock decides when events leave and stamps them for people, and nothing else.
        now_ms = time.time_ns() // 1_000_000
        state = self._state()
        if self.is_live:
            state = hold_if_lagging(state, clock_ms, now_ms, self.policy)
        step = on_transitions(state, shard, transitions, clock_ms, self.policy)
        self._store(step.state)
        for event in step.events:
            key = f"{event['tenant_id']}/{event['subject']}".encode()
            yield self._row(Topic.ALERTS, key, event | {"emitted_at": now_ms})
        for status in step.statuses:
            key = device_key(status["tenant_id"], status["device_id"])
            yield self._row(Topic.DEVICE_STATUS, key, status)

    def _state(self) -> FleetState:
        assert self.fleet is not None, "Flink calls open first"
        if self.known is None:
            stored = self.fleet.value()
            self.known = (
                FleetState.from_bytes(bytes(stored))
                if stored is not None
                else FleetState.empty(self.shard_count)
            )
        return self.known

    def _store(self, state: FleetState) -> None:
        assert self.fleet is not None, "Flink calls open first"
        self.known = state
        self.fleet.update(state.to_bytes())

    def _row(self, topic: Topic, key: bytes, record: dict[str, Any]) -> Row:
        name, schema_id = self.topics[topic]
        return result_row(Result(name, key, encode_record(topic, record, schema_id)))
