"""Runs the fleet stage in Flink: transitions of all shards in, alerts and device statuses out."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, RuntimeContext
from pyflink.datastream.state import ValueState, ValueStateDescriptor
from pyflink.metrics import Counter, MetricGroup

from schemas.metrics import BLIND_PARTITIONS, INPUT_CLOCK, OVERDUE, WAITING, Metric, operator_name
from schemas.records import encode_record
from schemas.topics import Topic, device_key
from udfs.alerts import AlertRecord, Status
from udfs.backlog import hold_if_lagging
from udfs.device_status import StatusRecord
from udfs.fleet import FleetState, on_transitions
from udfs.frame_bytes import unpack_frames
from udfs.offline_policy import OfflinePolicy
from udfs.partition_clocks import UNKNOWN_MS
from udfs.result_operator import alert_row, result_row
from udfs.results import Result
from udfs.self_watch import SelfWatch, on_progress

OVERDUE_AFTER_MS = 10_000
"""The contract's p99 from due to the topic (C2)."""


class WatchFleet(KeyedProcessFunction):
    """Orders, counts and announces what the shards found; one key, so one order.

    Args:
        policy: of alerts and channels.
        shard_count: whose clocks are waited for.
        topics: name on the broker, and schema id, of alerts and of device statuses.
        is_live: whether the log's times are of today, so that it can lag behind our clock.
        end_ms: of a replay, just after its last record: all leaves then, in one order, whichever
            partition was read first.
    """

    def __init__(
        self,
        policy: OfflinePolicy,
        shard_count: int,
        topics: dict[Topic, tuple[str, int]],
        *,
        is_live: bool = True,
        end_ms: int | None = None,
    ) -> None:
        self.policy = policy
        self.shard_count = shard_count
        self.topics = topics
        self.is_live = is_live
        self.end_ms = end_ms
        self.fleet: ValueState | None = None
        self.known: FleetState | None = None
        self.watch: ValueState | None = None
        self.known_watch: SelfWatch | None = None
        self.overdue: Counter | None = None

    def open(self, runtime_context: RuntimeContext) -> None:
        """Reach the state, whose names carry the layout's version, and name the gauges."""
        bytes_type = Types.PRIMITIVE_ARRAY(Types.BYTE())
        self.fleet = runtime_context.get_state(ValueStateDescriptor("fleet_v1", bytes_type))
        self.watch = runtime_context.get_state(ValueStateDescriptor("self_watch_v1", bytes_type))
        # There is one key, so what was written last is what would be read.
        self.known = self.known_watch = None
        self._name_metrics(runtime_context.get_metrics_group())

    def _name_metrics(self, metrics: MetricGroup) -> None:
        def gauge(metric: Metric, read: Callable[[FleetState], int]) -> None:
            name = operator_name(metric)
            metrics.gauge(name, lambda: UNKNOWN_MS if self.known is None else read(self.known))

        gauge(INPUT_CLOCK, lambda fleet: min(fleet.clocks_ms) // 1000)
        gauge(BLIND_PARTITIONS, lambda fleet: len(fleet.hearing.blind))
        gauge(WAITING, lambda fleet: len(fleet.waiting))
        self.overdue = metrics.counter(operator_name(OVERDUE))

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
        yield from self._alerts([*step.events, *self._look_at_itself(step.state, now_ms)], now_ms)
        for status in step.statuses:
            yield self._status_row(status)

    def _alerts(self, events: Iterable[AlertRecord], now_ms: int) -> Iterator[Row]:
        overdue_count = 0
        for event in events:
            is_late = now_ms - event["time"] > OVERDUE_AFTER_MS
            overdue_count += is_late and event["status"] == Status.FIRING
            yield alert_row(*self.topics[Topic.ALERTS], event, now_ms)
        if overdue_count and self.overdue is not None:
            self.overdue.inc(overdue_count)

    def _look_at_itself(self, state: FleetState, now_ms: int) -> list[AlertRecord]:
        """Return the events about the engine; a log of another day says nothing of it."""
        if not self.is_live:
            return []
        assert self.watch is not None, "Flink calls open first"
        if self.known_watch is None:
            stored = self.watch.value()
            restored = SelfWatch() if stored is None else SelfWatch.from_bytes(bytes(stored))
            self.known_watch = restored
        after, events = on_progress(self.known_watch, min(state.clocks_ms), now_ms, self.policy)
        if after != self.known_watch:
            self.known_watch = after
            self.watch.update(after.to_bytes())
        return events

    def _state(self) -> FleetState:
        assert self.fleet is not None, "Flink calls open first"
        if self.known is None:
            stored = self.fleet.value()
            self.known = (
                FleetState.from_bytes(bytes(stored))
                if stored is not None
                else replace(FleetState.empty(self.shard_count), hold_until_ms=self.end_ms)
            )
        return self.known

    def _store(self, state: FleetState) -> None:
        assert self.fleet is not None, "Flink calls open first"
        self.known = state
        self.fleet.update(state.to_bytes())

    def _status_row(self, status: StatusRecord) -> Row:
        name, schema_id = self.topics[Topic.DEVICE_STATUS]
        key = device_key(status["tenant_id"], status["device_id"])
        return result_row(Result(name, key, encode_record(Topic.DEVICE_STATUS, status, schema_id)))
