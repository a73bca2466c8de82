"""The simulated fleet, of which some devices fall silent for good, at instants spread over a span.

Nothing else keeps a device from being heard, so who must be told of, and nobody else, is known.
"""

import argparse
import sys
from dataclasses import replace

from benchmarks.fleet import Fleet, build_fleet
from benchmarks.fleet_faults import NEVER_MS, NO_FAULTS, FaultPlan, FaultScript
from benchmarks.simulator import fleet_plan, run_simulation
from jobs.settings import Settings, load_settings

DEATH_RATIO = 0.01
"""Far below what is an emergency."""
WARM_UP_S = 60
"""Every device has been heard once."""
SENT_AGAIN = FaultPlan().resend_ratio


def dying_plan(span_s: float) -> FaultPlan:
    """Return the plan whose devices die within `span_s` after the warm-up."""
    first_ms = WARM_UP_S * 1000
    span_ms = (first_ms, first_ms + round(span_s * 1000))
    return replace(NO_FAULTS, death_ratio=DEATH_RATIO, death_ms=span_ms, resend_ratio=SENT_AGAIN)


def fleet_of(settings: Settings) -> Fleet:
    """Return the fleet that the settings ask for."""
    return build_fleet(fleet_plan(settings))


def dying_device_ids(settings: Settings, span_s: float) -> list[str]:
    """Return who falls silent."""
    fleet = fleet_of(settings)
    dead_from_ms = FaultScript(fleet, dying_plan(span_s)).dead_from_ms
    return [
        device_id
        for device_id, dead_ms in zip(fleet.device_ids, dead_from_ms.tolist(), strict=True)
        if dead_ms < NEVER_MS
    ]


def main() -> int:
    """Send until stopped; the only argument is the span in seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("span_s", type=float)
    given = parser.parse_args()
    run_simulation(load_settings(), duration_s=None, faults=dying_plan(given.span_s))
    return 0


if __name__ == "__main__":
    sys.exit(main())
