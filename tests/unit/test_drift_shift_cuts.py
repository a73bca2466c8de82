"""D1 on the same windows, cut into calls in other ways: every bit of the result is the same."""

import numpy as np
import pytest

from tests.drift_streams import observations, stream_values
from udfs.drift.shift_policy import ShiftPolicy
from udfs.drift.shifts import ShiftStreams

SEED = 20_261_123
POLICY = ShiftPolicy(
    gamma_page=1e3, gamma_watch=1e2, provisional_count=200, window_count=300, clear_windows=5
)
STREAMS = 20
WINDOWS = 600


def windows(seed):
    """Streams that learn; then some shift, one ends to, one has gaps, one is a constant."""
    random = np.random.default_rng([SEED, seed])
    values = stream_values("ar 0.6", (STREAMS, WINDOWS), random)
    values[:5, 450:520] += 4
    values[5:8, 500:] *= 3
    values[8] = 7.0
    values[9:14][random.random((5, WINDOWS)) < 0.2] = np.nan
    return observations(values), random


def cut_at(seen, ends):
    """Return the calls: windows between some instants, which are given in windows."""
    at = np.searchsorted(ends, seen.start_ms // int(seen.window_ms[0]), side="right")
    return [seen.take(np.flatnonzero(at == part)) for part in range(len(ends) + 1)]


def rows(alarms):
    return list(zip(
        alarms.stream.tolist(), alarms.detected_at_ms.tolist(), alarms.first_seen_ms.tolist(),
        alarms.severity.tolist(), alarms.log10_e.tolist(), strict=True,
    ))  # fmt: skip


def told(calls):
    """Return all that came out, by stream and time, and the bytes that stay."""
    streams = ShiftStreams(POLICY)
    streams.grow(STREAMS)
    levels, fired, ended = {}, [], []
    for seen in calls:
        step = streams.observe(seen)
        names = zip(seen.stream.tolist(), seen.start_ms.tolist(), strict=True)
        levels |= dict(zip(names, step.log10_e.tolist(), strict=True))
        fired += rows(step.fired)
        ended += rows(step.ended)
    free = streams.table.copy()
    free["slot"] = 0
    return sorted(levels.items()), sorted(map(str, fired)), sorted(map(str, ended)), free.tobytes()


@pytest.mark.parametrize("seed", range(2))
def test_however_windows_are_cut_into_calls_every_bit_is_the_same(seed):
    seen, random = windows(seed)
    whole = told([seen])
    assert len(whole[1]) > 5, "nothing fires: the test would compare nothing"
    assert len(whole[2]) > 1, "nothing ends"
    cuts = np.sort(random.choice(np.arange(1, WINDOWS), 60, replace=False))
    print(f"seed {SEED}, {seed}: cut at {cuts.tolist()}")
    assert told(cut_at(seen, cuts)) == whole
    assert told(cut_at(seen, np.arange(1, WINDOWS))) == whole, "one window a call"


def test_the_order_of_windows_within_a_call_does_not_matter():
    seen, random = windows(7)
    shuffled = [
        part.take(random.permutation(len(part))) for part in cut_at(seen, np.array([310, 333, 520]))
    ]
    assert told(shuffled) == told([seen])


def test_a_stream_does_not_depend_on_those_beside_it():
    seen, _ = windows(9)
    all_levels = dict(told([seen])[0])
    for stream in (0, 6, 10):
        alone = told([seen.take(seen.stream == stream)])[0]
        assert alone == [(name, all_levels[name]) for name, _ in alone]
