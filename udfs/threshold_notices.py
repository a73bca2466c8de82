"""Whom a breach is told to: mutes, maintenance and acknowledgements (C6, C11, C13), as of the log.

    mute                [-----------------)
    event         fires ^ notify=false    ^ mute_ended, notify=true      ^ resolved, told
    seq                 1                 2                              3

A mute hides and excuses nothing; maintenance of those who measure does the same to their breaches.
What is said when one ends is an event of the episode: those after it are numbered on. Of one
instant, events come before what operators said, and this before what ends.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from schemas.control import (
    Ack,
    ControlEvent,
    Maintenance,
    Mute,
    control_fields,
    parse_control,
)
from udfs.alerts import AlertRecord, Status, event_id
from udfs.hushes import ACK, MAINTENANCE, MUTE, Hushes, Subject
from udfs.offline_policy import DAY_MS
from udfs.partition_clocks import UNKNOWN_MS
from udfs.transitions import Cause

MAINTENANCE_ENDED = "maintenance_ended"
REMEMBERED_MS = 7 * DAY_MS
"""So long a late correction may follow; see `ThresholdPolicy.forgotten_after_ms`."""


@dataclass
class Telling:
    """What became of one episode on its way to people.

    Args:
        extra_count: events of our own, by which later ones are numbered on.
        untold: the firing that was kept from people, while it lasts.
        causes: what kept it; empty when it was told.
        last_ms: input clock of the last event.
    """

    extra_count: int = 0
    untold: AlertRecord | None = None
    causes: list[str] = field(default_factory=list)
    last_ms: int = UNKNOWN_MS


@dataclass
class ThresholdNotices:
    """What operators silence, and who was told of what.

    Args:
        clock_ms: how far this has been worked out, input clock.
        hushes: mutes and acknowledgements.
        maintenance: its spans, kept as mutes are.
        pending: control events that wait for the clock: instant and JSON.
        tellings: of episodes that last, or were kept from people, by id.
    """

    clock_ms: int = UNKNOWN_MS
    hushes: Hushes = field(default_factory=Hushes)
    maintenance: Hushes = field(default_factory=Hushes)
    pending: list[tuple[int, str]] = field(default_factory=list)
    tellings: dict[str, Telling] = field(default_factory=dict)

    def announce(self, controls: pl.DataFrame) -> None:
        """Take control events in, to act when the clock has passed them.

        Args:
            controls: `schemas.control_records.CONTROL_SCHEMA`.
        """
        for at_ms, text in controls.select("append_time_ms", "event").iter_rows():
            if isinstance(parse_control(json.loads(text)), Mute | Maintenance | Ack):
                self.pending.append((max(at_ms, self.clock_ms), text))
        self.pending.sort(key=lambda each: each[0])

    def pass_on(self, events: Sequence[AlertRecord], clock_ms: int) -> list[AlertRecord]:
        """Return events as people are told of them, and what is told when something ends.

        Args:
            events: as the rules found them.
            clock_ms: the input clock, to which everything is worked out.
        """
        told: list[AlertRecord] = []
        for event in sorted(events, key=lambda each: each["input_clock"]):
            told += self._advance(event["input_clock"])
            told.append(self._judged(event))
        told += self._advance(clock_ms)
        self._forget()
        return told

    def _advance(self, to_ms: int) -> list[AlertRecord]:
        """Let everything happen that lies before an instant."""
        told: list[AlertRecord] = []
        if to_ms <= self.clock_ms:
            return told
        while (at_ms := self._next_instant(to_ms)) is not None:
            while self.pending and self.pending[0][0] == at_ms:
                self._apply(parse_control(json.loads(self.pending.pop(0)[1])), at_ms)
            told += self._ended(at_ms)
            self.clock_ms = at_ms + 1
        self.clock_ms = max(self.clock_ms, to_ms)
        return told

    def _next_instant(self, to_ms: int) -> int | None:
        """Return when an operator speaks or a span ends, from the clock on and before `to_ms`."""
        spans = (*self.hushes.mutes, *self.maintenance.mutes)
        found = [at_ms for at_ms, _ in self.pending[:1]]
        found += [s.end_ms for s in spans if s.end_ms >= self.clock_ms]
        return min((at_ms for at_ms in found if at_ms < to_ms), default=None)

    def _apply(self, event: ControlEvent, at_ms: int) -> None:
        if isinstance(event, Mute):
            self.hushes = self.hushes.with_mute(event, at_ms)
        elif isinstance(event, Maintenance):
            span = Mute.model_validate(control_fields(event) | {"type": MUTE})
            self.maintenance = self.maintenance.with_mute(span, at_ms)
        elif isinstance(event, Ack):
            self.hushes = self.hushes.with_ack(event, at_ms)

    def _judged(self, event: AlertRecord) -> AlertRecord:
        """Return one event numbered on, with what keeps it from people."""
        episode_id, at_ms = event["episode_id"], event["input_clock"]
        telling = self.tellings.setdefault(episode_id, Telling())
        telling.last_ms = at_ms
        judged = _numbered(event, telling.extra_count)
        judged["acked"] = self.hushes.is_acked(episode_id, at_ms)
        if event["status"] == Status.FIRING:
            telling.causes = self._causes(event, at_ms) if event["notify"] else []
            spans = [cause for cause in telling.causes if cause != ACK]
            telling.untold = judged if spans else None
        else:
            telling.untold = None
            self.hushes = self.hushes.without_episode(episode_id)
        if telling.causes:
            judged |= {"notify": False, "suppressed_by": telling.causes}
        return judged

    def _causes(self, event: AlertRecord, at_ms: int) -> list[str]:
        subject = _subject(event)
        causes = [MAINTENANCE] if self.maintenance.is_muted(subject, at_ms) else []
        causes += [MUTE] if self.hushes.is_muted(subject, at_ms) else []
        return causes + ([ACK] if self.hushes.is_in_hands(event["episode_id"], at_ms) else [])

    def _ended(self, at_ms: int) -> list[AlertRecord]:
        """Tell what still fires and is hidden no longer."""
        told = []
        for telling in self.tellings.values():
            if telling.untold is None or self._causes(telling.untold, at_ms):
                continue
            is_mute = MUTE in telling.causes
            reason = Cause.MUTE_ENDED.value if is_mute else MAINTENANCE_ENDED
            telling.extra_count += 1
            event = _numbered(telling.untold, 1) | {
                "time": at_ms,
                "input_clock": at_ms,
                "reason": reason,
                "notify": True,
                "suppressed_by": [],
                "previous_severity": telling.untold["severity"],
            }
            telling.untold, telling.causes, telling.last_ms = None, [], at_ms
            told.append(event)
        return sorted(told, key=lambda event: (event["subject"], event["dedup_key"]))

    def _forget(self) -> None:
        """Forget episodes of which nothing follows that would need them."""
        oldest_ms = self.clock_ms - REMEMBERED_MS
        self.tellings = {
            episode_id: telling
            for episode_id, telling in self.tellings.items()
            if (telling.untold or telling.causes or telling.extra_count)
            and (telling.untold is not None or telling.last_ms >= oldest_ms)
        }

    def to_values(self) -> dict[str, Any]:
        """Return everything for the state's bytes."""
        return {
            "clock_ms": self.clock_ms,
            "hushes": self.hushes.to_values(),
            "maintenance": self.maintenance.to_values(),
            "pending": self.pending,
            "tellings": {id_: vars(telling) for id_, telling in self.tellings.items()},
        }

    @classmethod
    def from_values(cls, stored: dict[str, Any]) -> "ThresholdNotices":
        """Return what `to_values` wrote."""
        return cls(
            stored["clock_ms"],
            Hushes.from_values(stored["hushes"]),
            Hushes.from_values(stored["maintenance"]),
            [(at_ms, text) for at_ms, text in stored["pending"]],
            {id_: Telling(**values) for id_, values in stored["tellings"].items()},
        )


def _numbered(event: AlertRecord, extra_count: int) -> AlertRecord:
    """Return an event with a later number, and the id that goes with it."""
    if extra_count == 0:
        return dict(event)
    seq = event["seq"] + extra_count
    return event | {"seq": seq, "id": event_id(event["episode_id"], seq)}


def _subject(event: AlertRecord) -> Subject:
    kind, _, name = event["subject"].partition("/")
    labels = event["labels"]
    device_id = name if kind == "device" else ""
    return Subject(labels["tenant"], device_id, labels["group"], labels["site"])
