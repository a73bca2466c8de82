"""The simplest way to say which events a log must give: device by device, over the whole log.

It shares no code with the liveness logic: plain loops, no blocks, no shards, no state. It covers
devices that stay on their partition, the ladder, blind time, the registry and the tenant's
emergency, rules about silence, and flapping. Times are UTC ms.
"""

from dataclasses import dataclass, field
from typing import Any

from jobs.backtest_log import LogLine
from tests.alert_reference_flaps import with_flapping
from tests.alert_reference_fold import PATIENCE_MS, Fact, Fold, leaves_ms
from tests.alert_reference_turns import clocks_and_gaps, turns, unheard_until_ms
from tests.rule_reference import CRITICAL_MS, WARNING_MS, Labels, rule_lines, thresholds

GRACE_MS = 120_000
GAP, REGISTRY, RULE, CONTACT = 0, 1, 2, 3


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
    after_ms: tuple[int, int] = WARNING_MS, CRITICAL_MS
    used_count: int = 0
    """Numbers of events of this silence that were taken back."""
    claimed: Labels = field(default_factory=dict)
    said: Labels = field(default_factory=dict)
    is_registered: bool = False
    is_hidden: bool = False
    is_gone: bool = False
    is_unheard: bool = False
    """Whether the last instant of its log is settled."""
    heard: set[tuple[str, int]] = field(default_factory=set)
    facts: list[Fact] = field(default_factory=list)
    gone: list[int] = field(default_factory=list)
    hides: list[tuple[int, bool]] = field(default_factory=list)

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
        fact |= {"starts": self.starts_ms, "excused": self.excused_ms, "used": self.used_count}
        self.facts.append(fact | more)

    def labels(self) -> Labels:
        """Return what rules may name: the registry's word before the device's own."""
        return {"device_id": self.name} | self.claimed | self.said

    def due_ms(self) -> int:
        """Return from when its silence counts."""
        assert self.seen_ms is not None
        late_ms = self.interval_ms if self.interval_ms > 120_000 else 0
        return self.seen_ms + late_ms + self.excused_ms

    def follow(
        self, after_ms: tuple[int, int], time_ms: int, told_ms: int, *, is_heard: bool = True
    ) -> None:
        """Have other thresholds from now on: what they allow is taken back, what is due fires."""
        if self.is_gone or after_ms == self.after_ms:
            return
        self.after_ms = after_ms
        needed_ms = max(after_ms) if self.stage == 2 else after_ms[0]
        if self.stage > 0 and time_ms < self.due_ms() + needed_ms:
            before, stage, starts_ms = self.counts(), self.stage, self.starts_ms
            self.stage = 0
            more = {"ends": told_ms, "stage": stage, "escalated": self.escalated_ms}
            more |= {"excused": self.excused_ms + told_ms - time_ms}
            self.tell("rule_changed", told_ms, before, **more, starts=starts_ms)
            self.used_count += stage + 1
        if is_heard:
            self.fire_below(time_ms, told_ms, is_dated_now=True)

    def fire_below(self, limit_ms: int, floor_ms: int = 0, *, is_dated_now: bool = False) -> None:
        """Climb the ladder as far as the clock proves; nothing takes place below the floor."""
        if self.seen_ms is None or self.is_gone:
            return
        date_ms = floor_ms if is_dated_now else 0
        warning_ms = max(self.due_ms() + self.after_ms[0], self.grace_ms)
        if self.stage == 0 and not self.is_hidden and warning_ms < limit_ms:
            before = self.counts()
            self.stage, self.starts_ms = 1, max(warning_ms, date_ms)
            self.tell("warning", max(warning_ms, floor_ms), before)
            critical_ms = max(self.due_ms() + self.after_ms[1], warning_ms)
        else:
            critical_ms = max(self.due_ms() + self.after_ms[1], self.starts_ms)
        if self.stage == 1 and critical_ms < limit_ms:
            self.stage, self.escalated_ms = 2, max(critical_ms, date_ms)
            self.tell("critical", max(critical_ms, floor_ms), self.counts())

    def settle_unheard(self, clock_ms: int) -> None:
        """Fire what is due at the last instant at which it could be heard, once."""
        if not self.is_unheard:
            self.fire_below(clock_ms + 1)
        self.is_unheard = True

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
        self.used_count = 0

    def registry(self, time_ms: int, record: dict[str, Any] | None, heard_ms: int) -> None:
        """Hear of the device from the registry, at a time that its partition heard later."""
        before = self.counts()
        if record is None:
            last_ms, stage, excused = self.seen_ms, self.stage, self.excused_ms
            excused -= heard_ms - time_ms
            self.seen_ms, self.stage, self.excused_ms = None, 0, 0
            self.is_gone, self.is_registered, self.is_hidden = True, False, False
            self.after_ms, self.claimed, self.said = (WARNING_MS, CRITICAL_MS), {}, {}
            self.heard.clear()
            self.gone.append(time_ms)
            self.hides.append((time_ms, False))
            if stage > 0:
                more = {"start": last_ms, "ends": time_ms, "stage": stage, "excused": excused}
                self.tell("removed", time_ms, before, **more, escalated=self.escalated_ms)
            elif self.counts() != before:
                self.tell("counted", time_ms, before, is_death=True)
            self.used_count = 0
            return
        is_hidden = record["status"] == "maintenance"
        self.is_gone, self.is_registered = False, True
        named = ("deployment_group", "site")
        self.said = {name: record[name] for name in named if record.get(name)}
        # A record within a minute takes back what was about to be said of a stranger.
        self.facts = [
            fact
            for fact in self.facts
            if fact["kind"] != "stranger" or not 0 <= time_ms - fact["time"] <= PATIENCE_MS
        ]
        if self.is_hidden and not is_hidden and self.stage == 0 and self.seen_ms is not None:
            self.excused_ms = max(self.excused_ms, heard_ms - self.seen_ms)
        self.is_hidden = is_hidden
        self.hides.append((time_ms, is_hidden))
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
    told = [fact for fact in facts if fact["kind"] != "stranger" or leaves_ms(fact) <= end_ms]
    told += turns(lines, clocks, gaps)
    ordered = sorted(told, key=lambda fact: (leaves_ms(fact), fact["device"]))
    return Fold().events(ordered, end_ms)


