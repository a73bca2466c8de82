"""The fleet now, from states that came late, twice, in any order and in parts that never merged.

Expected is what plain Python makes of each device's last state; a tombstone takes it away.
"""

import random
from collections import Counter

import pytest

from jobs.query import frame_of
from jobs.query_answers import Lengths, answer_named
from jobs.query_request import Asked, NamedQuery, Option
from schemas.tables import DEVICE_STATUS
from schemas.topics import Topic
from sinks.load_ledger import LedgerEntry, OffsetRange
from sinks.messages import Message
from sinks.read_only_endpoint import QueryLimits, Question, answer
from sinks.table_rows import rows_of
from tests.integration.chdb_database import database_address, open_database
from tests.loader_input import START_MS, device_status, message, schema_of_id

pytestmark = pytest.mark.integration

SEED = 20261123
TENANTS = ("a", "b")
DEVICES, CHANGES, PART_COUNT = 40, 400, 7
STATUSES = ("online", "warning", "critical", "maintenance")
GROUPS, MODELS = ("g1", "g2", "g3"), ("v1", "v2")
COUNTED = ("devices", *STATUSES)


def changes(draw):
    """Return messages of both tenants, whose offsets overlap as those of partitions do."""
    found = []
    for partition, tenant in enumerate(TENANTS):
        for offset in range(CHANGES):
            device = f"d{draw.randrange(DEVICES)}"
            if draw.random() < 0.1:
                key = f"{tenant}/{device}".encode()
                found.append((Message(partition, offset, START_MS, key, None), None))
                continue
            state = device_status(
                device,
                draw.choice(STATUSES),
                tenant_id=tenant,
                deployment_group=draw.choice(GROUPS),
                model_version=draw.choice(MODELS),
            )
            found.append((message(Topic.DEVICE_STATUS, state, offset, partition), state))
    return found


def last_states(sent):
    """Return the state of each device that has one; messages are in the order of their topic."""
    last = {}
    for each, state in sent:
        if state is None:
            last.pop(tuple(each.key.decode().split("/")), None)
        else:
            last[state["tenant_id"], state["device_id"]] = state
    return list(last.values())


def expected(states, tenants, group=None):
    """Return the counts by tenant, group and model."""
    kept = [s for s in states if s["tenant_id"] in tenants]
    kept = [s for s in kept if group in {None, s["deployment_group"]}]
    kinds = {(s["tenant_id"], s["deployment_group"], s["model_version"]): Counter() for s in kept}
    for s in kept:
        kinds[s["tenant_id"], s["deployment_group"], s["model_version"]].update(
            ["devices", s["status"]]
        )
    return [
        (*kind, *(found[name] for name in COUNTED), offline_ratio(found))
        for kind, found in sorted(kinds.items())
    ]


def offline_ratio(found):
    return pytest.approx((found["warning"] + found["critical"]) / found["devices"], abs=5.1e-5)


def fleet(address, tenant_id=None, **options):
    given = {Option(name): value for name, value in options.items()}
    asked = Asked(NamedQuery.FLEET, (), given, tenant_id)

    def ask(sql):
        return frame_of(answer(address, Question(sql, tenant_id), QueryLimits()))

    return answer_named(ask, asked, Lengths(), START_MS).frame.rows()


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    print("seed", SEED)
    draw = random.Random(SEED)
    sent = changes(draw)
    arriving = [each for each, _ in sent]
    arriving += draw.sample(arriving, CHANGES // 4)  # some come twice
    draw.shuffle(arriving)
    with open_database(database_address(tmp_path_factory.mktemp("fleet"))) as database:
        database.client.command("SYSTEM STOP MERGES device_status")
        for number in range(PART_COUNT):
            part = arriving[number::PART_COUNT]
            rows = rows_of(Topic.DEVICE_STATUS, part, schema_of_id(Topic.DEVICE_STATUS)).table
            offsets = (OffsetRange(0, number, number),)
            entry = LedgerEntry("device-status", number + 1, offsets, rows.num_rows)
            database.writer.load(DEVICE_STATUS, entry, rows)
        yield database, last_states(sent)


def parts(database):
    return database.value(
        "SELECT toInt64(count()) FROM system.parts WHERE active AND table = 'device_status'"
    )


def require_all_answers(database, states):
    assert len(states) < len(TENANTS) * DEVICES, "some devices are gone"
    address = database.address
    assert fleet(address) == expected(states, TENANTS)
    for tenant in TENANTS:
        assert fleet(address, tenant) == expected(states, {tenant})
        # A device that has left a group must not show there with an older state.
        for group in GROUPS:
            assert fleet(address, tenant, group=group) == expected(states, {tenant}, group)
    assert fleet(address, "nobody") == []


def test_the_fleet_now_has_the_last_state_of_each_device_before_and_after_parts_merge(stored):
    database, states = stored
    assert parts(database) == PART_COUNT
    require_all_answers(database, states)
    database.client.command("SYSTEM START MERGES device_status")
    database.client.command("OPTIMIZE TABLE device_status FINAL")
    assert parts(database) == 1
    require_all_answers(database, states)


def test_the_fleet_now_agrees_with_the_devices_now(stored):
    database, _ = stored
    by_device = database.rows(
        "SELECT tenant_id, deployment_group, model_version, count(), max(status_since) "
        "FROM v_device_now GROUP BY ALL ORDER BY ALL"
    )
    found = database.rows(
        "SELECT tenant_id, deployment_group, model_version, devices, last_change "
        "FROM v_fleet_now ORDER BY ALL"
    )
    assert found == by_device
