"""Measures the drift job without Flink: windows of a fleet in, as the aggregate job sends them.

    python -m benchmarks.measure_drift_job --devices 10000 --metrics 8

As `benchmarks.measure_rules`: each device reports each metric once a minute, a block is what a
checkpoint of 5 s commits, counted is the CPU time of this process.
"""

import argparse
import json

from benchmarks.measure_rules import Engine, blocks
from udfs.drift.drift_shard import DriftPolicy, drift_steps
from udfs.drift.window_rows import DRIFT_ROWS


def main() -> None:
    """Print the figures as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--devices", type=int, default=10_000)
    parser.add_argument("--metrics", type=int, default=8)
    parser.add_argument("--minutes", type=int, default=20)
    parser.add_argument("--shards", type=int, default=16)
    asked = parser.parse_args()
    engine = Engine(asked.shards, drift_steps(DriftPolicy()), DRIFT_ROWS)
    finding_count = 0
    for rows, raw in blocks(asked.devices, asked.metrics, asked.minutes, asked.shards):
        finding_count += sum(len(step.findings) for step in engine.take_block(rows, raw))
    print(json.dumps(engine.figures(asked.devices * asked.metrics) | {"findings": finding_count}))


if __name__ == "__main__":
    main()