def _homes(lines: list[LogLine]) -> dict[str, int]:
    return {line.fields["device_id"]: line.partition for line in lines if line.type == "contact"}


def _history(
    device: Device, lines: list[LogLine], gaps: list[tuple[int, int]], clocks: dict[int, int]
) -> list[Fact]:
    rules = rule_lines(lines)
    clock_ms = clocks[device.partition]
    for time_ms, kind, atom in _atoms(device, lines, gaps):
        if time_ms > clock_ms:
            # The log ends while nobody hears the device: the registry alone speaks of it.
            if kind == REGISTRY and time_ms <= unheard_until_ms(clock_ms, clocks):
                device.settle_unheard(clock_ms)
                device.registry(atom[0], atom[1], clock_ms)
                after_ms = thresholds(rules, device.labels(), atom[0])
                device.follow(after_ms, clock_ms, atom[0], is_heard=False)
            continue
        if kind == GAP:
            begin_ms, end_ms = atom
            device.fire_below(begin_ms + 1)
            device.excused_ms += end_ms - begin_ms
            device.grace_ms = end_ms + GRACE_MS
            continue
        device.fire_below(time_ms)
        if kind == RULE:
            device.follow(thresholds(rules, device.labels(), time_ms), time_ms, time_ms)
        elif kind == REGISTRY:
            device.registry(atom[0], atom[1], time_ms)
            device.follow(thresholds(rules, device.labels(), atom[0]), time_ms, atom[0])
            # A shorter report interval may make it overdue: from now on, not backwards.
            device.fire_below(time_ms, floor_ms=atom[0])
        else:
            device.contact(time_ms, atom.get("boot_id"), atom.get("sequence"))
            if device.seen_ms == time_ms:
                device.claimed = {"deployment_group": atom.get("deployment_group") or ""}
                device.follow(thresholds(rules, device.labels(), time_ms), time_ms, time_ms)
    device.settle_unheard(clock_ms)
    return with_flapping(device.facts, device.gone, device.hides, (gaps, clock_ms))


def _atoms(
    device: Device, lines: list[LogLine], gaps: list[tuple[int, int]]
) -> list[tuple[int, int, Any]]:
    """Return what happens to a device, each with its time and kind, in order."""
    atoms: list[tuple[int, int, Any]] = [(end, GAP, (begin, end)) for begin, end in gaps]
    for line in rule_lines(lines):
        # Of whom nobody hears a rule says nothing before they are heard again.
        inside = [end for begin, end in gaps if begin < line.at_ms < end]
        atoms.append((max([line.at_ms, *inside]), RULE, None))
    for line in lines:
        if line.type == "device":
            record = line.fields["record"]
            if (record or line.fields)["device_id"] == device.name:
                inside = [end for begin, end in gaps if begin < line.at_ms < end]
                heard_ms = inside[0] if inside else line.at_ms
                atoms.append((heard_ms, REGISTRY, (line.at_ms, record)))
        elif line.type == "contact" and line.fields["device_id"] == device.name:
            atoms.append((line.at_ms, CONTACT, line.fields))
    return sorted(atoms, key=lambda atom: atom[:2])


def comparable(event: dict[str, Any], like: dict[str, Any]) -> dict[str, Any]:
    """Return an engine's event reduced to what the reference says."""
    said = {name: event[name] for name in like if name != "counts"}
    if "counts" in like:
        said["counts"] = (event["counts"]["monitored"], event["counts"]["offline"])
    return said
