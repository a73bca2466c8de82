"""Topics of a test's own, and loaders that load them into a directory of its own."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field

from confluent_kafka import Producer

from jobs.query import run_query
from jobs.settings import SETTINGS_FILE_VARIABLE, Settings
from jobs.settings_file import write_settings_file
from schemas.records import encode_record
from schemas.topics import topic_name
from tests.chaos.dying_loader import Death
from tests.integration.loader_forks import LoaderForks

PATIENCE_S = 90.0


@dataclass
class Bench:
    """Topics of a test's own, and loaders that load them into a directory of its own."""

    settings: Settings
    schema_ids: dict
    forks: LoaderForks
    processes: list = field(default_factory=list)

    def produce(self, topic, records, *, partition=0, transaction=None):
        values = [encode_record(topic, record, self.schema_ids[topic]) for record in records]
        self.produce_values(topic, [(b"key", value) for value in values], partition, transaction)

    def produce_values(self, topic, pairs, partition=0, transaction=None):
        config = {"bootstrap.servers": self.settings.kafka.bootstrap_servers}
        if transaction is not None:
            config["transactional.id"] = f"{self.settings.kafka.topic_prefix}{transaction}"
        producer = Producer(config)
        if transaction is not None:
            producer.init_transactions()
            producer.begin_transaction()
        name = topic_name(topic, self.settings.kafka.topic_prefix)
        for key, value in pairs:
            producer.produce(name, key=key, value=value, partition=partition)
        assert producer.flush(30) == 0
        if transaction == "aborted":
            producer.abort_transaction()
        elif transaction is not None:
            producer.commit_transaction()

    def start(self, *argv):
        environment = os.environ | {SETTINGS_FILE_VARIABLE: str(write_settings_file(self.settings))}
        process = subprocess.Popen(
            [sys.executable, "-m", *argv],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.processes.append(process)
        return process

    def start_loader(self):
        marker = self.settings.stack.data_dir / "run" / "loader.ready"
        marker.unlink(missing_ok=True)  # of one that was killed
        process = self._fork()
        wait_for(lambda: marker.exists() or process.poll() is not None, "the ready marker")
        assert process.poll() is None, process.communicate()[0]
        return process

    def kill_loader(self, step, nth=1):
        """Return when a loader has died at a step."""
        process = self._fork(asdict(Death(step, nth)))
        output, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == -signal.SIGKILL, output

    def _fork(self, death=None):
        self.settings.stack.data_dir.mkdir(parents=True, exist_ok=True)
        file = write_settings_file(self.settings)
        log = self.settings.stack.data_dir / f"loader{len(self.processes)}.log"
        process = self.forks.start(file, log, death)
        self.processes.append(process)
        return process

    def ask(self, sql):
        return run_query(self.settings, sql).rows()

    def wait_for_rows(self, sql, expected):
        wait_for(lambda: self.ask(sql) == expected, f"{expected} from {sql}")


def wait_for(is_so, what):
    give_up_at_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < give_up_at_s, f"waited {PATIENCE_S:.0f} s in vain for {what}"
        time.sleep(0.1)


def stop(process):
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, output
    return output


WINDOW_ROWS = """
SELECT tenant_id, scope, device_id, metric, deployment_group, model_version, toInt64(window_ms),
    toUnixTimestamp64Milli(window_start), toInt64(sum(count)), toString(sum(sum_fixed)),
    toString(sum(sum_sq_fixed)), toInt64(sum(duplicate_count))
FROM windows
GROUP BY tenant_id, scope, device_id, metric, deployment_group, model_version, window_ms,
    window_start
"""


def expected_rows(deltas):
    return {
        (
            *key,
            window.count,
            str(window.sum_fixed),
            str(window.sum_sq_fixed),
            window.counters["duplicate_count"],
        )
        for key, window in deltas.expected.items()
    }
