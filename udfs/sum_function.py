"""The vectorised Flink function that turns judged sections into the messages of the job's sink.

It is stateless per Arrow batch, as the decode function is. What many sections come to stands in
the batch's first row; rows without a message are NULL and are filtered out in SQL.
"""

from typing import Any

import pandas as pd
from pyflink.table import ScalarFunction

from udfs.block_results import AggregateTopics, block_results
from udfs.results import pack_results
from udfs.shards import Section, SectionKind
from udfs.windows import WindowPolicy


class SumBlocks(ScalarFunction):
    """Sums judged sections of all shards.

    Args:
        policy: of the windows.
        topics: where the results go.
    """

    def __init__(self, policy: WindowPolicy, topics: AggregateTopics) -> None:
        self.policy = policy
        self.topics = topics

    def eval(self, *columns: "pd.Series[Any]") -> "pd.Series[Any]":
        """Sum one Arrow batch of (shard, kind, payload)."""
        sections = [
            Section(SectionKind(kind), shard, payload)
            for shard, kind, payload in zip(*(c.tolist() for c in columns), strict=True)
        ]
        results = block_results(sections, self.policy, self.topics)
        return pd.Series([pack_results(own) if own else None for own in results])
