"""A restart between two blocks: the state as its bytes bring it back."""

from udfs.aggregate import AggregateState
from udfs.dedup_state import dedup_from_bytes
from udfs.point_dedup import Bucket, Place


def restored(state: AggregateState) -> AggregateState:
    """Return a shard's state after it was stored and read again."""
    points = {
        Place.of_key(place.key): Bucket.from_bytes(bucket.to_bytes())
        for place, bucket in state.points.items()
    }
    return AggregateState(dedup_from_bytes(state.sequences.to_bytes()), points)
