"""What a running engine says of itself: its pulse on the topic, its gauges in Flink."""

import time

from jobs.engine_progress import engine_progress
from jobs.settings import Settings
from schemas.topics import Topic
from tests.integration.topic_reading import read_topic
from udfs.self_watch import BEAT_EVERY_MS

MOST_BEHIND_S = 60
"""Other work on the machine slows the engine; a minute would be a backlog."""


def assert_engine_watches_itself(settings: Settings) -> None:
    alerts = [message.record for message in read_topic(settings, Topic.ALERTS)]
    beats = [alert for alert in alerts if alert["type"] == "fleetpulse.alert.watchdog"]
    assert len(beats) >= 2
    assert {beat["time"] % BEAT_EVERY_MS for beat in beats} == {0}
    assert not any(beat["notify"] for beat in beats)
    progress = engine_progress(settings)
    assert progress is not None
    assert 0 <= time.time() - progress.settled_s < MOST_BEHIND_S
    assert progress.blind_partition_count == 0
