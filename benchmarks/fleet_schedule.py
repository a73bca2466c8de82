"""Which messages leave the fleet in a span of simulated time, faults applied.

A transmission is one message: the content of (device, slot), sent when the device reaches the same
or a later slot. Its content depends on (device, slot) alone, so a re-sent message is an exact copy.
"""

from dataclasses import dataclass

import numpy as np

from benchmarks.counter_random import Stream, hashes, uniforms
from benchmarks.fleet import Flags, Fleet, Integers
from benchmarks.fleet_faults import NEVER_MS, FaultScript

LATEST_SLOTS = 3
"""A delayed or re-sent message leaves at most this many slots after its own."""


@dataclass(frozen=True)
class Transmissions:
    """Messages in the order of sending; shape (n,)."""

    device_index: Integers
    slot: Integers
    """Whose content it is; at or before the slot in which it is sent."""
    sent_ms: Integers
    """Simulated instant of sending."""
    is_copy: Flags
    """Sent before: an exact duplicate."""

    def __len__(self) -> int:
        """Return the number of messages."""
        return len(self.slot)


def transmissions(script: FaultScript, from_ms: int, until_ms: int) -> Transmissions:
    """Return the messages sent in [from_ms, until_ms) of simulated time.

    Cutting a span into parts gives the same messages in the same order.
    """
    device, slot = _contacts(script.fleet, from_ms, until_ms)
    sent_ms = script.fleet.due_ms(device, slot)
    heard = ~script.is_silent(device, sent_ms)
    device, slot, sent_ms = device[heard], slot[heard], sent_ms[heard]
    parts = [
        _own(script, device, slot, sent_ms),
        _backlog(script, device, slot, sent_ms),
        *(_late(script, device, slot, sent_ms, by) for by in range(LATEST_SLOTS + 1)),
    ]
    return _in_order(parts)


def _contacts(fleet: Fleet, from_ms: int, until_ms: int) -> tuple[Integers, Integers]:
    """Return the device and slot of every contact due in a span."""
    device = np.arange(fleet.plan.device_count, dtype=np.int64)
    first = np.maximum(fleet.slot_at(device, from_ms), 0)
    count = np.maximum(fleet.slot_at(device, until_ms) - first, 0)
    repeated = np.repeat(device, count)
    within = np.arange(len(repeated)) - np.repeat(np.cumsum(count) - count, count)
    return repeated, first[repeated] + within


def _own(script: FaultScript, device: Integers, slot: Integers, sent_ms: Integers) -> Transmissions:
    """Return the contacts that are sent when they are due."""
    is_now = _delay_slots(script, device, slot) == 0
    return _picked(is_now, device, slot, sent_ms)


def _late(
    script: FaultScript, device: Integers, slot: Integers, sent_ms: Integers, by: int
) -> Transmissions:
    """Return what was due `by` slots ago and leaves now: delayed batches and copies."""
    origin = slot - by
    exists = (origin >= 0) & _was_heard(script, device, origin)
    delay = _delay_slots(script, device, origin)
    is_delayed = exists & (delay == by) & (by > 0)
    is_resent = exists & (delay <= by) & (_resend_slots(script, device, origin) == by)
    is_copy = is_resent & _was_heard(script, device, origin + delay)
    late = _picked(is_delayed, device, origin, sent_ms)
    copies = _picked(is_copy, device, origin, sent_ms, is_copy=True)
    return _joined([late, copies])


def _backlog(
    script: FaultScript, device: Integers, slot: Integers, sent_ms: Integers
) -> Transmissions:
    """Return the batches that devices kept while their uplink was down, in any order."""
    cycle_index = sent_ms // script.plan.cycle_ms
    from_ms, until_ms = np.full_like(slot, NEVER_MS), np.full_like(slot, NEVER_MS)
    for index in np.unique(cycle_index):
        cycle, rows = script.cycle(int(index)), np.flatnonzero(cycle_index == index)
        kept = ~cycle.is_crash[device[rows]]
        from_ms[rows] = np.where(kept, cycle.silent_from_ms[device[rows]], NEVER_MS)
        until_ms[rows] = cycle.silent_until_ms[device[rows]]
    is_back = (from_ms < NEVER_MS) & (slot == script.fleet.slot_at(device, until_ms))
    owner, at_ms = device[is_back], sent_ms[is_back]
    first = np.maximum(script.fleet.slot_at(owner, from_ms[is_back]), 0)
    count = np.maximum(slot[is_back] - first, 0)
    rows = np.repeat(np.arange(len(owner)), count)
    missed = first[rows] + np.arange(len(rows)) - np.repeat(np.cumsum(count) - count, count)
    is_batch = script.fleet.is_batch(owner[rows], missed)
    return _picked(is_batch, owner[rows], missed, at_ms[rows])


def _was_heard(script: FaultScript, device: Integers, slot: Integers) -> Flags:
    """Say whether a device could be heard at a slot; a batch it kept is the backlog's."""
    return ~script.is_silent(device, script.fleet.due_ms(device, np.maximum(slot, 0)))


def _delay_slots(script: FaultScript, device: Integers, slot: Integers) -> Integers:
    """Return by how many slots a batch is late; heartbeats never are."""
    bits = hashes(script.fleet.plan.seed, Stream.DELAY, device, slot)
    is_late = (uniforms(bits) < script.plan.delay_ratio) & script.fleet.is_batch(device, slot)
    return np.where(is_late, 1 + (bits % np.uint64(LATEST_SLOTS)).astype(np.int64), 0)


def _resend_slots(script: FaultScript, device: Integers, slot: Integers) -> Integers:
    """Return after how many slots a contact is sent again; -1 when it is not."""
    bits = hashes(script.fleet.plan.seed, Stream.RESEND, device, slot)
    is_sent = uniforms(bits) < script.plan.resend_ratio
    return np.where(is_sent, (bits % np.uint64(LATEST_SLOTS + 1)).astype(np.int64), -1)


def _picked(
    rows: Flags, device: Integers, slot: Integers, sent_ms: Integers, *, is_copy: bool = False
) -> Transmissions:
    chosen = np.flatnonzero(rows)
    return Transmissions(
        device_index=device[chosen],
        slot=slot[chosen],
        sent_ms=sent_ms[chosen],
        is_copy=np.full(len(chosen), is_copy),
    )


def _joined(parts: list[Transmissions]) -> Transmissions:
    return Transmissions(
        device_index=np.concatenate([part.device_index for part in parts]),
        slot=np.concatenate([part.slot for part in parts]),
        sent_ms=np.concatenate([part.sent_ms for part in parts]),
        is_copy=np.concatenate([part.is_copy for part in parts]),
    )


def _in_order(parts: list[Transmissions]) -> Transmissions:
    """Order by instant and device; what one device sends at once goes in any, but fixed, order."""
    sent = _joined(parts)
    shuffle = hashes(1, Stream.BACKLOG, sent.device_index, sent.slot)
    order = np.lexsort((sent.is_copy, shuffle, sent.device_index, sent.sent_ms))
    return Transmissions(
        device_index=sent.device_index[order],
        slot=sent.slot[order],
        sent_ms=sent.sent_ms[order],
        is_copy=sent.is_copy[order],
    )
