"""The reject limit: a job that rejects too much stops, instead of draining a topic.

When a registry or a schema is broken, every message is rejected, and a job that goes on would move
the whole topic into the dead letters. One bad producer must not look like that, so two shares are
taken over the last messages of a partition, and both must be too large:

    share of the messages   a flood of one device makes it large
    share of the senders    only a fault that hits many devices makes it large

Besides, no partition may reject too many messages in a row. Every prefix of the log is judged, so
the verdict falls on the same message however the log is cut into blocks and whatever restarted.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from udfs.reject_policy import Bools, RejectPolicy, Senders, first_with_many_senders
from udfs.state_bytes import StateLayoutError, pack_state, unpack_state

STATE_VERSION = 1
ACCEPTED = 0
"""Code of a message that was not rejected; code i stands for reason i - 1 of the state's list."""

JUDGED_SCHEMA: dict[str, Any] = {
    "topic": pl.String,
    "partition": pl.Int32,
    "offset": pl.Int64,
    "sender": pl.UInt32,
    "reason": pl.String,
}
_STATE_SCHEMA: dict[str, Any] = {
    "topic": pl.String,
    "partition": pl.Int32,
    "codes": pl.Binary,
    "senders": pl.Binary,
    "run_count": pl.Int64,
}

Codes = NDArray[np.uint8]


@dataclass(frozen=True)
class Excess:
    """A limit that was exceeded.

    Args:
        topic: full name.
        partition: of the topic.
        offset: of the message that was one too many.
        rejected_count: rejected messages among `message_count`.
        message_count: the last messages of the partition up to the offset.
        reason: the most common one.
    """

    topic: str
    partition: int
    offset: int
    rejected_count: int
    message_count: int
    reason: str


@dataclass(frozen=True)
class PartitionWindow:
    """The last messages of one partition, oldest first.

    Args:
        codes: `ACCEPTED` or the code of a reason, shape (n,).
        senders: hash of each message's key, shape (n,).
        run_count: rejected messages in a row at the end.
    """

    codes: Codes
    senders: Senders
    run_count: int = 0


@dataclass(frozen=True)
class RejectLimitState:
    """The windows by (topic, partition), and what the codes mean."""

    windows: dict[tuple[str, int], PartitionWindow]
    reasons: tuple[str, ...]

    @classmethod
    def empty(cls) -> "RejectLimitState":
        """Return the state before any input."""
        return cls({}, ())

    def to_bytes(self) -> bytes:
        """Return the state as versioned bytes."""
        rows = [
            (topic, partition, window.codes.tobytes(), window.senders.tobytes(), window.run_count)
            for (topic, partition), window in self.windows.items()
        ]
        frame = pl.DataFrame(rows, schema=_STATE_SCHEMA, orient="row")
        return pack_state(STATE_VERSION, {"windows": frame}, {"reasons": self.reasons})

    @classmethod
    def from_bytes(cls, packed: bytes) -> "RejectLimitState":
        """Return what `to_bytes` wrote.

        Raises:
            StateLayoutError: a version that this release cannot restore.
        """
        state = unpack_state(packed)
        if state.version != STATE_VERSION:
            raise StateLayoutError(f"reject limit state of version {state.version}")
        windows = {
            (row["topic"], row["partition"]): PartitionWindow(
                np.frombuffer(row["codes"], np.uint8),
                np.frombuffer(row["senders"], np.uint32),
                row["run_count"],
            )
            for row in state.frames["windows"].iter_rows(named=True)
        }
        return cls(windows, tuple(state.meta["reasons"]))


@dataclass(frozen=True)
class RejectStep:
    """What one block did: the new state, and the first limit it exceeded."""

    state: RejectLimitState
    excess: Excess | None


def excess_text(excess: Excess) -> str:
    """Say in one line what was exceeded, and the cure.

    >>> print(excess_text(Excess("telemetry", 3, 100, 51, 101, "avro_invalid")))
    telemetry partition 3, offset 100: 51 of the last 101 messages were rejected, most of them as \
avro_invalid; cure: mend their producer or the schema registry (`fleetpulse dead-letters list` \
shows earlier ones), then `fleetpulse submit`; to let so many pass raise dead_letters.max_ratio or \
dead_letters.max_consecutive
    """
    return (
        f"{excess.topic} partition {excess.partition}, offset {excess.offset}: "
        f"{excess.rejected_count:,} of the last {excess.message_count:,} messages were rejected, "
        f"most of them as {excess.reason}; cure: mend their producer or the schema registry "
        "(`fleetpulse dead-letters list` shows earlier ones), then `fleetpulse submit`; "
        "to let so many pass raise dead_letters.max_ratio or dead_letters.max_consecutive"
    )


