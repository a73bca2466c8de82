"""What can be heard of partitions, said the simplest way: part of `alert_reference`."""

import math
from typing import Any

from jobs.backtest_log import LogLine

BLIND_MS = 30_000


def clocks_and_gaps(
    lines: list[LogLine],
) -> tuple[dict[int, int], dict[int, list[tuple[int, int]]]]:
    """Return the clock of each partition, and where it was silent."""
    clocks: dict[int, int] = {}
    gaps: dict[int, list[tuple[int, int]]] = {}
    for line in lines:
        if line.type not in ("contact", "tick"):
            continue
        last_ms = clocks.get(line.partition, line.at_ms)
        if line.at_ms - last_ms > BLIND_MS:
            gaps.setdefault(line.partition, []).append((last_ms, line.at_ms))
        clocks[line.partition] = line.at_ms
    return clocks, gaps


def unheard_until_ms(clock_ms: int, clocks: dict[int, int]) -> int:
    """Return up to when a partition is silent at the end of the log; its clock if it is not."""
    newest_ms = max(clocks.values())
    if newest_ms - clock_ms <= BLIND_MS:
        return clock_ms
    return min(each for each in clocks.values() if newest_ms - each <= BLIND_MS)


def turns(
    lines: list[LogLine], clocks: dict[int, int], gaps: dict[int, list[tuple[int, int]]]
) -> list[dict[str, Any]]:
    """Return when partitions are silent while another one speaks: their devices do not count."""
    firsts = {line.partition: line.at_ms for line in reversed(lines) if line.partition in clocks}
    newest_ms = max(clocks.values())
    away: dict[int, set[int]] = {}
    back: dict[int, set[int]] = {}
    for partition, clock_ms in clocks.items():
        for begin_ms, end_ms in [*gaps.get(partition, []), (clock_ms, newest_ms + 1)]:
            silent_ms = begin_ms + BLIND_MS
            spoken = [
                _speaks_from(firsts[other], clocks[other], gaps.get(other, []), silent_ms)
                for other in clocks
                if other != partition
            ]
            away_ms = min(spoken, default=end_ms)
            if away_ms < end_ms:
                away.setdefault(int(away_ms), set()).add(partition)
                back.setdefault(end_ms, set()).add(partition)
    return [
        {"kind": "turn", "time": time_ms, "device": "", "partition": None}
        | {"away": away.get(time_ms, set()), "back": back.get(time_ms, set())}
        for time_ms in {*away, *back}
    ]


def _speaks_from(first_ms: int, clock_ms: int, gaps: list[tuple[int, int]], at_ms: int) -> float:
    """Return the first instant from one on at which a partition is not silent itself."""
    if at_ms > clock_ms:
        return math.inf
    inside = [end for begin, end in gaps if begin < at_ms < end]
    return inside[0] if inside else max(at_ms, first_ms)
