"""Dead letters on a real Kafka: listed, shown, and sent again once, whatever dies or interferes."""

import contextlib
import itertools
import json
import random
import signal
import subprocess
import sys

import pytest
from confluent_kafka import Producer

from jobs.dead_letters_replay import TRANSACTIONAL_ID
from jobs.dead_letters_source import DeadLetterLog
from jobs.local_stack import LocalStack, Part
from jobs.ports import free_port_settings
from jobs.settings import load_settings
from jobs.topic_admin import create_topics, log_ends
from schemas.errors import Reason, SettingsError, Unavailable
from schemas.registry import SchemaRegistry
from schemas.topics import MESSAGE_MAX_BYTES, Topic
from sinks.dead_letter_replay import Hindrance, replay_of
from sinks.dead_letter_replay_writer import ReplayWriter
from tests.integration.dead_letter_bench import PATIENCE_S, DeadLetterBench

pytestmark = pytest.mark.integration

SEED = 7
numbers = itertools.count()


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    settings = free_port_settings(tmp_path_factory.mktemp("stack"), kafka={"partition_count": 2})
    with LocalStack(settings, parts=(Part.KAFKA, Part.REGISTRY)) as stack:
        yield stack


@pytest.fixture
def bench(stack, tmp_path):
    base = stack.settings
    settings = load_settings(
        kafka=base.kafka.model_dump() | {"topic_prefix": f"test{next(numbers)}."},
        registry=base.registry.model_dump(),
        stack=base.stack.model_dump() | {"data_dir": tmp_path / "data"},
    )
    create_topics(settings.kafka)
    registry = SchemaRegistry(settings.registry.url, settings.registry.timeout_s)
    with contextlib.closing(registry):
        yield DeadLetterBench(settings, registry, registry.register(Topic.TELEMETRY))


def test_poison_of_four_reasons_is_listed_shown_and_sent_again_once(bench, tmp_path):
    good, trace = bench.batch(), (("trace", b"1"), ("trace", b"\xff"))
    bench.refuse(Reason.BAD_MAGIC, b"rub\x1b[2Jbish", key=b"t0/\x1b[2J")
    bench.refuse(Reason.AVRO_INVALID, good + b"x", key=None, offset=1, headers=trace)
    bench.refuse(Reason.SCHEMA_UNKNOWN, b"\0\0\1\0\0x", partition=1, offset=2)
    bench.refuse(Reason.TENANT_MISMATCH, good, key=b"t1/d1", partition=1, offset=3)

    listed = bench.cli("list", "--format", "json", "--topic", "telemetry")
    rows = [json.loads(line) for line in listed.stdout.splitlines()]
    assert [row["reason"] for row in rows] == [
        "bad_magic",
        "avro_invalid",
        "schema_unknown",
        "tenant_mismatch",
    ]
    assert [row["replayed"] for row in rows] == [False] * 4
    newest = bench.cli("list", "--limit", "1")
    assert "tenant_mismatch" in newest.stdout
    assert "3 older" in newest.stderr
    table = bench.cli("list", "--reason", "bad_magic")
    assert "bad_magic" in table.stdout
    assert "avro_invalid" not in table.stdout
    assert "\x1b" not in table.stdout + listed.stdout

    shown = bench.cli("show", rows[3]["position"], "--out", str(tmp_path / "bytes"))
    assert shown.returncode == 0, shown.stderr
    assert '"device_id": "d1"' in shown.stdout
    assert (tmp_path / "bytes").read_bytes() == good
    hostile = bench.cli("show", rows[0]["position"])
    assert "rub.[2Jbish" in hostile.stdout
    assert "\x1b" not in hostile.stdout

    before = log_ends(bench.telemetry, bench.settings.kafka)
    dry = bench.cli("replay", "--dry-run")
    assert f"1 would be sent to {bench.telemetry} (bad_magic)" in dry.stdout
    assert log_ends(bench.telemetry, bench.settings.kafka) == before
    done = bench.cli("replay")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" sent to ") == 4
    sent = {(m.partition, m.value): m for m in bench.read(bench.telemetry)}
    assert len(sent) == 4
    again = sent[0, good + b"x"]
    assert again.key is None
    assert again.headers[:2] == trace
    headers = dict(again.headers[2:])
    assert headers.keys() == {"dlq.attempt", "dlq.first_failed_at", "dlq.replay.of"}
    assert headers["dlq.attempt"] == b"1"
    assert headers["dlq.first_failed_at"] == b"2026-01-01T00:00:00.001Z"
    assert sent[1, good].key == b"t1/d1"

    ends = log_ends(bench.telemetry, bench.settings.kafka)
    second = bench.cli("replay")
    assert second.stdout.splitlines() == ["nothing sent", "4 were sent again before"]
    assert log_ends(bench.telemetry, bench.settings.kafka) == ends
    assert [was_sent for _, was_sent in bench.letters()] == [True] * 4


