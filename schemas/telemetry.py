"""What a telemetry message must satisfy beyond its Avro schema."""

from collections.abc import Sequence

import polars as pl

from schemas.codec import DecodedBlock, RejectedMessage
from schemas.errors import Reason

POINTS_MAX_COUNT = 10_000
NAME_MAX_BYTES = 128
TAGS_MAX_COUNT = 16
TENANT_MAX_BYTES = 128
DEVICE_MAX_BYTES = 256


def check_limits(block: DecodedBlock, topic_tenants: Sequence[str | None]) -> DecodedBlock:
    """Move the messages that break a wire limit to the rejected ones.

    Args:
        block: decoded telemetry.
        topic_tenants: for each message of the raw block, the tenant its topic belongs to; None for
            the shared topic.
    """
    owner = pl.Series("owner", topic_tenants, dtype=pl.String)
    identity = block.messages.with_columns(owner=owner.gather(block.messages["row"]))
    points = block.items.group_by("row").agg(
        point_count=pl.len(),
        name_bytes=pl.col("name").str.len_bytes().max(),
        tag_count=pl.col("tags").list.len().max(),
        has_empty_name=(pl.col("name") == "").any(),
    )
    judged = identity.join(points, on="row", how="left").select("row", reason=_reason())
    broken = judged.filter(pl.col("reason").is_not_null())
    if broken.is_empty():
        return block
    rejected = [
        RejectedMessage(row, Reason(reason), "over a wire limit or not the topic's tenant")
        for row, reason in broken.select("row", "reason").iter_rows()
    ]
    return DecodedBlock(
        block.messages.join(broken, on="row", how="anti", maintain_order="left"),
        block.items.join(broken, on="row", how="anti", maintain_order="left"),
        sorted([*block.rejected, *rejected], key=lambda message: message.row),
    )


def _reason() -> pl.Expr:
    tenant, device = pl.col("tenant_id"), pl.col("device_id")
    is_anonymous = (
        ~tenant.str.len_bytes().is_between(1, TENANT_MAX_BYTES)
        | ~device.str.len_bytes().is_between(1, DEVICE_MAX_BYTES)
        | tenant.str.contains("/", literal=True)
    )
    is_over_limit = (
        (pl.col("point_count") > POINTS_MAX_COUNT)
        | (pl.col("name_bytes") > NAME_MAX_BYTES)
        | (pl.col("tag_count") > TAGS_MAX_COUNT)
        | pl.col("has_empty_name")
    )
    return (
        pl.when(is_anonymous)
        .then(pl.lit(Reason.IDENTITY_INVALID.value))
        .when(pl.col("owner").is_not_null() & (pl.col("owner") != tenant))
        .then(pl.lit(Reason.TENANT_MISMATCH.value))
        .when(is_over_limit)
        .then(pl.lit(Reason.LIMIT_EXCEEDED.value))
    )
