"""Partitions of several topics, told apart: those of the shared topic, and of tenants' own.

    code    one integer a partition, the same everywhere: on the way between steps and in events
    index   where a shard keeps a partition's clock: by first sight, small, its own affair
    name    for people: "3" of the shared topic, "telemetry.acme/3" of a tenant's own

A code is a pure function of topic and number, so shards and the fleet stage agree without asking.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.topics import topic_tenants
from udfs.partition_clocks import PARTITION_MAX, Int64s

NO_LOG = -1
"""The code of devices that were never seen on any."""
NUMBER_BITS = 16
NUMBER_MASK = (1 << NUMBER_BITS) - 1
TENANT_BYTES = 5
"""Of the hash in a code: two of 1,000 tenants share one in a million fleets."""


def log_codes(topics: Sequence[str], partitions: npt.NDArray[Any], topic_prefix: str) -> Int64s:
    """Return the code of each record's partition, shape (n,).

    >>> codes = log_codes(["telemetry", "telemetry.acme"], np.array([3, 3]), "")
    >>> [int(code) for code in codes]
    [3, 57206928932864003]
    """
    distinct = sorted(set(topics))
    bases = map(_base, topic_tenants(distinct, topic_prefix))
    base_of = dict(zip(distinct, bases, strict=True))
    if len(base_of) == 1:
        return np.asarray(partitions.astype(np.int64) | base_of[topics[0]])
    return np.asarray(np.array([base_of[topic] for topic in topics], np.int64) | partitions)


def log_names(topics: Sequence[str], codes: Int64s, topic_prefix: str) -> dict[int, str]:
    """Return the name of each partition of a tenant's own topic, by code.

    Args:
        topics: of each record.
        codes: as `log_codes` gives them, shape (n,).
        topic_prefix: of every topic name.
    """
    found, rows = np.unique(codes, return_index=True)
    return {
        code: f"{topics[row].removeprefix(topic_prefix)}/{code & NUMBER_MASK}"
        for code, row in zip(found.tolist(), rows.tolist(), strict=True)
        if code > NUMBER_MASK
    }


def _base(tenant_id: str | None) -> int:
    if tenant_id is None:
        return 0
    digest = hashlib.blake2b(tenant_id.encode(), digest_size=TENANT_BYTES).digest()
    return int.from_bytes(digest, "big") << NUMBER_BITS


@dataclass(frozen=True)
class KnownLogs:
    """The partitions that a shard has met, by index.

    Args:
        codes: distinct.
        names: of the same length.
    """

    codes: tuple[int, ...] = ()
    names: tuple[str, ...] = ()

    @classmethod
    def shared(cls, count: int) -> "KnownLogs":
        """Return the first partitions of the shared topic, each at its own number."""
        return cls(tuple(range(count)), tuple(map(str, range(count))))

    def with_logs(self, codes: Iterable[int], names: Iterable[str]) -> "KnownLogs":
        """Return them with those that are new; of the shared topic all numbers below come too.

        So where there is only the shared topic, index and number are one.
        """
        known = dict(zip(self.codes, self.names, strict=True))
        for code, name in sorted(zip(codes, names, strict=True)):
            below = range(code) if code <= NUMBER_MASK and code not in known else ()
            for number in below:
                known.setdefault(number, str(number))
            known.setdefault(code, name)
        assert len(known) <= PARTITION_MAX, f"{len(known)} partitions"
        if len(known) == len(self.codes):
            return self
        return KnownLogs(tuple(known), tuple(known.values()))

    def indexes(self, codes: Int64s) -> Int64s:
        """Return where each of some known partitions is kept, shape (n,)."""
        place_of = {code: place for place, code in enumerate(self.codes)}
        distinct, inverse = np.unique(codes, return_inverse=True)
        return np.array([place_of[code] for code in distinct.tolist()], np.int64)[inverse]

    def codes_at(self, index: npt.NDArray[Any]) -> Int64s:
        """Return the code of each index, shape (n,); -1 stays -1."""
        return np.asarray(np.array([*self.codes, NO_LOG], np.int64)[index])

    def to_values(self) -> list[tuple[int, str]]:
        """Return everything for the state's bytes."""
        return list(zip(self.codes, self.names, strict=True))

    @classmethod
    def from_values(cls, stored: Iterable[Sequence[Any]]) -> "KnownLogs":
        """Return what `to_values` wrote."""
        pairs = [tuple(pair) for pair in stored]
        return cls(tuple(code for code, _ in pairs), tuple(name for _, name in pairs))
