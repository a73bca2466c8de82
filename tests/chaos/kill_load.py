"""A seeded load for every table of the loader, and what the tables must hold of it.

Nothing here asks the loader's code what comes out: expected rows are made from the same numbers by
plain Python. Append times are what the broker acknowledged.
"""

import json
import math
from collections import Counter, defaultdict

from confluent_kafka import Producer
from confluent_kafka.admin import NewPartitions, NewTopic

from jobs.topic_admin import admin_client
from schemas.dead_letter import Origin, Original, Refusal, dead_letter
from schemas.errors import Reason
from schemas.records import encode_record
from schemas.telemetry import AHEAD_MAX_MS, EARLIEST_MS, VALUE_MAX
from schemas.topics import CLOCK_TENANT_ID, Topic, topic_name
from sinks.dead_letter_writer import DeadLetterWriter
from tests.chaos.victims import wait_for
from tests.integration.rollup_reading import SpreadInput
from tests.loader_input import START_MS, alert, device_status

PARTITIONS = 2
GROWING = (Topic.TELEMETRY, Topic.WINDOWS, Topic.ALERTS, Topic.ACCOUNTS)
"""Not the states: what follows what is told by the offset, so a device stays on its partition."""
ODD = "odd"
"""A severity that the table refuses in these runs."""
ODD_BATCH_COUNT = 14
DAY_MS = 24 * 3600 * 1000
WRONG_VALUES = (math.nan, math.inf, -1e300)
FOREIGN_COMPONENT = "fleetpulse-aggregate"


