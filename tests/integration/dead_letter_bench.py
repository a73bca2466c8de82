"""Topics of a test, a refuser of messages and the command line: for tests of dead letters."""

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass

from jobs.dead_letters_list import list_letters
from jobs.dead_letters_replay import ReplayOptions, replay_letters
from jobs.load_source import LoadSource
from jobs.settings import SETTINGS_FILE_VARIABLE, Settings
from jobs.settings_file import write_settings_file
from schemas.codec import decode_messages
from schemas.dead_letter import Origin, Original, Refusal, dead_letter
from schemas.records import encode_record
from schemas.registry import SchemaRegistry
from schemas.topics import Topic, topic_name
from sinks.dead_letter_summary import LetterFilter
from sinks.dead_letter_writer import DeadLetterWriter

PATIENCE_S = 60.0
AT_MS = 1_767_225_600_000


@dataclass
class DeadLetterBench:
    """Topics of a test's own."""

    settings: Settings
    registry: SchemaRegistry
    schema_id: int
    judged_count: int = 0

    @property
    def prefix(self):
        return self.settings.kafka.topic_prefix

    @property
    def telemetry(self):
        return topic_name(Topic.TELEMETRY, self.prefix)

    def batch(self, device_id="d1"):
        record = {"tenant_id": "t0", "device_id": device_id, "sent_at": AT_MS, "points": []}
        return encode_record(Topic.TELEMETRY, record, self.schema_id)

    def refuse(self, reason, value, *, key=b"t0/d1", headers=(), partition=0, offset=0):
        """File a letter as the jobs do."""
        origin = Origin(self.telemetry, partition, offset)
        original = Original(key, value, tuple(headers), AT_MS + offset)
        self.file(
            [dead_letter(origin, Refusal("test", "VALUE_CONVERTER", reason, "why"), original)]
        )

    def file(self, letters):
        topic = topic_name(Topic.DEAD_LETTERS, self.prefix)
        DeadLetterWriter(self.settings.kafka.bootstrap_servers, topic).send(letters)

    def judge(self):
        """Be the job: decode what is new in telemetry and file what cannot be decoded."""
        new = self.read(self.telemetry)[self.judged_count :]
        self.judged_count += len(new)
        block = decode_messages(
            Topic.TELEMETRY, [message.value for message in new], self.registry.schema_by_id
        )
        for rejected in block.rejected:
            message = new[rejected.row]
            self.file(
                [
                    dead_letter(
                        Origin(self.telemetry, message.partition, message.offset),
                        Refusal("test", "VALUE_CONVERTER", rejected.reason, rejected.detail),
                        Original(message.key, message.value, message.headers, message.timestamp_ms),
                    )
                ]
            )

    def read(self, topic):
        """Return everything that is committed in a topic, in the order of its offsets."""
        source = LoadSource(self.settings.kafka.bootstrap_servers, "test")
        with contextlib.closing(source):
            limits = source.limits(topic, source.partitions([topic])[topic])
            source.assign({topic: {p: low for p, (low, _) in limits.items()}})
            ends = {p: end for p, (_, end) in limits.items() if end > 0}
            found = []
            while not source.has_reached(topic, ends):
                found += source.poll(500, 0.2).get(topic, [])
        return found

    def letters(self, **wanted):
        listed = list_letters(self.settings.kafka, LetterFilter(self.prefix, **wanted), 100)
        return listed.letters

    def replay(self, report=print, **options):
        options = ReplayOptions(LetterFilter(self.prefix), **options)
        return replay_letters(self.settings, options, report)

    def environment(self):
        return os.environ | {SETTINGS_FILE_VARIABLE: str(write_settings_file(self.settings))}

    def cli(self, *words):
        return subprocess.run(
            [sys.executable, "-m", "jobs.cli", "dead-letters", *words],
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
