"""Random logs of devices that come and go: bursts of short silences, long ones, outages of ours."""

import random

from jobs.backtest_log import BlindSpan, LogLine
from tests.alert_logs import AlertLog, at, clock_of

START = "12:00:00"
ENDS_MS = 3 * 3_600_000
TICK_MS = 25_000
SHORT_MS = [301_000, 330_000, 360_000, 299_999, 300_001]
LONG_MS = [1_500_000, 1_800_000, 1_860_000, 2_100_000, 2_400_000, 3_300_000]


def flapping_log(seed: int, partition_count: int, *, has_words: bool = False) -> list[LogLine]:
    """Return up to 6 devices over three hours.

    Args:
        seed: of everything random.
        partition_count: device n is on partition n modulo it.
        has_words: whether operators plan maintenance and mutes, and devices are removed.
    """
    chance = random.Random(seed)
    log = AlertLog(until="15:00:00")
    quiet = [_outage(log, chance, partition) for partition in range(partition_count)]
    for number in range(chance.randrange(1, 7)):
        name, partition = f"d{number}", number % partition_count
        log.register(name, report_interval_s=60)
        first_ms, last_ms = quiet[partition]
        for time_ms in _contacts(chance):
            if not first_ms < time_ms < last_ms:
                log.contact(name, time_ms, partition=partition)
        if chance.random() < 0.35:
            _remove(log, name, chance, quiet)
    if has_words:
        _words(log, chance)
    return log.records(TICK_MS)


def _contacts(chance: random.Random) -> list[int]:
    """Return when a device is heard: it reports each minute, flaps, or is away for long."""
    times = [at(START) + chance.randrange(0, 60) * 1000]
    while times[-1] < at(START) + ENDS_MS:
        steps = chance.choice([[60_000] * chance.randrange(5, 40), SHORT_MS, SHORT_MS, LONG_MS])
        is_run = steps[0] == steps[-1]
        for _ in range(len(steps) if is_run else chance.randrange(1, 5)):
            times.append(times[-1] + chance.choice(steps))
    return times[:-1]


def _outage(log: AlertLog, chance: random.Random, partition: int) -> tuple[int, int]:
    """Let a partition be silent for a while, or not."""
    if chance.random() < 0.5:
        return 0, 0
    first_ms = at(START) + chance.randrange(30, 150) * 60_000
    last_ms = first_ms + chance.choice([35, 600, 2_400]) * 1000
    log.blind.append(BlindSpan(partition, first_ms, last_ms))
    return first_ms, last_ms


def _remove(log: AlertLog, name: str, chance: random.Random, quiet: list[tuple[int, int]]) -> None:
    """Decommission a device, and register it again; not while a partition is not heard."""
    for kind in ("remove", "register"):
        time_ms = at(START) + chance.randrange(40, 170) * 60_000 + 501
        if any(first_ms <= time_ms <= last_ms for first_ms, last_ms in quiet):
            return
        clock = str(clock_of(time_ms))
        if kind == "remove":
            log.remove(name, clock)
        else:
            log.register(name, when=clock, report_interval_s=60)


def _words(log: AlertLog, chance: random.Random) -> None:
    for _ in range(chance.randrange(1, 5)):
        minute = chance.randrange(10, 150)
        ends = minute, minute + chance.choice([5, 20, 45])
        first, last = (f"{12 + m // 60:02d}:{m % 60:02d}:00.770" for m in ends)
        kind = chance.choice(["mute", "mute", "maintenance"])
        scope = chance.choice([{}, {"device_id": f"d{chance.randrange(0, 3)}"}])
        log.control(first, kind, scope=scope, **{"from": first, "until": last})
