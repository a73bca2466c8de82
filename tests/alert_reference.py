"""The simplest way to say which events a log must give: device by device, over the whole log.

It shares no code with the liveness logic: plain loops, no blocks, no shards, no state. It covers
devices that stay on their partition, the ladder, blind time, the registry and the tenant's
emergency. Times are UTC ms.
"""

import math
from dataclasses import dataclass, field
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from jobs.backtest_log import LogLine
from tests.alert_logs import TENANT
from tests.alert_reference_turns import clocks_and_gaps, turns

WARNING_MS, CRITICAL_MS, GRACE_MS, HOLD_MS = 300_000, 1_800_000, 120_000, 300_000
PATIENCE_MS = 60_000
SPACE = uuid5(NAMESPACE_URL, "fleetpulse")
GAP, REGISTRY, CONTACT = 0, 1, 2
Fact = dict[str, Any]


@dataclass
class Device:
    """What is known of one device while its own history is told."""

    name: str
    partition: int
    seen_ms: int | None = None
    excused_ms: int = 0
    interval_ms: int = 60_000
    stage: int = 0
    starts_ms: int = 0
    escalated_ms: int = 0
    grace_ms: int = 0
    is_registered: bool = False
    is_hidden: bool = False
    is_gone: bool = False
    heard: set[tuple[str, int]] = field(default_factory=set)
    facts: list[Fact] = field(default_factory=list)

    def counts(self) -> tuple[bool, bool]:
        """Return whether it is in N and in M."""
        in_n = self.is_registered and not self.is_hidden and self.seen_ms is not None
        return in_n, in_n and self.stage > 0

    def tell(self, kind: str, time_ms: int, before: tuple[bool, bool], **more: Any) -> None:
        """Note a fact with what it does to N and M."""
        now = self.counts()
        fact = {"kind": kind, "time": time_ms, "device": self.name, "start": self.seen_ms}
        fact |= {"partition": self.partition}
        fact |= {"dn": now[0] - before[0], "dm": now[1] - before[1], "hidden": self.is_hidden}
        self.facts.append(fact | {"starts": self.starts_ms, "excused": self.excused_ms} | more)

    def fire_below(self, limit_ms: int, floor_ms: int = 0) -> None:
        """Climb the ladder as far as the clock proves; nothing takes place below the floor."""
        if self.seen_ms is None or self.is_gone:
            return
        late_ms = self.interval_ms if self.interval_ms > 120_000 else 0
        due_ms = self.seen_ms + late_ms + self.excused_ms
        warning_ms = max(due_ms + WARNING_MS, self.grace_ms)
        if self.stage == 0 and not self.is_hidden and warning_ms < limit_ms:
            before = self.counts()
            self.stage, self.starts_ms = 1, warning_ms
            self.tell("warning", max(warning_ms, floor_ms), before)
        critical_ms = max(due_ms + CRITICAL_MS, self.starts_ms)
        if self.stage == 1 and critical_ms < limit_ms:
            self.stage, self.escalated_ms = 2, critical_ms
            self.tell("critical", max(critical_ms, floor_ms), self.counts())

    def contact(self, time_ms: int, boot: str | None, sequence: int | None) -> None:
        """Hear the device."""
        if self.is_gone:
            return
        if boot is not None and sequence is not None:
            if (boot, sequence) in self.heard:
                return
            self.heard.add((boot, sequence))
        if self.seen_ms is not None and time_ms <= self.seen_ms:
            return
        before, last_ms, stage, excused = self.counts(), self.seen_ms, self.stage, self.excused_ms
        if not self.is_registered and (
            last_ms is None or last_ms // 86400000 < time_ms // 86400000
        ):
            self.facts.append({"kind": "stranger", "time": time_ms, "device": self.name})
        self.seen_ms, self.stage, self.excused_ms = time_ms, 0, 0
        if stage > 0:
            more = {"start": last_ms, "ends": time_ms, "stage": stage, "excused": excused}
            self.tell("resolved", time_ms, before, **more, escalated=self.escalated_ms)
        elif self.counts() != before:
            self.tell("counted", time_ms, before)

    def registry(self, time_ms: int, record: dict[str, Any] | None, heard_ms: int) -> None:
        """Hear of the device from the registry, at a time that its partition heard later."""
        before = self.counts()
        if record is None:
            last_ms, stage, excused = self.seen_ms, self.stage, self.excused_ms
            excused -= heard_ms - time_ms
            self.seen_ms, self.stage, self.excused_ms = None, 0, 0
            self.is_gone, self.is_registered, self.is_hidden = True, False, False
            self.heard.clear()
            if stage > 0:
                more = {"start": last_ms, "ends": time_ms, "stage": stage, "excused": excused}
                self.tell("removed", time_ms, before, **more, escalated=self.escalated_ms)
            elif self.counts() != before:
                self.tell("counted", time_ms, before)
            return
        is_hidden = record["status"] == "maintenance"
        self.is_gone, self.is_registered = False, True
        # A record within a minute takes back what was about to be said of a stranger.
        self.facts = [
            fact
            for fact in self.facts
            if fact["kind"] != "stranger" or not 0 <= time_ms - fact["time"] <= PATIENCE_MS
        ]
        if self.is_hidden and not is_hidden and self.stage == 0 and self.seen_ms is not None:
            self.excused_ms = max(self.excused_ms, heard_ms - self.seen_ms)
        self.is_hidden = is_hidden
        self.interval_ms = record["report_interval_s"] * 1000
        if self.counts() != before:
            self.tell("counted", time_ms, before)


