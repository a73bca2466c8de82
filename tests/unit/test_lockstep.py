"""Datums in lockstep: what is guessed of arrays, what is left to others, what is remembered."""

import random

import numpy as np
import pytest

from schemas.avro_lockstep import Lockstep, reading
from schemas.avro_shapes import plain_schema
from schemas.block_reader import BlockReader
from schemas.careful_reader import INDEX
from schemas.lockstep_arrays import LAYOUTS_MAX_COUNT, ArrayReading
from schemas.lockstep_cursors import PADDING, Body, Cursors
from tests.unit.test_block_reader import comparable, encoded, expected_of

RUNS = {
    "type": "array",
    "items": {
        "type": "record",
        "name": "Run",
        "fields": [
            {"name": "name", "type": "string"},
            {"name": "at", "type": "long"},
            {"name": "tags", "type": {"type": "map", "values": "string"}},
        ],
    },
}
RUN_SCHEMA = {
    "type": "record",
    "name": "Sent",
    "fields": [{"name": "device", "type": "string"}, {"name": "runs", "type": RUNS}],
}


def runs(draw, count):
    """Draw items of which many have the same size and not the same layout."""
    names, tags = ["a", "bb", "ccc", "é", "日本"], [{}, {}, {"k": "v"}, {"kk": "ü", "l": ""}]
    return [
        {
            "name": draw.choice(names),
            "at": draw.choice([0, 63, 64, 2**40, -1]),
            "tags": draw.choice(tags),
        }
        for _ in range(count)
    ]


@pytest.mark.parametrize("seed", range(6))
def test_arrays_of_one_size_and_another_layout_are_read_as_what_they_are(seed):
    """Layouts are guessed from arrays of earlier blocks: the guess must never be believed."""
    print("seed", seed)
    draw = random.Random(seed)
    reader = BlockReader(RUN_SCHEMA)
    for _ in range(8):
        kinds = [runs(draw, draw.choice([0, 1, 2, 3, 70])) for _ in range(draw.choice([1, 3, 30]))]
        records = [
            {"device": draw.choice(["d1", "d22", ""]), "runs": draw.choice(kinds)}
            for _ in range(draw.choice([1, 40, 200]))
        ]
        datums = [encoded(RUN_SCHEMA, record) for record in records]
        for bad in draw.sample(range(len(datums)), len(datums) // 20):
            at = draw.randrange(len(datums[bad]))
            datums[bad] = datums[bad][:at] + bytes([draw.randrange(256)]) + datums[bad][at + 1 :]
        read = reader.read(datums)
        found = {row.pop(INDEX): comparable(row) for row in read.records.to_dicts()}
        assert found == expected_of(RUN_SCHEMA, datums)
        assert sorted([*found, *(index for index, _ in read.refused)]) == list(range(len(datums)))


def test_a_long_array_among_short_ones_does_not_make_the_others_wait():
    """It is left to the reader of containers; a block of long ones is not."""
    draw = random.Random(1)
    short = [encoded(RUN_SCHEMA, {"device": "d", "runs": runs(draw, 2)}) for _ in range(150)]
    long_one = encoded(RUN_SCHEMA, {"device": "long", "runs": runs(draw, 5_000)})
    lockstep = Lockstep(plain_schema(RUN_SCHEMA))
    _, is_read = lockstep.read([*short, long_one], is_guessing=False)
    assert is_read.tolist() == [True] * 150 + [False]
    read = BlockReader(RUN_SCHEMA).read([*short, long_one])
    assert read.refused == []
    assert len(read.records["runs"][150]) == 5_000
    many = [encoded(RUN_SCHEMA, {"device": "d", "runs": runs(draw, 90)}) for _ in range(150)]
    _, is_read = lockstep.read(many, is_guessing=False)
    assert is_read.all()


def test_what_is_remembered_of_layouts_is_bounded():
    """Also when every message of a hostile writer has another one."""
    plain = plain_schema(RUN_SCHEMA)["fields"][1]["type"]
    array = ArrayReading(plain, reading(plain["items"]))
    for number in range(3 * LAYOUTS_MAX_COUNT // 10):
        names = ["n" * (10 * number + n) for n in range(10)]
        items = [{"name": name, "at": 0, "tags": {}} for name in names]
        datums = [encoded(RUN_SCHEMA, {"device": "", "runs": [item]})[1:] for item in items] * 3
        cursors = cursors_in(datums)
        lists = array.read(cursors)
        assert [each[0]["name"] for each in lists.to_list()] == names * 3
        assert (cursors.at == cursors.end).all()
    assert 0 < array.layout_count <= LAYOUTS_MAX_COUNT + 10


def cursors_in(datums):
    end = np.cumsum([len(datum) for datum in datums])
    start = np.concatenate([[0], end[:-1]])
    body = Body(b"".join([*datums, PADDING]), np.zeros(len(datums), np.bool_), is_guessing=True)
    return Cursors(body, start, end, np.arange(len(datums)))