def on_judged(state: RejectLimitState, messages: pl.DataFrame, policy: RejectPolicy) -> RejectStep:
    """Judge the messages of one block.

    Args:
        state: so far; not changed.
        messages: `JUDGED_SCHEMA`, in offset order within a partition, without clock ticks;
            `reason` is null for what was not rejected.
        policy: the limits.
    """
    if policy.topics is not None:
        messages = messages.filter(pl.col("topic").is_in(policy.topics))
    new = messages["reason"].drop_nulls().unique(maintain_order=True).to_list()
    reasons = (*state.reasons, *(reason for reason in new if reason not in state.reasons))
    windows, excess = dict(state.windows), None
    parts = messages.partition_by("topic", "partition", as_dict=True, maintain_order=True)
    for (topic, partition), part in parts.items():
        place = (str(topic), int(partition))
        judged = _Judged.of(windows.get(place), part, reasons)
        at = judged.first_excess(policy)
        if at is not None and excess is None:
            excess = judged.excess_at(at, place, reasons, policy)
        windows[place] = judged.window(policy)
    return RejectStep(RejectLimitState(windows, reasons), excess)


@dataclass(frozen=True)
class _Judged:
    """A partition's window with the new messages behind it: old, ..., old, new, ..., new.

    Args:
        codes: of all, shape (n,).
        senders: of all, shape (n,).
        run_counts: rejected in a row at each new message, shape (m,).
        offsets: of the new ones, shape (m,).
    """

    codes: Codes
    senders: Senders
    run_counts: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @classmethod
    def of(
        cls, before: PartitionWindow | None, part: pl.DataFrame, reasons: tuple[str, ...]
    ) -> "_Judged":
        if before is None:
            before = PartitionWindow(np.empty(0, np.uint8), np.empty(0, np.uint32))
        code_of = {reason: code for code, reason in enumerate(reasons, start=1)}
        codes = part["reason"].replace_strict(code_of, default=ACCEPTED, return_dtype=pl.UInt8)
        new = codes.fill_null(ACCEPTED).to_numpy()
        return cls(
            np.concatenate([before.codes, new]),
            np.concatenate([before.senders, part["sender"].to_numpy()]),
            _run_counts(new != ACCEPTED, before.run_count),
            part["offset"].to_numpy(),
        )

    @property
    def old_count(self) -> int:
        return len(self.codes) - len(self.offsets)

    def first_excess(self, policy: RejectPolicy) -> int | None:
        """Return the index of the first new message at which a limit is exceeded."""
        found = [self._first_large_share(policy)]
        if policy.max_run_count > 0:
            found.append(_first(self.run_counts > policy.max_run_count))
        return min((index for index in found if index is not None), default=None)

    def _first_large_share(self, policy: RejectPolicy) -> int | None:
        ends = np.arange(self.old_count + 1, len(self.codes) + 1)
        starts = np.maximum(ends - policy.window_count, 0)
        sums = np.concatenate([[0], np.cumsum(self.codes != ACCEPTED)])
        counts = ends - starts
        is_large = sums[ends] - sums[starts] > policy.max_ratio * counts
        is_large &= counts >= policy.min_count
        # Counting senders costs a step for each message: only where the messages are too many.
        if not is_large.any():
            return None
        flags = np.concatenate([np.zeros(self.old_count, bool), is_large])
        rejected = self.codes != ACCEPTED
        end = first_with_many_senders(self.senders, rejected, flags, policy)
        return None if end is None else end - self.old_count

    def excess_at(
        self, index: int, place: tuple[str, int], reasons: tuple[str, ...], policy: RejectPolicy
    ) -> Excess:
        end = self.old_count + index + 1
        run_count = int(self.run_counts[index])
        is_run = 0 < policy.max_run_count < run_count
        length = run_count if is_run else policy.window_count
        window = self.codes[max(0, end - length) : end]
        rejected = window[window != ACCEPTED]
        common = int(np.bincount(rejected).argmax())
        return Excess(
            topic=place[0],
            partition=place[1],
            offset=int(self.offsets[index]),
            rejected_count=run_count if is_run else len(rejected),
            message_count=run_count if is_run else len(window),
            reason=reasons[common - 1],
        )

    def window(self, policy: RejectPolicy) -> PartitionWindow:
        kept = slice(-policy.window_count, None)
        return PartitionWindow(self.codes[kept], self.senders[kept], int(self.run_counts[-1]))


def _run_counts(is_rejected: Bools, before_count: int) -> NDArray[np.int64]:
    """Return how many messages in a row are rejected at each message.

    >>> _run_counts(np.array([True, False, True, True]), 5).tolist()
    [6, 0, 1, 2]
    """
    index = np.arange(len(is_rejected))
    last_accepted = np.maximum.accumulate(np.where(is_rejected, -1 - before_count, index))
    counts: NDArray[np.int64] = index - last_accepted
    return counts


def _first(flags: Bools) -> int | None:
    return int(flags.argmax()) if flags.any() else None