def reference_events(lines: list[LogLine]) -> list[dict[str, Any]]:
    """Return the events of a log whose only tenant is `TENANT`, partition spans left out."""
    clocks, gaps = clocks_and_gaps(lines)
    facts: list[Fact] = []
    for name, partition in _homes(lines).items():
        facts += _history(Device(name, partition), lines, gaps.get(partition, []), clocks)
    end_ms = max(clocks.values())
    told = [fact for fact in facts if fact["kind"] != "stranger" or _leaves_ms(fact) <= end_ms]
    told += turns(lines, clocks, gaps)
    ordered = sorted(told, key=lambda fact: (_leaves_ms(fact), fact["device"]))
    return _Fold().events(ordered, end_ms)


def _leaves_ms(fact: Fact) -> int:
    return int(fact["time"]) + (PATIENCE_MS if fact["kind"] == "stranger" else 0)


def _homes(lines: list[LogLine]) -> dict[str, int]:
    return {line.fields["device_id"]: line.partition for line in lines if line.type == "contact"}


def _history(
    device: Device, lines: list[LogLine], gaps: list[tuple[int, int]], clocks: dict[int, int]
) -> list[Fact]:
    atoms: list[tuple[int, int, Any]] = [(end, GAP, (begin, end)) for begin, end in gaps]
    for line in lines:
        if line.type == "device":
            record = line.fields["record"]
            if (record or line.fields)["device_id"] == device.name:
                inside = [end for begin, end in gaps if begin < line.at_ms < end]
                heard_ms = inside[0] if inside else line.at_ms
                atoms.append((heard_ms, REGISTRY, (line.at_ms, record)))
        elif line.type == "contact" and line.fields["device_id"] == device.name:
            atoms.append((line.at_ms, CONTACT, line.fields))
    for time_ms, kind, atom in sorted(atoms, key=lambda atom: atom[:2]):
        if time_ms > clocks[device.partition]:
            break
        if kind == GAP:
            begin_ms, end_ms = atom
            device.fire_below(begin_ms + 1)
            device.excused_ms += end_ms - begin_ms
            device.grace_ms = end_ms + GRACE_MS
            continue
        device.fire_below(time_ms)
        if kind == REGISTRY:
            device.registry(atom[0], atom[1], time_ms)
            # A shorter report interval may make it overdue: from now on, not backwards.
            device.fire_below(time_ms, floor_ms=atom[0])
        else:
            device.contact(time_ms, atom.get("boot_id"), atom.get("sequence"))
    device.fire_below(clocks[device.partition] + 1)
    return device.facts


