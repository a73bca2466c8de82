"""What a telemetry message must satisfy beyond its Avro schema."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from schemas.codec import DecodedBlock, RejectedMessage
from schemas.errors import Reason
from schemas.topics import CLOCK_TENANT_ID

POINTS_MAX_COUNT = 10_000
NAME_MAX_BYTES = 128
TAGS_MAX_COUNT = 16
TAG_MAX_BYTES = 256
TENANT_MAX_BYTES = 128
DEVICE_MAX_BYTES = 256
CLAIM_MAX_BYTES = 128
"""Of a version, a group or a boot. Two of them stand in every window row that a point makes, so a
long one would multiply what its message costs."""
EARLIEST_MS = 1_420_070_400_000
"""2015-01-01: a device clock before it was never set."""
AHEAD_MAX_MS = 120_000
"""A device clock so far ahead of the append time is wrong: the append time stands instead."""
VALUE_MAX = 1e12
"""Magnitude of a point's value."""
CLAIMS = (
    "boot_id",
    "hardware_revision",
    "firmware_version",
    "model_version",
    "deployment_group",
)


@dataclass(frozen=True)
class _Breach:
    """The messages that break one rule.

    Args:
        rows: of the block; a row may come more than once.
    """

    rows: pl.Series
    reason: Reason
    detail: str


def is_skewed(ahead_max_ms: int = AHEAD_MAX_MS) -> pl.Expr:
    """Tell points whose device clock is not believed; columns timestamp and append_time_ms, UTC ms.

    Args:
        ahead_max_ms: how far a clock may be ahead of the append time.
    """
    is_ahead = pl.col("timestamp") > pl.col("append_time_ms") + ahead_max_ms
    return is_ahead | (pl.col("timestamp") < EARLIEST_MS)


def check_limits(block: DecodedBlock, topic_tenants: Sequence[str | None]) -> DecodedBlock:
    """Move the messages that break a wire limit to the rejected ones.

    Args:
        block: decoded telemetry.
        topic_tenants: for each message of the raw block, the tenant its topic belongs to; None for
            the shared topic.
    """
    broken: dict[int, RejectedMessage] = {}
    for breach in _breaches(block, topic_tenants):
        for row in breach.rows.unique().to_list():
            broken.setdefault(row, RejectedMessage(row, breach.reason, breach.detail))
    return block.without(list(broken.values()))


def _breaches(block: DecodedBlock, topic_tenants: Sequence[str | None]) -> Iterator[_Breach]:
    """Yield what is broken, the identity first: a message is rejected for its first breach."""
    owner = pl.Series("owner", topic_tenants, dtype=pl.String).gather(block.messages["row"])
    yield from _identity_breaches(block.messages.with_columns(owner))
    yield from _message_breaches(block)
    yield from _point_breaches(block.items)


def _identity_breaches(messages: pl.DataFrame) -> Iterator[_Breach]:
    tenant, device = pl.col("tenant_id"), pl.col("device_id")
    is_tenant_broken = (
        ~tenant.str.len_bytes().is_between(1, TENANT_MAX_BYTES)
    ) | tenant.str.contains("/", literal=True)
    detail = f"tenant_id is not of 1 to {TENANT_MAX_BYTES} bytes without a slash"
    yield _rows(messages, is_tenant_broken, Reason.IDENTITY_INVALID, detail)
    is_device_broken = ~device.str.len_bytes().is_between(1, DEVICE_MAX_BYTES)
    detail = f"device_id is not of 1 to {DEVICE_MAX_BYTES} bytes"
    yield _rows(messages, is_device_broken, Reason.IDENTITY_INVALID, detail)
    # A tick is nobody's: each topic's own clock must go on.
    is_foreign = (pl.col("owner") != tenant) & (tenant != CLOCK_TENANT_ID)
    detail = "tenant_id is not the tenant of the topic"
    yield _rows(messages, is_foreign, Reason.TENANT_MISMATCH, detail)


def _message_breaches(block: DecodedBlock) -> Iterator[_Breach]:
    is_long = pl.any_horizontal(pl.col(CLAIMS).str.len_bytes() > CLAIM_MAX_BYTES)
    detail = f"one of {', '.join(CLAIMS)} is over {CLAIM_MAX_BYTES} bytes"
    yield _rows(block.messages, is_long, Reason.LIMIT_EXCEEDED, detail)
    runs = block.items["row"].rle().struct.unnest()
    detail = f"over {POINTS_MAX_COUNT} points"
    many = runs.filter(pl.col("len") > POINTS_MAX_COUNT)["value"]
    yield _Breach(many, Reason.LIMIT_EXCEEDED, detail)
    # A clock tick is dropped after it was heard: points in it would be lost without a trace.
    ticks = block.messages.filter(pl.col("tenant_id") == CLOCK_TENANT_ID)["row"]
    with_points = ticks.filter(ticks.is_in(runs["value"].implode()))
    yield _Breach(with_points, Reason.IDENTITY_INVALID, "a clock tick has points")


def _point_breaches(points: pl.DataFrame) -> Iterator[_Breach]:
    is_misnamed = ~pl.col("name").str.len_bytes().is_between(1, NAME_MAX_BYTES)
    detail = f"a point's name is not of 1 to {NAME_MAX_BYTES} bytes"
    yield _rows(points, is_misnamed, Reason.LIMIT_EXCEEDED, detail)
    tag_count = pl.col("tags").list.len()
    detail = f"a point has over {TAGS_MAX_COUNT} tags"
    yield _rows(points, tag_count > TAGS_MAX_COUNT, Reason.LIMIT_EXCEEDED, detail)
    tags = points.select("row", "tags").filter(tag_count > 0).explode("tags").unnest("tags")
    is_long = pl.max_horizontal(pl.col("key", "value").str.len_bytes()) > TAG_MAX_BYTES
    detail = f"a tag's name or text is over {TAG_MAX_BYTES} bytes"
    yield _rows(tags, is_long, Reason.LIMIT_EXCEEDED, detail)


def _rows(table: pl.DataFrame, is_broken: pl.Expr, reason: Reason, detail: str) -> _Breach:
    return _Breach(table.filter(is_broken)["row"], reason, detail)