def test_a_replay_killed_before_its_commit_has_sent_nothing_and_the_next_sends_all_once(bench):
    for offset in range(3):
        bench.refuse(Reason.BAD_MAGIC, b"x%d" % offset, offset=offset)
    dying = [sys.executable, "-m", "tests.integration.dying_replay"]
    died = subprocess.run(dying, env=bench.environment(), timeout=PATIENCE_S, check=False)
    assert died.returncode == -signal.SIGKILL
    assert sum(log_ends(bench.telemetry, bench.settings.kafka).values()) >= 3
    assert bench.read(bench.telemetry) == []
    assert [was_sent for _, was_sent in bench.letters()] == [False] * 3
    assert sum(bench.replay().sent.values()) == 3
    assert sorted(m.value for m in bench.read(bench.telemetry)) == [b"x0", b"x1", b"x2"]
    assert sum(bench.replay().sent.values()) == 0


def test_a_second_replay_ends_the_first_with_one_line_and_nothing_is_sent_twice(bench):
    bench.refuse(Reason.BAD_MAGIC, b"x")
    kafka = bench.settings.kafka
    with contextlib.closing(DeadLetterLog(kafka)) as log:
        replays = [replay_of(letter, log.topic) for letter in log.messages()]
    first = ReplayWriter(kafka.bootstrap_servers, f"{bench.prefix}{TRANSACTIONAL_ID}")
    assert sum(bench.replay().sent.values()) == 1
    with pytest.raises(SettingsError, match=r"^dead-letters replay = .*one replay at a time.*$"):
        first.send(replays)
    first.close()
    assert len(bench.read(bench.telemetry)) == 1


def test_a_receipt_behind_an_open_transaction_is_waited_for(bench):
    # log:   letter | a job's open transaction ............. commit
    #                                 receipt of a replay        ^ only now readers see it
    bench.refuse(Reason.BAD_MAGIC, b"x")
    kafka = bench.settings.kafka
    with contextlib.closing(DeadLetterLog(kafka)) as log:
        (letter,) = log.messages()
        job = Producer({"bootstrap.servers": kafka.bootstrap_servers, "transactional.id": "job"})
        job.init_transactions()
        job.begin_transaction()
        job.produce(log.topic, value=b"of the job", partition=letter.partition)
        job.flush()
        writer = ReplayWriter(kafka.bootstrap_servers, f"{bench.prefix}{TRANSACTIONAL_ID}")
        assert writer.send([replay_of(letter, log.topic)]) == []
        waits = []
        with pytest.raises(Unavailable, match="open"):
            log.wait_until_settled(0.5, lambda: waits.append(1))
    assert waits == [1]
    account = bench.replay(report=lambda _: job.commit_transaction())
    assert account.sent == {}
    assert account.hindered[Hindrance.SENT_BEFORE] == 1
    assert len(bench.read(bench.telemetry)) == 1


def test_a_cause_that_persists_comes_back_with_its_number_and_is_parked_at_the_third(bench):
    bench.refuse(Reason.BAD_MAGIC, b"rubbish")
    first_failed_at = bench.letters()[0][0].first_failed_at
    for attempt in (1, 2, 3):
        assert sum(bench.replay().sent.values()) == 1
        bench.judge()
        newest = max((letter for letter, _ in bench.letters()), key=lambda one: one.attempt)
        assert newest.attempt == attempt
        assert newest.first_failed_at == first_failed_at
    account = bench.replay()
    assert account.sent == {}
    assert account.hindered == {Hindrance.SENT_BEFORE: 3, Hindrance.PARKED: 1}
    assert len(bench.read(bench.telemetry)) == 3


def test_a_fixed_cause_is_accepted_and_does_not_come_back(bench):
    bench.refuse(Reason.SCHEMA_UNKNOWN, bench.batch())
    assert sum(bench.replay().sent.values()) == 1
    bench.judge()
    assert len(bench.letters()) == 1


def test_two_letters_of_one_original_bring_it_back_once(bench):
    bench.refuse(Reason.BAD_MAGIC, b"x", offset=5)
    bench.refuse(Reason.BAD_MAGIC, b"x", offset=5)
    account = bench.replay()
    assert sum(account.sent.values()) == 1
    assert account.hindered == {Hindrance.SENT_BEFORE: 1}


def test_what_the_broker_refuses_is_left_out_and_its_neighbours_are_sent(bench):
    large = random.Random(SEED).randbytes(MESSAGE_MAX_BYTES - 150)
    for offset, value in enumerate((b"x", large, b"y")):
        bench.refuse(Reason.BAD_MAGIC, value, offset=offset)
    account = bench.replay()
    assert sum(account.sent.values()) == 2
    assert account.hindered == {Hindrance.REFUSED: 1}
    assert sorted(m.value for m in bench.read(bench.telemetry)) == [b"x", b"y"]
    assert [was_sent for _, was_sent in bench.letters()] == [True, False, True]


def test_a_limit_sends_so_many_and_the_next_replay_goes_on(bench):
    for offset in range(5):
        bench.refuse(Reason.BAD_MAGIC, b"x%d" % offset, offset=offset)
    first = bench.replay(limit=3)
    assert sum(first.sent.values()) == 3
    assert first.is_at_limit
    assert sum(bench.replay().sent.values()) == 2
    assert len({m.value for m in bench.read(bench.telemetry)}) == 5
