"""Window deltas on the wire: exact sums of any size, and messages that stay within their limits."""

import math

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from schemas.records import decode_record, encode_record, schema_of
from schemas.topics import Topic
from udfs.cell_sums import SQUARE_LARGE_SHIFT
from udfs.wide_integers import add_shifted, limbs_128, little_endian
from udfs.window_messages import ROWS_MAX_BYTES, ROWS_MAX_COUNT, window_messages

ID = 7
MESSAGE_LIMIT_BYTES = 900 * 1024
INT_MIN, INT_MAX = -(2**127), 2**127 - 1
WIDE = st.integers(INT_MIN, INT_MAX) | st.sampled_from(
    [0, -1, 2**63, -(2**63), 2**64 - 1, 2**64, -(2**64), INT_MIN, INT_MAX]
)
ROW = {
    "tenant_id": "t",
    "scope": "device",
    "shard": 3,
    "device_id": "d",
    "deployment_group": "",
    "model_version": "v1",
    "metric": "cpu",
    "window_start": 1_790_000_100_000,
    "window_ms": 300_000,
    "bins": [-1281, 0, 1281],
    "bin_counts": [1, 2, 2**40],
    "count": 2**40 + 3,
    "sum_fixed": -5,
    "square_small": 2**100,
    "square_large": 3,
    "nan_count": 1,
    "out_of_range_count": 2,
    "skewed_count": 3,
    "duplicate_count": 4,
    "min": -math.inf,
    "max": 0.1,
}
WIDE_NAMES = ("sum_fixed", "square_small", "square_large")
TYPES = dict.fromkeys(WIDE_NAMES, pl.Int128) | {
    "shard": pl.Int32,
    "device_id": pl.String,
    "window_ms": pl.Int32,
    "bins": pl.List(pl.Int32),
    "bin_counts": pl.List(pl.Int64),
}


def deltas_of(rows) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict.fromkeys(ROW) | TYPES)


def record_of(row):
    """Return a row as it stands in the message, worked out with Python's integers."""
    square = row["square_small"] + (row["square_large"] << SQUARE_LARGE_SHIFT)
    kept = {
        name: value for name, value in row.items() if name not in (*WIDE_NAMES, "bins", "shard")
    }
    return kept | {
        "sum_fixed": row["sum_fixed"].to_bytes(16, "little", signed=True),
        "sum_sq_fixed": square.to_bytes(32, "little", signed=True),
        "histogram": {"bins": row["bins"], "counts": kept.pop("bin_counts")},
        "missing_count": 0,
    }


@given(st.lists(st.tuples(WIDE, WIDE), max_size=20), st.sampled_from([1, 60, 63]))
@example([(-1, 0), (2**64 - 1, 2**4), (INT_MAX, INT_MAX), (INT_MIN, INT_MIN)], 60)
@settings(max_examples=60)
def test_sums_of_256_bits_are_those_of_python(pairs, shift):
    types = {"a": pl.Int128, "b": pl.Int128}
    limbs = limbs_128(pl.DataFrame(pairs, schema=types, orient="row"), ("a", "b"))
    expected = [(a + (b << shift)).to_bytes(32, "little", signed=True) for a, b in pairs]
    assert little_endian(add_shifted(limbs["a"], limbs["b"], shift)).to_list() == expected
    singles = [a.to_bytes(16, "little", signed=True) for a, _ in pairs]
    assert little_endian(limbs["a"]).to_list() == singles


@given(st.lists(st.tuples(WIDE, WIDE, WIDE, st.none() | st.just("d")), min_size=1, max_size=5))
@settings(max_examples=30)
def test_a_message_is_byte_for_byte_what_the_reference_makes_of_its_rows(drawn):
    rows = [ROW | dict(zip((*WIDE_NAMES, "device_id"), values, strict=True)) for values in drawn]
    (message,) = window_messages(deltas_of(rows), ID)
    records = [record_of(row) for row in rows]
    assert message.key == b"t/3"
    assert message.value == encode_record(Topic.WINDOWS, {"rows": records}, ID)


def test_tenants_have_messages_of_their_own_and_their_rows_keep_their_order():
    #  rows     a0 b1 a2 ü3 b4 a5
    #  messages a: 0 2 5 | b: 1 4 | ü: 3
    tenants = ["a", "b", "a", "ü", "b", "a"]
    rows = [ROW | {"tenant_id": t, "nan_count": i} for i, t in enumerate(tenants)]
    found = {
        message.key.decode(): [
            row["nan_count"] for row in decode_record(Topic.WINDOWS, message.value)["rows"]
        ]
        for message in window_messages(deltas_of(rows), ID)
    }
    assert found == {"a/3": [0, 2, 5], "b/3": [1, 4], "ü/3": [3]}


def test_the_key_names_the_shard_of_a_device_and_else_the_group():
    group = {"scope": "group", "shard": None, "device_id": None, "deployment_group": "north"}
    tenant = group | {"scope": "tenant", "deployment_group": "", "model_version": ""}
    rows = [ROW, ROW | tenant, ROW | group, ROW | {"shard": 12}]
    keys = [message.key for message in window_messages(deltas_of(rows), ID)]
    assert sorted(keys) == [b"t/", b"t/12", b"t/3", b"t/north"]


def test_no_deltas_are_no_messages():
    assert list(window_messages(deltas_of([ROW]).clear(), ID)) == []


@pytest.mark.parametrize("bin_count", [0, 1, 700, 7_681])
def test_messages_are_bounded_by_rows_and_by_bytes_and_carry_every_row(bin_count):
    bins = {"bins": list(range(bin_count)), "bin_counts": [2**50] * bin_count}
    row_count = 2 * ROWS_MAX_COUNT + 1 if bin_count < 2 else 4 * ROWS_MAX_BYTES // (bin_count * 10)
    rows = deltas_of([ROW | bins]).select(pl.all().repeat_by(row_count).explode())
    rows = rows.with_columns(window_start=pl.int_range(pl.len()))
    messages = list(window_messages(rows, ID))
    sizes = [len(message.value) for message in messages]
    counts = [decode_record(Topic.WINDOWS, message.value)["rows"] for message in messages]
    starts = [row["window_start"] for part in counts for row in part]
    assert starts == list(range(row_count)), "in order, none lost, none twice"
    assert max(sizes) < MESSAGE_LIMIT_BYTES
    assert max(len(part) for part in counts) <= ROWS_MAX_COUNT
    assert len(messages) == math.ceil(row_count / max(len(part) for part in counts))


def test_a_row_over_the_limit_of_bytes_is_alone():
    long = {"metric": "x" * (ROWS_MAX_BYTES + 1)}
    rows = [ROW, ROW | long, ROW, ROW]
    counts = [
        len(decode_record(Topic.WINDOWS, message.value, schema_of(Topic.WINDOWS))["rows"])
        for message in window_messages(deltas_of(rows), ID)
    ]
    assert counts == [1, 1, 2]
