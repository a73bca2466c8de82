"""Findings as messages of the topic `drift`, and back."""

from typing import Any

from schemas.records import Record, encode_record
from schemas.topics import Topic
from udfs.drift.findings import BaselineNote, DriftFinding, Rule, Sample, Severity, State
from udfs.results import Result

SAMPLES = ("before", "after")
ENUMS = {"rule": Rule, "state": State, "severity": Severity}
TIMES = {"first_seen_ms": "first_seen", "detected_at_ms": "detected_at"}
BASELINE_TIMES = {"from_ms": "from", "until_ms": "until"}
"""A time of the topic has its unit in its type, not in its name."""


def finding_result(topic: str, schema_id: int, finding: DriftFinding) -> Result:
    """Return a finding as a message; its key keeps those of one subject in order.

    Args:
        topic: name on the broker.
        schema_id: under which DriftFinding is registered.
        finding: any.
    """
    key = f"{finding.tenant_id}/{finding.subject}".encode()
    return Result(topic, key, encode_record(Topic.DRIFT, finding_record(finding), schema_id))


def finding_record(finding: DriftFinding) -> Record:
    """Return a finding as a record of `schemas/avro/drift_finding.avsc`."""
    record = _renamed(finding.to_values(), TIMES)
    record |= {name: str(record[name]) for name in ENUMS}
    if record["baseline"] is not None:
        record["baseline"] = _renamed(record["baseline"], BASELINE_TIMES)
    return record


def finding_of(record: Record) -> DriftFinding:
    """Return the finding that a record of the topic says."""
    values = _renamed(record, {wire: name for name, wire in TIMES.items()})
    values |= {name: kind(values[name]) for name, kind in ENUMS.items()}
    values |= {name: Sample(**_tuples(values[name])) for name in SAMPLES}
    if values["baseline"] is not None:
        names = {wire: name for name, wire in BASELINE_TIMES.items()}
        values["baseline"] = BaselineNote(**_renamed(values["baseline"], names))
    return DriftFinding(**_tuples(values))


def _renamed(values: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in values.items()}


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: tuple(value) if isinstance(value, list) else value for name, value in values.items()
    }
