"""Findings on the topic and as rows: nothing of them is lost on the way."""

import math
from dataclasses import fields
from datetime import UTC, datetime

import pytest

from schemas.codec import decode_messages
from schemas.records import decode_record, schema_of
from schemas.topics import Topic
from sinks.messages import Message
from sinks.table_rows import rows_of
from tests.drift_findings import START_MS, WHOLE, finding
from udfs.drift.finding_messages import finding_of, finding_record, finding_result
from udfs.drift.findings import DriftFinding, Sample, Severity

BARE = finding(baseline=None, shift_sigma=None, before=Sample(), after=Sample(), changed_tags=())


@pytest.mark.parametrize("sent", [WHOLE, BARE, finding(log10_e=math.inf)])
def test_a_finding_is_read_back_as_it_was_sent(sent: DriftFinding) -> None:
    result = finding_result("drift", 7, sent)
    assert result.key == b"t0/cam-1"
    assert finding_of(decode_record(Topic.DRIFT, result.value or b"")) == sent


def test_the_schema_has_every_field_of_a_finding_and_no_other() -> None:
    schema = {field["name"] for field in schema_of(Topic.DRIFT)["fields"]}
    assert schema == set(finding_record(WHOLE))
    assert len(schema) == len(fields(DriftFinding))


def test_a_block_of_findings_is_decoded_as_one_by_one() -> None:
    sent = [WHOLE, BARE, finding(severity=Severity.WATCH)]
    values = [finding_result("drift", 7, each).value for each in sent]
    block = decode_messages(Topic.DRIFT, values, lambda _: schema_of(Topic.DRIFT))
    assert block.rejected == []
    assert block.messages["severity"].to_list() == ["major", "major", "watch"]
    assert [b and b["window_count"] for b in block.messages["baseline"]] == [1000, None, 1000]


def test_the_rows_of_the_table_lay_the_records_flat() -> None:
    values = [finding_result("drift", 7, each).value for each in (WHOLE, BARE)]
    messages = [Message(0, n, START_MS, b"k", value) for n, value in enumerate(values)]
    whole, bare = rows_of(Topic.DRIFT, messages, lambda _: schema_of(Topic.DRIFT)).table.to_pylist()
    assert whole["after_edges"] == [5.5, 6.5]
    assert whole["after_counts"] == [4]
    assert whole["before_mean"] == 4.5
    assert whole["baseline_until"] == datetime.fromtimestamp(START_MS / 1000, UTC)
    assert (bare["baseline_id"], bare["baseline_window_count"], bare["is_provisional"]) == (
        "", 0, False,
    )  # fmt: skip
    assert (bare["baseline_from"], bare["before_mean"], bare["before_edges"]) == (None, None, [])
