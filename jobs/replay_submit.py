"""Submits the offline job over a log that ends; a program of its own, as PyFlink needs.

python -m jobs.replay_submit '{"ends": {"telemetry": [300], ...}, "end_ms": 1767265200001}'
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.flink_cluster import flink_environment
from jobs.process_group import Program
from jobs.settings import Settings, load_settings
from schemas.errors import FleetpulseError
from schemas.topics import Topic


@dataclass(frozen=True)
class ReplayPlan:
    """Where the log ends.

    Args:
        ends: of each topic the number of records in each partition, from 0.
        end_ms: just after the last record.
    """

    ends: Mapping[Topic, Sequence[int]]
    end_ms: int

    def to_text(self) -> str:
        """Return the plan as one argument of a program."""
        ends = {topic.value: list(counts) for topic, counts in self.ends.items()}
        return json.dumps({"ends": ends, "end_ms": self.end_ms})

    @classmethod
    def from_text(cls, text: str) -> "ReplayPlan":
        """Return what `to_text` wrote.

        >>> plan = ReplayPlan({Topic.TELEMETRY: [3, 0]}, 7)
        >>> ReplayPlan.from_text(plan.to_text()) == plan
        True
        """
        given = json.loads(text)
        ends = {Topic(name): counts for name, counts in given["ends"].items()}
        return cls(ends, given["end_ms"])


def replay_program(settings: Settings, plan: ReplayPlan) -> Program:
    """Return the program that submits the job."""
    argv = [sys.executable, "-m", "jobs.replay_submit", plan.to_text()]
    return Program("replay", argv, flink_environment(settings))


def main() -> int:
    """Submit the job; return the exit code."""
    from jobs.offline_job import Replay, submit  # noqa: PLC0415 - PyFlink reads the environment then

    plan = ReplayPlan.from_text(sys.argv[1])
    ends = {topic: dict(enumerate(counts)) for topic, counts in plan.ends.items()}
    try:
        print(submit(load_settings(), replay=Replay(ends, plan.end_ms)))
    except FleetpulseError as error:
        print(f"fleetpulse backtest: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