class _Fold:
    """Adds the facts of all devices up, and says who is told what by remembering who was."""

    def __init__(self) -> None:
        self.monitored = self.offline = 0
        self.homes: dict[int, list[int]] = {}
        self.away: set[int] = set()
        self.emergency: int | None = None
        self.clear_ms: int | None = None
        self.told: dict[str, list[str]] = {}
        self.out: list[dict[str, Any]] = []

    def events(self, facts: list[Fact], end_ms: int) -> list[dict[str, Any]]:
        for fact in facts:
            self._wait(_leaves_ms(fact))
            self._fact(fact)
        self._wait(end_ms + 1)
        return self.out

    def _wait(self, below_ms: int) -> None:
        if self.clear_ms is not None and self.clear_ms + HOLD_MS < below_ms:
            self._resolve(self.clear_ms + HOLD_MS, None)

    def _fact(self, fact: Fact) -> None:
        if fact["kind"] == "stranger":
            self._emit("unregistered-device", fact["device"], fact["time"], 1, fact["time"], "info")
            return
        home = self.homes.setdefault(fact["partition"], [0, 0])  # of a turn: nobody's
        if fact["kind"] == "turn":
            self.away = (self.away | fact["away"]) - fact["back"]
        else:
            if fact["kind"] != "counted":
                self._device(fact)
            home[0] += fact["dn"]
            home[1] += fact["dm"]
        heard = [counts for partition, counts in self.homes.items() if partition not in self.away]
        self.monitored, self.offline = (sum(counts[i] for counts in heard) for i in (0, 1))
        need = max(min(3, self.monitored), math.ceil(self.monitored / 10))
        if self.emergency is None:
            is_rise = fact["kind"] == "warning" and fact["dm"] > 0
            is_rise = is_rise and fact["partition"] not in self.away
            if is_rise and self.monitored >= 2 and self.offline >= need:
                self.emergency = fact["time"]
                self._fleet(1, fact["time"], "firing", None)
                self._clear(fact["time"], need)
            return
        if self.monitored == 0:
            self._resolve(fact["time"], "no_monitored_devices")
            return
        self._clear(fact["time"], need)

    def _clear(self, time_ms: int, need: int) -> None:
        level = max(0, need - 1 - max(1, math.ceil(self.monitored / 50)))
        if self.offline > level:
            self.clear_ms = None
        elif self.clear_ms is None:
            self.clear_ms = time_ms

    def _resolve(self, time_ms: int, reason: str | None) -> None:
        self._fleet(2, time_ms, "resolved", reason)
        self.emergency = self.clear_ms = None

    def _fleet(self, seq: int, time_ms: int, status: str, reason: str | None) -> None:
        episode = f"{TENANT}/fleet-offline/tenant/{TENANT}/{self.emergency}"
        self.out.append(
            {
                "id": str(uuid5(uuid5(SPACE, episode), str(seq))),
                "time": time_ms,
                "status": status,
                "notify": True,
                "reason": reason,
                "counts": (self.monitored, self.offline),
            }
        )

    def _device(self, fact: Fact) -> None:
        is_end = fact["kind"] in ("resolved", "removed")
        stage = fact.get("stage") or {"warning": 1, "critical": 2}[fact["kind"]]
        channels = {1: ["email"], 2: ["sms", "slack"]}[stage]
        subject = fact["device"]
        if is_end:
            told = self.told.pop(subject, [])
            seq, notify = stage + 1, bool(told)
            channels = told or (["email"] if stage == 1 else ["email", "sms", "slack"])
        else:
            seq, notify = stage, self.emergency is None and not fact["hidden"]
            if notify:
                self.told[subject] = self.told.get(subject, []) + channels
        self._emit(
            "device-offline",
            subject,
            fact["start"],
            seq,
            fact["time"],
            "resolved" if is_end else "firing",
            notify=notify,
            channels=channels,
            starts_at=fact["starts"],
            blind_seconds=fact["excused"] / 1000,
            severity={1: "warning", 2: "critical"}[stage],
        )

    def _emit(
        self, rule: str, device: str, start: int, seq: int, time_ms: int, status: str, **more: Any
    ) -> None:
        episode: UUID = uuid5(SPACE, f"{TENANT}/{rule}/device/{device}/{start}")
        event = {"id": str(uuid5(episode, str(seq))), "time": time_ms, "status": status}
        self.out.append(event | more)


def comparable(event: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    """Return an engine's event reduced to what the reference says."""
    said = {name: event[name] for name in like if name != "counts"}
    if "counts" in like:
        said["counts"] = (event["counts"]["monitored"], event["counts"]["offline"])
    return said
