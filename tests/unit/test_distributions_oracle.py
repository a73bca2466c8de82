"""D2 against a second, brute-force D2 that sees all windows of a stream at once."""

import pytest

from tests.distribution_logs import SMALL, SUBJECTS, frame, random_windows, small_member
from tests.oracle.distribution_oracle import StreamOracle
from udfs.drift.findings import State


@pytest.mark.parametrize("seed", range(12))
def test_every_turn_of_random_logs_is_that_of_the_oracle(seed: int) -> None:
    print("seed", seed)
    rows = random_windows(seed, days=8)
    found = small_member().observe(frame(rows), 0)
    told = {
        subject: [
            (f.detected_at_ms, f.window_ms, "over" if f.state is State.RESOLVED else f.severity)
            for f in found
            if (f.scope, f.subject, f.metric) == (subject.scope, subject.name, subject.metric)
            and f"/{subject.version}/" in f.baseline.baseline_id
        ]
        for subject in SUBJECTS
    }
    assert sum(map(len, told.values())) == len(found) > 0
    for subject, turns in told.items():
        oracle = StreamOracle(SMALL, subject.metric == "predicted_class")
        for row in rows:
            names = (row["scope"], row["subject"], row["metric"], row["model_version"])
            if names == (subject.scope, subject.name, subject.metric, subject.version):
                oracle.add(row["window_start"], row["bins"], row["bin_counts"])
        assert sorted(turns) == sorted(oracle.told()), subject
