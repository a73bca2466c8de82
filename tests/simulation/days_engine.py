"""The engine over a log of days: cut anywhere, killed anywhere, and read again from its bytes."""

from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from tests.simulation.day_faults import TENANTS, Script
from tests.simulation.day_log import Hour
from tests.simulation.test_alerts_match_oracle import JUDGED_TYPES, Alert, judged
from udfs.fleet import FleetState, on_transitions
from udfs.liveness import (
    CONTACT_SCHEMA,
    DEVICE_CHANGE_SCHEMA,
    LivenessBlock,
    LivenessShard,
    Step,
    on_block,
    on_end,
)
from udfs.offline_policy import OfflinePolicy
from udfs.partition_clocks import partition_stretches, record_clocks
from udfs.shards import device_hashes, shard_of

RESTART_RATIO, CRASH_RATIO, CHECKPOINT_RATIO = 0.05, 0.04, 0.1


class DaysEngine:
    """Keeps shards and the fleet stage, as `jobs.backtest` chains them.

    Args:
        script: whose log is read.
        policy: thresholds.
        shard_count: how many shards the devices are spread over.
        seed: of the cuts, restarts and crashes.
    """

    def __init__(self, script: Script, policy: OfflinePolicy, shard_count: int, seed: int) -> None:
        self._script, self._policy = script, policy
        self._draw = np.random.default_rng([seed, shard_count])
        self.shards = [LivenessShard.empty(shard) for shard in range(shard_count)]
        self.fleet = FleetState.empty(shard_count)
        ids = [script.device_id(device) for device in range(script.plan.device_count)]
        tenants = [TENANTS[tenant] for tenant in script.tenant.tolist()]
        self._names = pl.DataFrame({"tenant_id": tenants, "device_id": ids})
        self._shard = shard_of(device_hashes(tenants, ids), shard_count)
        self._said = _registry_frame(script)
        self._said_shard = self._shard[[device for device, _ in script.registrations]]
        self.told: dict[str, Alert] = {}
        self.changed: list[str] = []
        """Ids that were told twice, and not the same."""
        self.cases = dict.fromkeys(("blocks", "restarts", "crashes", "backlogs"), 0)

    def read(self, hour: Hour) -> None:
        """Read an hour of the log, in blocks of any size."""
        blocks = list(pairwise(self._cuts(hour)))
        place, checkpoint = 0, (0, self._packed())
        while place < len(blocks):
            chance = self._draw.random()
            if chance < CRASH_RATIO and checkpoint[0] < place:
                place, packed = checkpoint
                self._restore(packed)
                self.cases["crashes"] += 1
            elif chance < CRASH_RATIO + CHECKPOINT_RATIO:
                checkpoint = place, self._packed()
            elif chance > 1 - RESTART_RATIO:
                self._restore(self._packed())
                self.cases["restarts"] += 1
            self._take(hour, *blocks[place])
            place += 1

    def end(self) -> None:
        """Settle what the end of the log settles."""
        for shard, state in enumerate(self.shards):
            self._settle(shard, on_end(state, self._policy))

    def _cuts(self, hour: Hour) -> list[int]:
        """Return where the hour is cut; the engine that was down reads all it missed at once."""
        count = len(hour.true_ms)
        cuts = (
            self._draw.integers(1, count, self._script.plan.blocks_per_hour)
            if count > 1
            else np.zeros(0, int)
        )
        for span in self._script.engine_down:
            inside = np.searchsorted(hour.true_ms, [span.begin_ms, span.end_ms])
            if inside[0] < inside[1]:
                cuts = np.append(cuts[(cuts < inside[0]) | (cuts > inside[1])], inside)
                self.cases["backlogs"] += 1
        return np.unique([0, *cuts.tolist(), count]).tolist()

    def _take(self, hour: Hour, begin: int, end: int) -> None:
        self.cases["blocks"] += 1
        part = slice(begin, end)
        records = pl.DataFrame(
            {
                "append_time_ms": hour.append_ms[part],
                "partition": hour.partition[part],
                "offset": hour.offset[part],
            }
        ).with_columns(record_clocks(pl.col("append_time_ms")).alias("clock_ms"))
        clocks = partition_stretches(records, self._policy.blind_after_ms)
        device = hour.device[part]
        said = self._said_in(hour, begin, end)
        for shard in range(len(self.shards)):
            chosen = np.flatnonzero((device >= 0) & (self._shard[device] == shard))
            contacts = self._contacts(records[chosen], device[chosen], hour.sequence[part][chosen])
            registry = self._said[said][np.flatnonzero(self._said_shard[said] == shard)]
            block = LivenessBlock(contacts, clocks, registry)
            self._settle(shard, on_block(self.shards[shard], block, self._policy))

    def _said_in(self, hour: Hour, begin: int, end: int) -> slice:
        """Return what the registry says before the block's end, and not before its begin."""
        at_ms = self._said["append_time_ms"].to_numpy()
        place = np.searchsorted(hour.true_ms, at_ms)
        inside = (at_ms > hour.true_ms[0] - 3_600_000) & (place < len(hour.true_ms))
        chosen = np.flatnonzero(inside & (place >= begin) & (place < end))
        return slice(int(chosen[0]), int(chosen[-1]) + 1) if len(chosen) else slice(0, 0)

    def _contacts(self, records: pl.DataFrame, device: Any, sequence: Any) -> pl.DataFrame:
        names = self._names[device]
        said = pl.DataFrame({"sequence": sequence})
        missing = set(CONTACT_SCHEMA) - {*records.columns, *names.columns, "sequence", "boot_id"}
        return (
            pl.concat([records, names, said], how="horizontal")
            .with_columns(pl.lit("b").alias("boot_id"), *(pl.lit(None).alias(n) for n in missing))
            .with_columns(is_via_gateway=pl.lit(value=False))
            .select(pl.col(name).cast(kind) for name, kind in CONTACT_SCHEMA.items())
        )

    def _settle(self, shard: int, step: Step) -> None:
        self.shards[shard] = step.state
        done = on_transitions(self.fleet, shard, step.transitions, step.clock_ms, self._policy)
        self.fleet = done.state
        for event in done.events:
            if event["type"] in JUDGED_TYPES:
                told = judged(event)
                if self.told.setdefault(event["id"], told) != told:
                    self.changed.append(event["id"])

    def _packed(self) -> tuple[list[bytes], bytes]:
        return [shard.to_bytes() for shard in self.shards], self.fleet.to_bytes()

    def _restore(self, packed: tuple[list[bytes], bytes]) -> None:
        self.shards = [LivenessShard.from_bytes(shard) for shard in packed[0]]
        self.fleet = FleetState.from_bytes(packed[1])


def _registry_frame(script: Script) -> pl.DataFrame:
    rows = [
        {
            "tenant_id": said.tenant_id,
            "device_id": said.device_id,
            "is_tombstone": said.status is None,
            "site": said.site,
            "status": said.status,
            "report_interval_s": said.report_interval_s,
            "append_time_ms": said.at_ms,
            "offset": offset,
        }
        for offset, (_, said) in enumerate(script.registrations)
    ]
    return pl.DataFrame(
        [dict.fromkeys(DEVICE_CHANGE_SCHEMA) | row for row in rows], schema=DEVICE_CHANGE_SCHEMA
    )
