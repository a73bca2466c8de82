"""How far the aggregate job has come with a log, by what it writes to the account.

    accounts    |- 500,000 points -|- 490,000 -| ...    each with the instant of its writing
                ^ begin                        ^ end     points between them = all but the first

The first block pays for the start of everything, so it begins the measured span and is not in it.
"""

import threading
from dataclasses import dataclass

import numpy as np

from benchmarks.topic_tap import TopicTap
from jobs.settings import Settings
from schemas.records import decode_record
from schemas.topics import Topic
from udfs.accounts import Outcome, Unit

SETTLED = (Outcome.ACCEPTED, Outcome.DUPLICATE)


@dataclass(frozen=True)
class Span:
    """A measured part of a run.

    Args:
        begin_s: UTC seconds.
        end_s: likewise.
        points: settled after the begin, until the end.
    """

    begin_s: float
    end_s: float
    points: int

    @property
    def wall_s(self) -> float:
        """Return its length."""
        return self.end_s - self.begin_s


class DrainTap:
    """Reads the account of the aggregate job, from a thread of its own, while the block runs.

    Args:
        settings: of a running broker, with the prefix of the log.
    """

    def __init__(self, settings: Settings) -> None:
        self._lock = threading.Lock()
        self._points_at: dict[int, int] = {}
        self.committed_s: float | None = None
        """When the last entry so far came to a reader of committed messages, UTC seconds."""
        self._tap = TopicTap(settings, Topic.ACCOUNTS, self.on_account)

    def __enter__(self) -> "DrainTap":
        """Start to read."""
        self._tap.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        """End the thread."""
        self._tap.__exit__()

    def check(self) -> None:
        """Raise what has ended the thread."""
        self._tap.check()

    @property
    def settled(self) -> int:
        """Return the points that are accepted or duplicate, committed so far."""
        with self._lock:
            return sum(self._points_at.values())

    def span(self, skipped_ratio: float = 0.0) -> Span:
        """Return the span from an early block to the last.

        Args:
            skipped_ratio: share of the points, 0-1, that are warm-up; the first block always is.

        Raises:
            AssertionError: there are fewer than two blocks.
        """
        with self._lock:
            blocks = sorted(self._points_at.items())
        assert len(blocks) > 1, "the whole log was one block: a larger one is needed"
        settled = np.cumsum([points for _, points in blocks])
        first = int(np.searchsorted(settled[:-2], skipped_ratio * settled[-1]))
        points = int(settled[-1] - settled[first])
        return Span(blocks[first][0] / 1000, blocks[-1][0] / 1000, points)

    def on_account(self, value: bytes, sent_ms: int, arrived_ms: int) -> None:
        """Note a message of the account: when it was sent, and when it came; UTC ms."""
        rows = decode_record(Topic.ACCOUNTS, value)["rows"]
        points = sum(
            row["count"] for row in rows if row["unit"] == Unit.POINT and row["outcome"] in SETTLED
        )
        with self._lock:
            if points > 0:
                self._points_at[sent_ms] = self._points_at.get(sent_ms, 0) + points
                self.committed_s = arrived_ms / 1000
