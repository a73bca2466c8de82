"""What the drift job takes of the rows of `windows`: histograms, and the sums of model versions."""

import polars as pl

from schemas.records import schema_of
from schemas.topics import Topic
from tests.alert_logs import at
from tests.drift_chain import DriftChain
from tests.oracle.threshold_oracle import Heard
from tests.rules_chain import Aggregate, raw_windows
from udfs.drift.window_rows import DRIFT_ROWS, MODEL_VERSION, model_version_rows
from udfs.frame_bytes import unpack_frames
from udfs.window_blocks import subject_shards, window_sections

METRICS = ("predicted_class", "temp")


def rows_of_shards(shard_count):
    """Rows of two groups that run one version, by shard."""
    points = tuple((metric, at("12:00:05"), 1.0) for metric in METRICS)
    log = [Heard(at("12:00:10"), f"d{n}", f"g{n % 2}", points) for n in range(4)]
    written = Aggregate(30_000).windows(sorted(log), at("12:10:00"))
    sections = window_sections(
        raw_windows(written), lambda _: schema_of(Topic.WINDOWS), shard_count, DRIFT_ROWS
    )
    return {section.shard: unpack_frames(section.payload)["rows"] for section in sections}


def test_devices_carry_histograms_of_predictions_alone_and_groups_of_all():
    (rows,) = rows_of_shards(1).values()
    sizes = {
        (scope, metric): bins
        for scope, metric, bins in rows.select("scope", "metric", "bins").iter_rows()
    }
    assert sizes["device", "predicted_class"] == [1281]
    assert sizes["device", "temp"] == []
    assert sizes["group", "temp"] == [1281]


def test_the_rows_of_a_version_are_those_of_its_groups_under_one_name():
    (whole,) = rows_of_shards(1).values()
    of_groups = whole.filter(scope="group")
    assert len(model_version_rows(of_groups)) == 0, "no version is no subject"
    summed = model_version_rows(whole.with_columns(model_version=pl.lit("v7")))
    assert len(summed) == len(of_groups) > 0
    assert set(summed["subject"]) == {"v7"}
    assert set(summed["deployment_group"]) == {""}
    assert set(summed["scope"]) == {MODEL_VERSION}
    assert summed["count"].sum() == of_groups["count"].sum()
    names = summed.select("tenant_id", name="subject")
    assert subject_shards(names, 16).n_unique() == 1


def test_the_shard_hands_histograms_of_predictions_and_groups_to_their_detectors():
    log = [
        Heard(at("12:00:10") + n * 60_000, "d1", "g", ((m, at("12:00:05") + n * 60_000, 1.0),))
        for n in range(20)
        for m in ("temp", "predicted_class", "is_error")
    ]
    chain = DriftChain()
    chain.windows(Aggregate(30_000, is_gathered=True).windows(sorted(log), at("12:50:00")))
    shard = chain.shards[0].shard
    known = {
        name: set(book.known.select("scope", "metric").rows())
        for name, book in (
            ("distributions", shard.bank.members["distributions"].book),
            ("devices", shard.bank.members["predictions"].devices.book),
            ("groups", shard.bank.members["predictions"].groups.book),
        )
    }
    assert known["devices"] == {("device", "is_error")}
    assert known["groups"] == {("group", "is_error")}
    of_device = {("device", "predicted_class"), ("device", "is_error")}
    of_group = {("group", "temp"), ("group", "predicted_class"), ("group", "is_error")}
    assert known["distributions"] == of_device | of_group
