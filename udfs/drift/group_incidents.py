"""One incident of a group instead of a hundred of its devices.

    near a page ──> how many move together? ─┐
    devices that page ───────────────────────┼──> incident of the group ──> told, once
    the group itself pages ──────────────────┘        └── its members: found, and told to nobody

It opens when at least 5 devices move together, or 20 % of a smaller group (3 at least), or the
group's own metrics do: by e-BH, or because one pages and the others are near a page like it. What
begins within half an hour of its last member joins it, of its metrics within six hours, as devices
take unequally long to be sure. It is over when none of its members moves, and nothing has joined
for half an hour.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from udfs.alerts import NAMESPACE, AlertRecord, Status, uuid5_text
from udfs.drift.company import Company
from udfs.drift.error_over_patience import company_size
from udfs.drift.findings import DriftFinding, Severity, State
from udfs.drift.group_incident import (
    DEVICE,
    GROUP,
    TOGETHER_MS,
    Incident,
    Mover,
    finding_of_incident,
)
from udfs.drift.shard_reports import Found

DEVICES_MIN_COUNT = 5
SMALL_RATIO, SMALL_MIN_COUNT = 0.2, 3
OTHER_SCOPES = ("tenant", "model_version")
GroupKey = tuple[str, str]


@dataclass
class GroupIncidents:
    """The groups of which something moves; a step changes them in place.

    Args:
        movers: what pages now, by group and incident of its own.
        opened: incidents of groups, by name.
        sizes: devices that each group had when it was last counted.
        silent: findings' incidents of which nobody is told, and the one that stands for them.
        told: findings' incidents that somebody was told of.
    """

    movers: dict[GroupKey, dict[str, Mover]] = field(default_factory=dict)
    opened: dict[str, Incident] = field(default_factory=dict)
    sizes: dict[GroupKey, int] = field(default_factory=dict)
    silent: dict[str, str] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)

    def judge(
        self, found: Sequence[Found], company: Company, step_ms: int
    ) -> tuple[list[Found], list[Found]]:
        """Judge one step.

        Args:
            found: of all shards, in order.
            company: of all shards.
            step_ms: of the clock.

        Returns:
            The findings with what their company says of them, and those of groups themselves.
        """
        near = _by_group(company.near)
        counted = {(t, g): n for t, g, n in _totals(company.sizes)}
        self.sizes |= counted
        for each in found:
            self._follow(each)
        own: list[Found] = []
        for key in sorted({*near, *counted, *_keys(found)}):
            own += self._judge_group(key, near.get(key, []), step_ms)
        return [self._with_company(each, near) for each in found], own

    def _follow(self, each: Found) -> None:
        """Note what begins to page, and what is over."""
        finding, key = each.finding, _key(each)
        movers = self.movers.setdefault(key, {})
        if finding.state is State.RESOLVED:
            movers.pop(finding.incident_id, None)
        elif finding.notify and finding.scope in (DEVICE, GROUP):
            known = movers.get(finding.incident_id)
            began_ms = each.step_ms if known is None else known.began_ms
            movers[finding.incident_id] = Mover.of(finding, began_ms)
        if not movers:
            del self.movers[key]

    def _judge_group(self, key: GroupKey, near: list[Mover], step_ms: int) -> list[Found]:
        """Return what is to be said of a group: something joins, begins, is worse, is over."""
        movers = self.movers.get(key, {})
        incidents = [i for i in self.opened.values() if i.key == key]
        taken = {member for incident in incidents for member in incident.members}
        fresh = {
            name: mover
            for name, mover in movers.items()
            if name not in taken and mover.began_ms > step_ms - TOGETHER_MS
        }
        others = _others(near, movers.values())
        said: list[Found] = []
        for incident in incidents:
            joining = {
                name for name, m in fresh.items() if m.began_ms == step_ms and incident.takes(m)
            }
            said += self._go_on(
                incident, [fresh.pop(name) for name in sorted(joining)], joining, movers, step_ms
            )
            others = [m for m in others if not incident.takes(m)]
        return said + self._begin(key, fresh, others, step_ms)

    def _go_on(
        self,
        incident: Incident,
        joined: list[Mover],
        names: set[str],
        movers: dict[str, Mover],
        step_ms: int,
    ) -> list[Found]:
        """Let streams join an incident; say it when it is worse, or over."""
        incident.members = {name for name in incident.members if name in movers} | names
        if joined:
            incident.last_ms = step_ms
        elif not incident.members and step_ms - incident.last_ms >= TOGETHER_MS:
            del self.opened[incident.incident_id]
            return [_found(incident, [], step_ms, State.RESOLVED)]
        return self._said(incident, [movers[name] for name in sorted(incident.members)], step_ms)

    def _begin(
        self, key: GroupKey, fresh: dict[str, Mover], near: list[Mover], step_ms: int
    ) -> list[Found]:
        """Begin an incident where enough moves together, or the group itself does."""
        together = max(
            (moving_together([*fresh.values(), *near]), *_led(fresh.values(), near)),
            key=lambda movers: len({m.subject for m in movers}),
        )
        is_group = any(m.scope == GROUP for m in fresh.values())
        if not is_group and len({m.subject for m in together}) < self._needed(key):
            return []
        incident_id = uuid5_text(NAMESPACE, f"group-incident/{key[0]}/{key[1]}/{step_ms}")
        incident = Incident(*key, incident_id, step_ms, step_ms, members=set(fresh))
        self.opened[incident_id] = incident
        of_group = [m for m in fresh.values() if m.scope == GROUP]
        return self._said(incident, [*of_group, *together], step_ms)

    def _said(self, incident: Incident, present: list[Mover], step_ms: int) -> list[Found]:
        """Say an incident when it is new, graver, or has twice as many devices."""
        devices = {m.subject for m in present if m.scope == DEVICE}
        incident.size = max(self.sizes.get(incident.key, 0), len(devices))
        is_said = incident.grow(present)
        return [_found(incident, present, step_ms, State.FIRING)] if is_said else []

    def _needed(self, key: GroupKey) -> int:
        """Return how many devices make an incident of their group."""
        share = -(-self.sizes.get(key, 0) * SMALL_RATIO // 1)
        return min(DEVICES_MIN_COUNT, max(SMALL_MIN_COUNT, int(share)))

    def _with_company(self, each: Found, near: dict[GroupKey, list[Mover]]) -> Found:
        """Return a finding with who else moves, silent when an incident stands for it."""
        finding, key = each.finding, _key(each)
        if finding.state is not State.FIRING:
            self.told.discard(finding.incident_id)
            return each
        incident = self._standing_for(each)
        if finding.notify and incident is None:
            self.told.add(finding.incident_id)
        # Who was told alone is told the rest, and the end (C6).
        elif finding.notify and incident is not None and finding.incident_id not in self.told:
            self.silent[finding.incident_id] = incident.incident_id
            finding = replace(finding, notify=False)
        if finding.scope == DEVICE:
            finding = self._of_company(finding, key, near.get(key, []))
        return replace(each, finding=finding)

    def _standing_for(self, each: Found) -> Incident | None:
        """Return the open incident that a finding belongs to."""
        finding = each.finding
        incidents = [i for i in self.opened.values() if i.tenant_id == finding.tenant_id]
        if finding.scope not in OTHER_SCOPES:
            return next((i for i in incidents if finding.incident_id in i.members), None)
        known = self.silent.get(finding.incident_id, "")
        mover = Mover.of(finding, each.step_ms)
        return next((i for i in incidents if i.incident_id == known or i.takes(mover)), None)

    def _of_company(self, finding: DriftFinding, key: GroupKey, near: list[Mover]) -> DriftFinding:
        movers = self.movers.get(key, {}).values()
        present = [*movers, *_others(near, movers)]
        own = [m for m in present if m.subject == finding.subject and m.metric != finding.metric]
        own.sort(key=lambda m: (-m.margin, m.metric))
        like = {m.subject for m in present if m.scope == DEVICE and m.metric == finding.metric}
        return replace(
            finding,
            co_drifting_metrics=tuple(dict.fromkeys(m.metric for m in own)),
            peers_affected=len(like - {finding.subject}),
            peers=max(self.sizes.get(key, 0) - 1, 0),
        )

    def hushed(self, event: AlertRecord) -> AlertRecord:
        """Return an event of a device as people are told of it: an incident may stand for it."""
        incident_id = event["labels"].get("incident_id", "")
        if incident_id not in self.silent:
            return event
        stands_for = self.silent[incident_id]
        if event["status"] == Status.RESOLVED:
            del self.silent[incident_id]
        return event | {"notify": False, "suppressed_by": [*event["suppressed_by"], stands_for]}

    def to_values(self) -> dict[str, Any]:
        """Return everything for the state's bytes."""
        return {
            "movers": [[*k, i, *vars(m).values()] for k, ms in self.movers.items()
                       for i, m in ms.items()],
            "opened": [incident.to_values() for incident in self.opened.values()],
            "sizes": [[*key, size] for key, size in self.sizes.items()],
            "silent": self.silent,
            "told": sorted(self.told),
        }  # fmt: skip

    @classmethod
    def from_values(cls, stored: dict[str, Any]) -> "GroupIncidents":
        """Return what `to_values` wrote."""
        found = cls(silent=dict(stored["silent"]), told=set(stored["told"]))
        for tenant, group, incident_id, *rest in stored["movers"]:
            found.movers.setdefault((tenant, group), {})[incident_id] = Mover(*rest)
        for values in stored["opened"]:
            incident = Incident.of_values(values)
            found.opened[incident.incident_id] = incident
        found.sizes = {(tenant, group): size for tenant, group, size in stored["sizes"]}
        return found


