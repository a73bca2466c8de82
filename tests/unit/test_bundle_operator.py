"""Bundles of Python workers end at once."""

import time

from apache_beam.runners.worker import statesampler
from apache_beam.utils.counters import CounterFactory

from udfs.bundle_operator import end_bundles_at_once

BUNDLES = 50
USUAL_MS = 2
"""After which Beam's thread looks for the first time: a bundle lasts as long at least."""


def test_bundles_that_do_nothing_end_before_anybody_could_have_looked_at_them():
    sampler = statesampler.StateSampler("bundle", CounterFactory())
    end_bundles_at_once()
    began_s = time.process_time(), time.perf_counter()
    for _ in range(BUNDLES):
        sampler.reset()
        sampler.start()
        assert statesampler.get_current_tracker() is sampler
        sampler.stop_if_still_running()
        assert statesampler.get_current_tracker() is None
    # Beside other programs a step may wait for its turn, but not every one.
    assert time.perf_counter() - began_s[1] < BUNDLES * USUAL_MS / 1000


def test_a_bundle_that_began_before_still_ends():
    sampler = statesampler.StateSampler("bundle", CounterFactory())
    sampler.start()
    end_bundles_at_once()
    sampler.stop_if_still_running()
    sampler.stop_if_still_running()
    assert sampler.finished
