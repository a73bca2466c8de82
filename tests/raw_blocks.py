"""Messages of a keyed topic as a job reads them."""

import numpy as np

from tests.strategies import NOON_MS
from udfs.telemetry_blocks import RawBlock


def keyed_block(topic, messages, headers=None):
    """Lay (key, value) messages into one partition, from offset 40 on, a millisecond apart."""
    return RawBlock(
        topics=[topic] * len(messages),
        keys=[key for key, _ in messages],
        values=[value for _, value in messages],
        append_time_ms=NOON_MS + np.arange(len(messages)),
        partitions=np.full(len(messages), 2, np.int32),
        offsets=40 + np.arange(len(messages)),
        headers=headers or {},
    )
