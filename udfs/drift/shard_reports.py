"""What a shard of drift tells the stage where all shards meet, and how it travels there.

head      shard, and how far it has come           every step of the clock, and with all below
found     findings, each with its step             as messages of the topic
alerts    events about single subjects             JSON
near, sizes                                        groups: see `udfs/drift/company.py`
plans, ends, units                                 rollouts: see `udfs/drift/rollout_judging.py`
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import polars as pl

from schemas.records import decode_record, encode_record
from schemas.topics import Topic
from udfs.alerts import AlertRecord
from udfs.drift.canary_policy import CanaryPolicy
from udfs.drift.canary_state import units_frame, units_of_frame
from udfs.drift.company import Company
from udfs.drift.finding_messages import finding_of, finding_record
from udfs.drift.findings import DriftFinding
from udfs.drift.rollout_gathering import RolloutNews
from udfs.drift.version_book import RolloutEnd, RolloutPlan
from udfs.frame_bytes import pack_frames

FOUND_SCHEMA: dict[str, Any] = {
    "step_ms": pl.Int64,
    "deployment_group": pl.String,
    "model_version": pl.String,
    "finding": pl.Binary,
}
_LOOK = ["tenant_id", "rollout_id", "look"]


@dataclass(frozen=True)
class Found:
    """A finding on its way.

    Args:
        step_ms: of the clock, at which it was found.
        deployment_group: of its subject; empty for a whole tenant.
        model_version: of its subject, empty where there are several.
        finding: what was found.
    """

    step_ms: int
    deployment_group: str
    model_version: str
    finding: DriftFinding


@dataclass(frozen=True)
class ShardReport:
    """What one shard says.

    Args:
        shard: its number.
        clock_ms: it will say nothing more of the time before.
        found: findings.
        alerts: events about single subjects.
        news: of rollouts.
        company: of its devices.
    """

    shard: int
    clock_ms: int
    found: list[Found] = field(default_factory=list)
    alerts: list[AlertRecord] = field(default_factory=list)
    news: RolloutNews = field(default_factory=RolloutNews)
    company: Company = field(default_factory=Company)


def report_bytes(report: ShardReport) -> bytes:
    """Write a report; what is empty takes no bytes."""
    news = report.news
    frames = {
        "found": found_frame(report.found),
        "alerts": _texts(report.alerts),
        "near": report.company.near,
        "sizes": report.company.sizes,
        "plans": _texts(asdict(plan) for plan in news.plans),
        "ends": _texts(asdict(end) for end in news.ends),
        "units": pl.concat([units_frame(look) for look in news.looks])
        if news.looks
        else _texts(()),
    }
    head = pl.DataFrame({"shard": [report.shard], "clock_ms": [report.clock_ms]})
    return pack_frames(
        {"head": head} | {name: frame for name, frame in frames.items() if len(frame)}
    )


def read_report(frames: Mapping[str, pl.DataFrame], policy: CanaryPolicy) -> ShardReport:
    """Read the frames that `report_bytes` wrote."""
    shard, clock_ms = frames["head"].select("shard", "clock_ms").row(0)
    looks = []
    if "units" in frames:
        parts = frames["units"].partition_by(_LOOK, maintain_order=True)
        looks = [units_of_frame(part, policy) for part in parts]
    news = RolloutNews(
        [RolloutPlan.of(values) for values in _values(frames, "plans")],
        [RolloutEnd(**values) for values in _values(frames, "ends")],
        looks,
    )
    alerts = _values(frames, "alerts")
    return ShardReport(shard, clock_ms, read_found(frames), alerts, news, read_company(frames))


def read_found(frames: Mapping[str, pl.DataFrame]) -> list[Found]:
    """Read the findings of a report."""
    if "found" not in frames:
        return []
    rows = frames["found"].select(*FOUND_SCHEMA).iter_rows()
    return [
        Found(step_ms, group, model, finding_of(decode_record(Topic.DRIFT, record)))
        for step_ms, group, model, record in rows
    ]


def read_company(frames: Mapping[str, pl.DataFrame]) -> Company:
    """Read what a report says of groups."""
    company = Company()
    return Company(frames.get("near", company.near), frames.get("sizes", company.sizes))


def found_frame(found: Iterable[Found]) -> pl.DataFrame:
    """Return findings as a frame that `read_found` reads under the name `found`."""
    rows = [_found_row(each) for each in found]
    return pl.DataFrame(rows, schema=FOUND_SCHEMA, orient="row")


def _found_row(found: Found) -> tuple[int, str, str, bytes]:
    record = encode_record(Topic.DRIFT, finding_record(found.finding), 0)
    return found.step_ms, found.deployment_group, found.model_version, record


def _texts(values: Iterable[Any]) -> pl.DataFrame:
    texts = [json.dumps(each) for each in values]
    return pl.DataFrame({"text": texts}, schema={"text": pl.String})


def _values(frames: Mapping[str, pl.DataFrame], name: str) -> list[Any]:
    if name not in frames:
        return []
    return [json.loads(text) for text in frames[name]["text"].to_list()]
