"""One run: a stack of its own, a faulty fleet that sends all the while, one fault, the judgement.

up -> fleet and poison send -> results come -> fault -> results come again -> fleet goes on
   -> all is sent, the clock ends -> every row against the oracle -> down
"""

import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fleet import build_fleet
from benchmarks.fleet_faults import MINUTE_MS, FaultPlan, FaultScript
from benchmarks.simulator import FleetSender, fleet_plan
from jobs.local_stack import LocalStack
from jobs.ports import free_port_settings
from jobs.settings import Settings
from tests.chaos.committed_reader import CommittedReader, RecoveryWatch, now_ms
from tests.chaos.faults import Fault
from tests.chaos.judgement import Judgement, judge
from tests.chaos.victims import Victims, wait_for
from tests.integration.poison import PoisonSender
from tests.integration.tenant_topic import create_tenant_topic

DEVICE_COUNT = 200
SPEED = 30.0
SENDING_AFTER_S = 12.0
"""How long the fleet goes on when results come again."""
DEVICE_WINDOW_S, GROUP_WINDOW_S = 20, 5

# A cycle of 24 minutes lasts 48 s at this speed: each run sees some of everything.
FLEET_FAULTS = FaultPlan(
    cycle_ms=24 * MINUTE_MS,
    silence_ratio=0.1,
    silence_start_ms=(2 * MINUTE_MS, 10 * MINUTE_MS),
    silence_length_ms=(3 * MINUTE_MS, 10 * MINUTE_MS),
    site_outage_ms=(11 * MINUTE_MS, 16 * MINUTE_MS),
    death_ms=(4 * MINUTE_MS, 12 * MINUTE_MS),
    drift_start_ms=10 * MINUTE_MS,
    ahead_ratio=0.1,
    epoch_ratio=0.1,
    delay_ratio=0.1,
    resend_ratio=0.1,
    nan_ratio=0.2,
)


@dataclass(frozen=True)
class Recovery:
    """How one fault was got over.

    Args:
        recovery_s: from the fault until a result that was written after it could be read; of
            several in one fault the longest.
        usual_wait_s: how long an open transaction held a reader of committed results before it.
        reader_wait_s: the same from the fault on, at most.
    """

    recovery_s: float
    usual_wait_s: float
    reader_wait_s: float


def run_faults(
    faults: Sequence[Fault], folder: Path, seed: int
) -> tuple[list[Recovery], Judgement]:
    """Start a stack, do the harm while a fleet sends, and judge all that was written.

    Args:
        faults: one after another, each when the one before it is got over.
        folder: of the stack.
        seed: of the fleet and of the faults' moments.
    """
    draw = random.Random(seed)
    with ExitStack() as ending, LocalStack(chaos_settings(folder, seed)) as stack:
        settings, victims = stack.settings, Victims(stack)
        ending.callback(victims.end_orphans)
        create_tenant_topic(settings)
        with (
            CommittedReader(settings) as reader,
            PoisonSender(settings) as poison,
            sending_fleet(settings),
        ):
            recoveries = [_suffer(fault, victims, draw, reader) for fault in faults]
            time.sleep(SENDING_AFTER_S)  # the fleet's time, no condition
        sent = poison.sent
        del poison  # its producers would complain of a broker that is ended
        stack.stop_process("clock")
        return recoveries, judge(settings, sent)


def _suffer(
    fault: Fault, victims: Victims, draw: random.Random, reader: CommittedReader
) -> Recovery:
    # Two checkpoints of a fleet that sends.
    first_ms = now_ms() + 2 * victims.settings.flink.checkpoint_interval_ms
    reader.forget_waits()
    wait_for(lambda: reader.has_read_of(first_ms), "results before the fault")
    usual_wait_s = reader.longest_wait_s
    reader.forget_waits()
    watch = RecoveryWatch(reader)
    fault.strike(victims, draw, watch)
    watch.wait_until_recovered()
    return Recovery(watch.longest_s, usual_wait_s, reader.longest_wait_s)


def chaos_settings(folder: Path, seed: int) -> Settings:
    """Return the settings of a small stack whose windows are short."""
    return free_port_settings(
        folder,
        kafka={"partition_count": 3, "tick_interval_s": 1.0},
        flink={"shard_count": 16},
        windows={"device_window_s": DEVICE_WINDOW_S, "group_window_s": GROUP_WINDOW_S},
        offline={"warning_after_s": 6, "critical_after_s": 20, "resolve_hold_s": 5},
        fleet={"device_count": DEVICE_COUNT, "seed": seed, "speed": SPEED},
    )


@contextmanager
def sending_fleet(settings: Settings) -> Iterator[None]:
    """Let the fleet send while the block runs; on the way out all it sent is acknowledged."""
    sender = FleetSender(settings, FaultScript(build_fleet(fleet_plan(settings)), FLEET_FAULTS))
    sender.register_devices()
    stop = threading.Event()
    thread = threading.Thread(target=sender.send_until, args=(None, stop, None))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        sender.close()
