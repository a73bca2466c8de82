"""The state of threshold rules as bytes, and rows as they come from the topic.

The fixture was written by the first release with this layout. It is never written again: a new
layout gets a new version and a new fixture, and this must still restore.
"""

from pathlib import Path

import polars as pl
import pytest

from schemas.codec import decode_messages
from schemas.control import control_fields
from schemas.control_records import CONTROL_SCHEMA
from schemas.records import schema_of
from schemas.topics import Topic
from tests.alert_logs import Event, at
from tests.threshold_logs import Batch, Chain, ThresholdLog, rows_of, rule
from udfs.offline_policy import OfflinePolicy
from udfs.state_bytes import StateLayoutError, pack_state
from udfs.threshold_book import rule_changes
from udfs.threshold_bytes import shard_from_bytes, shard_to_bytes
from udfs.threshold_policy import ThresholdPolicy
from udfs.threshold_rows import ROW_SCHEMA, delta_rows, no_rows
from udfs.threshold_rules import on_windows
from udfs.window_messages import window_messages

FIXTURE = Path(__file__).parent.parent / "fixtures" / "state" / "threshold_v1.bin"
SCHEMA_ID = 3


def half_told_story() -> Chain:
    """Return a chain cut in the middle: an open breach, one that ended, quantiles, a change."""
    log = ThresholdLog().rule(rule(channels=["pager"])).rule(rule("p", aggregate="p90"))
    log.rule(rule("p", aggregate="p90", enabled=False), "12:40:00")
    for minute, value in enumerate([90, 90, 70, 70, 90, 95, 85], start=1):
        time_ms = at("12:00:00") + minute * 240_000
        log.batch("d", time_ms, [(time_ms, value), (time_ms - 1000, value + 3)])
    chain = Chain()
    log.events("12:29:00", chain)
    step = on_windows(
        chain.shards[0], no_rows(), log.changes[2:], at("12:29:00"), chain.policy, OfflinePolicy()
    )
    chain.shards[0] = step.state
    return chain


def rest_of(packed: bytes) -> list[Event]:
    """Return what comes of a state when a late batch and an hour follow."""
    late = Batch(at("12:30:00"), "d", (("temp", at("12:21:00"), 1.0),))
    shard = shard_from_bytes(packed)
    policy = ThresholdPolicy()
    return on_windows(shard, rows_of([late]), [], at("13:30:00"), policy, OfflinePolicy()).events


def test_a_state_of_the_first_release_restores_and_goes_on() -> None:
    events = rest_of(FIXTURE.read_bytes())
    assert events == rest_of(shard_to_bytes(half_told_story().shards[0]))
    assert [(event["labels"]["rule_id"], event["reason"]) for event in events] == [
        ("hot", "late_data_correction"),
        ("p", "rule_changed"),
        ("hot", None),  # 12:25, of a device silent since: judged at 12:40, after the change
    ]


def test_state_of_an_unknown_version_is_refused() -> None:
    with pytest.raises(StateLayoutError, match="version 99"):
        shard_from_bytes(pack_state(99, {}, {}))


def test_rows_of_the_topic_are_those_in_memory() -> None:
    batches = [
        Batch(at("12:00:00") + n, f"d{n % 3}", (("temp", at("12:00:00"), value),))
        for n, value in enumerate([1.5, -2.25, 1e12, -1e12, 0.1])
    ]
    rows = rows_of(batches)
    deltas = rows.with_columns(
        shard=pl.lit(0, pl.Int32), model_version=pl.lit("m"), square_small=pl.lit(0, pl.Int128),
        square_large=pl.lit(0, pl.Int128), nan_count=pl.lit(0, pl.Int64),
        out_of_range_count=pl.lit(0, pl.Int64), skewed_count=pl.lit(0, pl.Int64),
        duplicate_count=pl.lit(0, pl.Int64),
    )  # fmt: skip
    values = [message.value for message in window_messages(deltas, SCHEMA_ID)]
    found = decode_messages(Topic.WINDOWS, values, lambda _: schema_of(Topic.WINDOWS)).items
    place = {"append_time_ms": pl.lit(0), "offset": pl.lit(0)}
    order = ["scope", "device_id", "window_start", "sum_fixed"]
    wired = delta_rows(found.with_columns(**place)).sort(order)
    expected = rows.with_columns(**place).cast(ROW_SCHEMA).sort(order)  # type: ignore[arg-type]  # a schema as all others
    assert wired.equals(expected)


def test_only_rules_of_the_control_topic_change_rules_and_a_silence_rule_takes_a_name_over() -> (
    None
):
    silence = {"type": "rule", "rule_id": "hot", "scope": {"tenant_id": "acme"}}
    mute = {"type": "mute", "scope": {"tenant_id": "acme"}, "from": 0, "until": 5}
    texts = [pl.Series([each]).struct.json_encode()[0] for each in (silence, mute)]
    hot = rule().model_dump_json(by_alias=True, exclude_none=True)
    rows = [(n, n, text) for n, text in enumerate([hot, *texts])]
    changes = rule_changes(pl.DataFrame(rows, schema=CONTROL_SCHEMA, orient="row"))
    assert [change.key for change in changes] == [("acme", "hot")] * 2
    assert changes[0].rule is not None
    assert control_fields(changes[0].rule) == control_fields(rule())
    assert changes[1].rule is None
