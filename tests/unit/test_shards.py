"""Shards: a device never moves, every shard gets its share, a container gives back what it got."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from udfs.shards import (
    NO_SHARD,
    Section,
    SectionKind,
    device_hashes,
    pack_sections,
    shard_of,
    split_sections,
)


def test_a_device_keeps_its_hash_and_its_shard_in_every_release():
    # State lies in shards by these numbers: a change here loses the state of every device.
    tenants, devices = ["acme", "acme", "ü", "t", ""], ["cam-7", "cam-8", "設備", "d/1", ""]
    hashes = device_hashes(tenants, devices)
    assert hashes.tolist() == [
        16902980527473540076,
        8155207545735099893,
        14970757774456235145,
        18199262709255373556,
        5134827694651168302,
    ]
    assert shard_of(hashes, 64).tolist() == [44, 53, 9, 52, 46]
    assert shard_of(hashes, 1).tolist() == [0] * 5


def test_a_hundred_thousand_devices_fill_64_shards_evenly():
    names = [f"dev-{number:06}" for number in range(100_000)]
    shards = shard_of(device_hashes(["demo"] * len(names), names), 64)
    counts = np.bincount(shards, minlength=64)
    # Even is 1,562.5 with a standard deviation of 39: six of them on either side.
    assert counts.min() > 1562 - 6 * 39
    assert counts.max() < 1563 + 6 * 39


@given(st.lists(st.tuples(st.text(), st.text()), max_size=20), st.integers(1, 32_768))
def test_a_shard_depends_on_the_device_alone_and_lies_in_range(pairs, shard_count):
    together = device_hashes([t for t, _ in pairs], [d for _, d in pairs])
    alone = [int(device_hashes([tenant], [device])[0]) for tenant, device in pairs]
    assert together.tolist() == alone
    shards = shard_of(together, shard_count)
    assert shards.dtype == np.int32
    assert all(0 <= shard < shard_count for shard in shards)


def test_the_shard_of_the_greatest_hash_does_not_overflow():
    greatest = np.array([2**64 - 1], dtype=np.uint64)
    assert shard_of(greatest, 32_768).tolist() == [32_767]


@given(
    st.lists(
        st.builds(Section, st.sampled_from(SectionKind), st.integers(NO_SHARD, 32_767), st.binary())
    )
)
def test_a_container_gives_back_its_sections_in_order(sections):
    assert list(split_sections(pack_sections(sections))) == sections