class KillLoad:
    """Sends messages and remembers what must come of them.

    Args:
        settings: name the broker and the topics.
        schema_ids: by topic.
        seed: of everything.
    """

    def __init__(self, settings, schema_ids, seed):
        self._settings, self._schema_ids = settings, schema_ids
        self.windows, self._aborted = SpreadInput(seed), SpreadInput(seed + 1)
        self._draw = self.windows.random
        self.alerts = Counter()
        self.statuses = {}
        self.accounts = Counter()
        self.points = Counter()
        self.bad = {}
        """(topic, partition, offset) -> reason, of every message that must be a letter."""
        self.ends = defaultdict(dict)
        """Topic -> partition -> offset after the last message."""
        self._count = 0
        self._open_deliveries = 0
        servers = settings.kafka.bootstrap_servers
        self._producer = Producer({"bootstrap.servers": servers, "linger.ms": 0, "log_level": 2})
        self._transactions = Producer(
            {
                "bootstrap.servers": servers,
                "transactional.id": f"{settings.kafka.topic_prefix}kill-load",
                "linger.ms": 0,
                "log_level": 2,
            }
        )
        self._transactions.init_transactions()
        self._letters = DeadLetterWriter(servers, self._name(Topic.DEAD_LETTERS))
        self.tenants = []
        self._partition_count = PARTITIONS

    def produce(self, *, odd=False):
        """Send a little of everything; with `odd`, alerts that the table refuses among them."""
        self._count += 1
        self._send_windows()
        self._send_alerts(odd=odd)
        self._send_statuses()
        self._send_accounts()
        self._send_letter()
        for tenant in [None, *self.tenants[-2:]]:
            self._send_points(tenant)
        assert self._producer.flush(30) == 0
        assert self._open_deliveries == 0

    def add_tenant_topic(self):
        """Create the topic of a new tenant and send points there."""
        admin = admin_client(self._settings.kafka)
        tenant = f"acme{len(self.tenants)}"
        name = f"{self._name(Topic.TELEMETRY)}.{tenant}"
        topic = NewTopic(name, 1, config={"message.timestamp.type": "LogAppendTime"})
        admin.create_topics([topic])[name].result(30)
        self.tenants.append(tenant)
        self._send_points(tenant)
        assert self._producer.flush(30) == 0

    def add_partitions(self):
        """Give some topics one partition more and send to all of them."""
        self._partition_count += 1
        names = [self._name(topic) for topic in GROWING]
        wanted = [NewPartitions(name, self._partition_count) for name in names]
        admin = admin_client(self._settings.kafka)  # it must outlive its answers
        for answer in admin.create_partitions(wanted).values():
            answer.result(30)
        for producer in (self._producer, self._transactions):
            for name in names:
                wait_for(lambda p=producer, n=name: self._knows_all(p, n), f"partitions of {name}")
        self._send_windows()
        for partition in range(self._partition_count):
            self._send_points(None, partition)
        assert self._producer.flush(30) == 0

    def _knows_all(self, producer, name):
        found = producer.list_topics(name, timeout=10).topics[name]
        return len(found.partitions) == self._partition_count

    def _name(self, topic):
        return topic_name(topic, self._settings.kafka.topic_prefix)

    def _value(self, topic, record):
        return encode_record(topic, record, self._schema_ids[topic])

    def _send(self, topic_full, key, value, on_place, partition=None):
        """Send one message; once it is there, `on_place(partition, offset, append_time_ms)`."""

        def on_delivery(error, message):
            assert error is None, error
            self._open_deliveries -= 1
            place = message.partition(), message.offset()
            ends = self.ends[topic_full]
            ends[place[0]] = max(ends.get(place[0], 0), place[1] + 1)
            on_place(*place, message.timestamp()[1])

        drawn = int(self._draw.integers(self._partition_count))
        chosen = drawn if partition is None else partition
        self._open_deliveries += 1
        self._producer.produce(
            topic_full, key=key, value=value, partition=chosen, on_delivery=on_delivery
        )

    def _send_windows(self):
        """Send a transaction over all partitions; now and then one before it that is aborted."""
        name = self._name(Topic.WINDOWS)
        if self._draw.random() < 0.2:
            self._transaction(name, [{"rows": self._aborted.deltas(3)}] * PARTITIONS, commit=False)
        records = [{"rows": self.windows.deltas(8)} for _ in range(self._partition_count)]
        ends = self._transaction(name, records, commit=True)
        self.ends[name] |= ends

    def _transaction(self, name, records, *, commit):
        ends = {}
        producer = self._transactions
        producer.begin_transaction()
        for partition, record in enumerate(records):
            producer.produce(
                name,
                self._value(Topic.WINDOWS, record),
                b"key",
                partition=partition,
                on_delivery=lambda _, m: ends.update({m.partition(): m.offset() + 1}),
            )
        assert producer.flush(30) == 0
        producer.commit_transaction() if commit else producer.abort_transaction()
        return ends

    def _send_alerts(self, *, odd):
        name = self._name(Topic.ALERTS)
        partition = int(self._draw.integers(self._partition_count))
        count = ODD_BATCH_COUNT if odd else 3
        odd_ones = set(self._draw.choice(count, 2, replace=False).tolist()) if odd else set()
        for seq in range(count):
            severity = ODD if seq in odd_ones else "warning"
            event = alert(f"e{self._count}", seq, severity=severity)
            if seq in odd_ones:
                on_place = self._expect_letter(name, Reason.ROW_REFUSED)
            else:
                self.alerts[event["id"], event["tenant_id"], seq, severity] += 1
                on_place = ignore_place
            self._send(name, b"key", self._value(Topic.ALERTS, event), on_place, partition)
        rubbish = self._expect_letter(name, Reason.BAD_MAGIC)
        self._send(name, b"t0/bad", f"rubbish {self._count}".encode(), rubbish)

    def _expect_letter(self, topic_full, reason):
        def on_place(partition, offset, _):
            self.bad[topic_full, partition, offset] = reason.value

        return on_place

    def _send_statuses(self):
        name = self._name(Topic.DEVICE_STATUS)
        for _ in range(3):
            number = int(self._draw.integers(6))
            device_id, is_gone = f"d{number}", self._draw.random() < 0.3
            status = "decommissioned" if is_gone else str(self._draw.choice(["online", "warning"]))
            record = None if is_gone else device_status(device_id, status)
            value = None if record is None else self._value(Topic.DEVICE_STATUS, record)

            def on_place(partition, offset, _, state=("t0", device_id, status)):
                self.statuses[(*state, offset)] = partition

            self._send(name, f"t0/{device_id}".encode(), value, on_place, number % PARTITIONS)

    def _send_accounts(self):
        rows = []
        for outcome in ("read", "accepted"):
            count = int(self._draw.integers(1, 50))
            rows.append(
                {
                    "topic": "telemetry",
                    "partition": int(self._draw.integers(PARTITIONS)),
                    "unit": "point",
                    "outcome": outcome,
                    "reason": "",
                    "count": count,
                }
            )
            self.accounts[rows[-1]["partition"], outcome] += count
        value = self._value(Topic.ACCOUNTS, {"rows": rows})
        self._send(self._name(Topic.ACCOUNTS), b"key", value, ignore_place)

    def _send_letter(self):
        """Write what another part of the engine refused."""
        origin = Origin("elsewhere", 0, self._count)
        refusal = Refusal(FOREIGN_COMPONENT, "VALUE_CONVERTER", Reason.AVRO_INVALID, "cut off")
        self._letters.send(
            [dead_letter(origin, refusal, Original(b"t0/x", b"junk", (), START_MS + self._count))]
        )
        self.bad[origin.topic, 0, self._count] = Reason.AVRO_INVALID.value

    # --- points -----------------------------------------------------------------------------------

    def _send_points(self, tenant, partition=None):
        """Send a batch of today's firmware, a tick, one of old firmware and what is no message."""
        shared = self._name(Topic.TELEMETRY)
        name = shared if tenant is None else f"{shared}.{tenant}"
        partition = partition if tenant is None else 0
        owner = tenant or f"t{self._draw.integers(2)}"
        points = [self._point() for _ in range(6)]
        batch = {"tenant_id": owner, "device_id": "d1", "sent_at": START_MS, "points": points}
        on_place = self._expect_points(owner, "d1", points)
        self._send(name, b"key", self._value(Topic.TELEMETRY, batch), on_place, partition)
        old = [self._point() for _ in range(3)]
        old = [point for point in old if math.isfinite(point["value"])]
        text = json.dumps({"metrics": [p | {"timestamp": p["timestamp"] / 1000} for p in old]})
        on_place = self._expect_points(owner, "old", old)
        self._send(name, f"{owner}/old".encode(), text.encode(), on_place, partition)
        tick = {"tenant_id": CLOCK_TENANT_ID, "device_id": "c", "sent_at": START_MS, "points": []}
        self._send(name, b"tick", self._value(Topic.TELEMETRY, tick), ignore_place, partition)
        self._send(name, b"junk", b"\x00junk", ignore_place, partition)

    def _point(self):
        """Return a point of two weeks; a share of them has a wrong clock, or no number."""
        # More weeks would be thousands of parts, and each loader opens all of them.
        time_ms = START_MS + int(self._draw.integers(14 * DAY_MS // 1000)) * 1000
        if self._draw.random() < 0.1:
            time_ms = int(self._draw.choice([EARLIEST_MS - 1000, START_MS + 4000 * DAY_MS]))
        value = float(self._draw.integers(1_000_000)) / 4
        if self._draw.random() < 0.1:
            value = float(self._draw.choice(WRONG_VALUES))
        return {"name": "cpu", "value": value, "timestamp": time_ms, "tags": {}}

    def _expect_points(self, tenant_id, device_id, points):
        def on_place(_, __, append_time_ms):
            for point in points:
                if not abs(point["value"]) <= VALUE_MAX:
                    continue
                time_ms = point["timestamp"]
                is_skewed = time_ms < EARLIEST_MS or time_ms > append_time_ms + AHEAD_MAX_MS
                at_ms = append_time_ms if is_skewed else time_ms
                self.points[
                    tenant_id, device_id, point["name"], at_ms, point["value"], is_skewed
                ] += 1

        return on_place


def ignore_place(*_):
    pass
