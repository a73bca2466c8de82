"""Uids, by which a savepoint's state finds its operator; and where messages wait for a block."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.environment import PASS_ON_MS
from jobs.flink_cluster import flink_environment, prepare_flink
from jobs.settings import load_settings
from jobs.settings_file import write_settings_file

pytestmark = pytest.mark.flink

BLOCK_MAX_AGE_MS = 700
PINNED = {
    "fleetpulse-aggregate": {
        "read-batches",
        "split-batches",
        "split-results",
        "aggregate-shards",
        "write-results-sink",
        "Sink Committer: write-results-sink",
    },
    "fleetpulse-rules": {
        "read-windows",
        "read-controls",
        "split-windows",
        "split-controls",
        "apply-rules",
        "write-results-sink",
        "Sink Committer: write-results-sink",
    },
    "fleetpulse-drift": {
        "read-drift_windows",
        "read-controls",
        "split-windows",
        "split-controls",
        "find-drift",
        "tell-drift",
        "write-verdicts-sink",
        "Sink Committer: write-verdicts-sink",
        "write-findings-sink",
        "Sink Committer: write-findings-sink",
        "write-alerts-sink",
        "Sink Committer: write-alerts-sink",
    },
    "fleetpulse-offline": {
        "read-contacts",
        "read-devices",
        "read-controls",
        "split-blocks",
        "split-letters",
        "send-letters",
        "watch-shards",
        "watch-fleet",
        "write-results-sink",
        "Sink Committer: write-results-sink",
    },
}
# What only reshapes a record has no state, and may come and go with a release of Flink.
STATELESS = (
    "Calc[",
    "PythonCalc[",
    "TableToDataStream",
    "DataStreamToTable",
    "ConstraintEnforcer[",
    "_stream_key_by_map_operator",
    "Filter",
)


@pytest.fixture(scope="module")
def operators(tmp_path_factory):
    settings = load_settings(
        stack={"data_dir": tmp_path_factory.mktemp("stack")},
        flink={"block_max_age_ms": BLOCK_MAX_AGE_MS},
    )
    write_settings_file(settings)
    prepare_flink(settings)
    listing = [sys.executable, "-m", "tests.flink.job_operators"]
    root = Path(__file__).resolve().parents[2]
    environment = flink_environment(settings)
    done = subprocess.run(
        listing, env=environment, cwd=root, stdout=subprocess.PIPE, check=True, timeout=120
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_every_operator_with_state_has_the_uid_of_all_releases(operators):
    for job, pinned in PINNED.items():
        with_state = {uid for uid, name, _ in operators[job] if not name.startswith(STATELESS)}
        assert with_state == pinned, job


def test_no_uid_is_there_twice(operators):
    for job, found in operators.items():
        uids = [uid for uid, *_ in found if uid is not None]
        assert len(uids) == len(set(uids)), job


def test_messages_wait_where_they_are_decoded_and_at_no_other_step(operators):
    steps = {"fleetpulse-aggregate": 1, "fleetpulse-offline": 3, "fleetpulse-rules": 2}
    steps["fleetpulse-drift"] = 2
    for job, decode_steps in steps.items():
        times = [time for *_, time in operators[job] if time is not None]
        waiting = [name for _, name, time in operators[job] if time == str(BLOCK_MAX_AGE_MS)]
        assert len(waiting) == decode_steps, job
        assert all(name.startswith("PythonCalc") for name in waiting), job
        assert times.count(str(PASS_ON_MS)) == len(times) - decode_steps, job
