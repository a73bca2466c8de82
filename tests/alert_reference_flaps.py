"""Flapping in a device's history, said the simplest way: part of `alert_reference`."""

from itertools import pairwise
from typing import Any

from tests.oracle.flapping_oracle import flapping_spans

Fact = dict[str, Any]
STAGES = {"warning": 1, "critical": 2, "resolved": 0, "rule_changed": 0}


def with_flapping(
    facts: list[Fact],
    gone: list[int],
    hides: list[tuple[int, bool]],
    heard: tuple[list[tuple[int, int]], int],
) -> list[Fact]:
    """Return a device's facts with those of its flapping, and with whom it keeps from people.

    Args:
        facts: of one device, in order.
        gone: when it was decommissioned.
        hides: from when on it was in maintenance, or no longer.
        heard: when its partition was not heard, and until when it was.
    """
    lives = list(pairwise([-1, *gone, None]))
    told: list[Fact] = []
    for born_ms, died_ms in lives:
        own = [f for f in facts if _belongs(f, born_ms, died_ms)]
        told += _of_life(own, died_ms, hides, heard)
    return told


def _belongs(fact: Fact, born_ms: int, died_ms: int | None) -> bool:
    # What is said of a death belongs to the life that it ends.
    is_end = fact["kind"] == "removed" or fact.get("is_death", False)
    after = fact["time"] > born_ms or (fact["time"] == born_ms and not is_end)
    before = died_ms is None or fact["time"] < died_ms or (fact["time"] == died_ms and is_end)
    return bool(after and before)


def _of_life(
    facts: list[Fact],
    died_ms: int | None,
    hides: list[tuple[int, bool]],
    heard: tuple[list[tuple[int, int]], int],
) -> list[Fact]:
    blind, clock_ms = heard
    changes = [f for f in facts if _is_begin(f) or _is_return(f)]
    told = list(facts)
    for span in flapping_spans([f["time"] for f in changes], blind):
        # Of changes at one instant the one that makes four begins it.
        early = [c for c in changes if c["time"] < span.begin_ms]
        recent = [c for c in early if span.begin_ms - c["time"] <= 3_600_000]
        now = [c for c in changes if c["time"] == span.begin_ms]
        place = _place_of(told, now[min(len(now), max(1, 4 - len(recent))) - 1]) + 1
        since = {"device": facts[0]["device"], "since": span.begin_ms}
        told.insert(place, {"kind": "flapping", "time": span.begin_ms} | since)
        # Where the clock of a silent partition stands before the end, it still flaps when it dies.
        is_cut = died_ms is not None and min(died_ms, clock_ms + 1) <= span.end_ms
        end_ms = died_ms if is_cut and died_ms is not None else span.end_ms
        if not is_cut and end_ms > clock_ms:
            end_ms = clock_ms + 1
        last = place + 1
        while last < len(told) and told[last]["time"] <= end_ms:
            told[last]["flapping"] = span.begin_ms
            last += 1
        if is_cut:
            told.insert(last, {"kind": "calm", "time": end_ms, "reason": "decommissioned"} | since)
        elif end_ms <= clock_ms:
            told[last:last] = _ends(told[:last], end_ms, since, hides)
    return told


def _ends(
    before: list[Fact], end_ms: int, since: Fact, hides: list[tuple[int, bool]]
) -> list[Fact]:
    ends: list[Fact] = [{"kind": "calm", "time": end_ms, "reason": None} | since]
    ladder = [f for f in before if f["kind"] in STAGES]
    stage = STAGES[ladder[-1]["kind"]]
    if stage > 0:
        hidden = [is_hidden for at_ms, is_hidden in hides if at_ms <= end_ms]
        final = {"kind": "final", "time": end_ms, "stage": stage, "hidden": [False, *hidden][-1]}
        ends.append(ladder[-1] | final | {"flapping": None, "dn": 0, "dm": 0})
    return ends


def _is_begin(fact: Fact) -> bool:
    return fact["kind"] == "warning" and fact["used"] == 0


def _is_return(fact: Fact) -> bool:
    return fact["kind"] == "resolved" and not fact["hidden"]


def _place_of(facts: list[Fact], fact: Fact) -> int:
    return next(place for place, other in enumerate(facts) if other is fact)
