"""Lets a Python worker end its bundles at once.

Beam notes what a worker does by a thread that sleeps between two looks, each time a fifth longer,
up to 200 ms; the end of a bundle waits for it to wake up. Nobody reads what it notes.

    bundle  |-- work of 1 s ------------------|.. waits up to 200 ms ..|
    looks   | | |  |   |     |       |         .         |
"""

from typing import Any


def end_bundles_at_once() -> None:
    """Have this worker's bundles be looked at no more; twice is once."""
    # Workers have it loaded; elsewhere it takes a second.
    from apache_beam.runners.worker import statesampler  # noqa: PLC0415 - see above

    beam: Any = statesampler

    def start(sampler: Any) -> None:
        beam.set_current_tracker(sampler)
        sampler.started = True

    def stop(sampler: Any) -> None:
        # The thread of a bundle that began before ends by this, and nothing waits for it.
        sampler.finished = True
        beam.set_current_tracker(None)

    beam.StateSampler.start, beam.StateSampler.stop = start, stop