def moving_together(movers: Iterable[Mover]) -> list[Mover]:
    """Return the streams of devices that move together, the surest first."""
    of_devices = [m for m in movers if m.scope == DEVICE]
    of_devices.sort(key=lambda m: (-m.margin, m.subject, m.metric))
    return of_devices[: company_size([m.margin for m in of_devices])]


def _led(fresh: Iterable[Mover], near: Iterable[Mover]) -> Iterator[list[Mover]]:
    """Yield, for each device that begins to page, who is near it in the same metric.

    The page is told in any case, so to tell it as that of a group costs no budget.
    """
    rest = [*fresh, *near]
    for leader in fresh:
        if leader.scope == DEVICE:
            yield [m for m in rest if m.scope == DEVICE and leader.is_like(m)]


def _others(near: Iterable[Mover], movers: Iterable[Mover]) -> list[Mover]:
    """Return who is near a page and does not page."""
    paging = {(m.subject, m.metric) for m in movers}
    return [m for m in near if (m.subject, m.metric) not in paging]


def _key(each: Found) -> GroupKey:
    return each.finding.tenant_id, each.deployment_group


def _keys(found: Iterable[Found]) -> set[GroupKey]:
    return {_key(each) for each in found if each.finding.scope in (DEVICE, GROUP)}


def _found(incident: Incident, present: Sequence[Mover], step_ms: int, state: State) -> Found:
    finding = finding_of_incident(incident, present, step_ms, state)
    return Found(step_ms, incident.deployment_group, "", finding)


def _totals(sizes: pl.DataFrame) -> list[tuple[str, str, int]]:
    names = ["tenant_id", "deployment_group"]
    return sizes.group_by(names).agg(pl.col("devices").sum()).sort(names).rows()


def _by_group(near: pl.DataFrame) -> dict[GroupKey, list[Mover]]:
    """Return who is near a page, by group: of each stream the newest window of the step."""
    order = ["tenant_id", "deployment_group", "subject", "metric", "window_start"]
    found: dict[GroupKey, dict[tuple[str, str], Mover]] = {}
    for row in near.sort(order).iter_rows(named=True):
        streams = found.setdefault((row["tenant_id"], row["deployment_group"]), {})
        streams[row["subject"], row["metric"]] = Mover(
            DEVICE, row["subject"], row["metric"], row["margin"], row["shift_sigma"],
            Severity.WATCH.value, row["first_seen_ms"], row["step_ms"],
        )  # fmt: skip
    return {key: list(streams.values()) for key, streams in found.items()}
