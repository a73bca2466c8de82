"""Applies ordered rows to the fleets: counters, emergencies, events, statuses; see `fleet`."""

import json
from collections.abc import Mapping

from schemas.control import Ack, Mute, OfflineRule, parse_control
from udfs.alerts import (
    AlertRecord,
    Transition,
    device_episode,
    device_record,
    info_record,
    partition_record,
)
from udfs.device_status import StatusRecord, status_record
from udfs.emergency import LAST_OF_INSTANT, Moment
from udfs.flapping_events import flapping_record
from udfs.fleet_keys import FleetKey, changes_of
from udfs.fleet_rules import FleetRules
from udfs.hearing import Hearing
from udfs.hushes import Hushes
from udfs.inhibition import Inhibition
from udfs.notices import device_notice, flapping_notice
from udfs.offline_policy import DAY_MS, FleetKind
from udfs.stays import Stays
from udfs.transitions import ENDS, FLAPPING_KINDS, INFO_KINDS, OPEN_KINDS, Cause, Kind
from udfs.waiting_rows import Silence
from udfs.watched_fleet import WatchedFleet

PARTITION_KINDS = (Kind.MET, Kind.BLIND, Kind.HEARD, Kind.GAP)
SILENT_KINDS = (Kind.MOVED, Kind.ROLL_CALL)


class FleetAccount:
    """Applies rows in order to the fleets and collects what follows.

    Args:
        fleets: before; left as they are.
        stays: where devices were while their episodes were open; changed.
        hushes: what operators silence.
        hearing: which partitions speak.
        done_ms: what lies below it was applied before.
        rules: thresholds and channels, and what rules say of them.
    """

    def __init__(
        self,
        fleets: Mapping[FleetKey, WatchedFleet],
        stays: Stays,
        hushes: Hushes,
        hearing: Hearing,
        done_ms: int,
        rules: FleetRules,
    ) -> None:
        self.fleets = dict(fleets)
        self.stays = stays
        self.hushes = hushes
        self.hearing = hearing
        self._blind = hearing.blind
        self._heard: Transition | None = None
        self.silences: list[Silence] = []
        """Partitions that fall silent at the rows to come, or soon after."""
        self.rules = rules
        self.policy = rules.policy
        self._inhibition = Inhibition(self.fleets, stays, self.policy.fleet_kinds)
        kinds: list[int | None] = [*range(FleetKind.SITE * 2)]
        self._kinds = {n: FleetKind(n or 0) & self.policy.fleet_kinds for n in kinds}
        self._kinds[None] = FleetKind.TENANT
        self._done_ms = done_ms
        self.events: list[AlertRecord] = []
        self.statuses: list[StatusRecord] = []
        self._clearing = {k for k, f in fleets.items() if f.clear_since_ms is not None}

    def take(self, row: Transition) -> None:
        """Apply one row."""
        if self._heard is not None and not _is_with(row, self._heard):
            self._count_heard()
        if self._clearing or self.hushes.mutes:
            self._pass_time(row["time_ms"], row["input_clock_ms"])
        if row["kind"] == Kind.CONTROL:
            self._obey(row)
        elif row["kind"] in PARTITION_KINDS:
            self._hear(row)
        elif row["kind"] in INFO_KINDS:
            self.events.append(info_record(row))
        elif row["kind"] in FLAPPING_KINDS:
            notice = flapping_notice(self._inhibition, self.hushes, row, self.policy)
            self.events.append(flapping_record(row, notice))
            self.stays.take(row)
        else:
            self._take_device(row)

    def _take_device(self, row: Transition) -> None:
        if row["seq"] > 0:
            self._tell(row)
        self.stays.take(row)
        if row["kind"] in OPEN_KINDS:
            return
        status = None if row["kind"] in SILENT_KINDS else status_record(row)
        if status is not None:
            self.statuses.append(status)
        for key, changes in changes_of(row, self._kinds[row["fleet_kinds"]]).items():
            fleet = self.fleets.get(key) or WatchedFleet(key)
            self._judge(fleet.counted(changes, row["device_id"], self._blind), row)

    def _obey(self, row: Transition) -> None:
        """Remember what an operator said."""
        event = parse_control(json.loads(row["reason"]))
        if isinstance(event, Mute):
            self.hushes = self.hushes.with_mute(event, row["time_ms"])
        elif isinstance(event, Ack):
            self.hushes = self.hushes.with_ack(event, row["time_ms"])
        elif isinstance(event, OfflineRule):
            self._follow(event, row["time_ms"])

    def _follow(self, rule: OfflineRule, now_ms: int) -> None:
        """Let another share of fleets count: it fires nothing by itself, and may begin a wait."""
        self.rules = self.rules.with_rule(rule, now_ms)
        tenant_id = rule.scope.tenant_id
        for key in [k for k, f in self.fleets.items() if f.emergency and k.tenant_id == tenant_id]:
            policy = self.rules.policy_of(key.subject)
            self._keep(self.fleets[key].watched_clear(now_ms, policy))

    def _hear(self, row: Transition) -> None:
        """Tell of a partition; it counts when all that falls on its instant is known."""
        if row["seq"] > 0:
            self.events.append(partition_record(row, self.policy))
        self.hearing = self.hearing.after(Kind(row["kind"]), row["partition"])
        self._heard = row

    def _count_heard(self) -> None:
        """Count the devices of partitions that are heard, and no others."""
        row, self._heard = self._heard, None
        self.hearing = self.hearing.settled(self._fallen_at(row["time_ms"]) if row else frozenset())
        if row is not None and self._blind != self.hearing.blind:
            self._blind = self.hearing.blind
            for key in sorted(self.fleets):
                self._judge(self.fleets[key].without_blind(self._blind), row)

    def _fallen_at(self, now_ms: int) -> frozenset[int]:
        """Return which partitions have spoken for the last time, and do not count as silent yet."""
        return frozenset(s.partition for s in self.silences if s.start_ms < now_ms < s.time_ms)

    def _tell(self, row: Transition) -> None:
        notice = device_notice(self._inhibition, self.hushes, row, self.policy)
        is_hidden = row["kind"] == Kind.MUTE_ENDED and row["is_in_maintenance"]
        is_named = self.hushes.acks or self.hushes.hidden_ends or is_hidden
        episode_id = device_episode(row).id if is_named else ""
        is_acked = self.hushes.is_acked(episode_id, row["time_ms"])
        self.events.append(device_record(row, notice, is_acked=is_acked))
        if row["kind"] in ENDS:
            self.hushes = self.hushes.without_episode(episode_id)
        elif is_hidden:
            self.hushes = self.hushes.with_hidden_end(episode_id, row["time_ms"])

    def pass_time(self, below_ms: int, input_clock_ms: int) -> None:
        """Do what time alone brings about before an instant, in order."""
        self._count_heard()
        if self._done_ms // DAY_MS != below_ms // DAY_MS:
            for fleet in list(self.fleets.values()):
                self._keep(fleet.without_old(self._done_ms))
        self._pass_time(below_ms, input_clock_ms)

    def _pass_time(self, below_ms: int, input_clock_ms: int) -> None:
        if self.hushes.mutes:
            self._end_mutes(below_ms, input_clock_ms)
        if self._clearing:
            self._end_waits(below_ms, input_clock_ms)
        self._done_ms = max(self._done_ms, below_ms)

    def _end_mutes(self, below_ms: int, input_clock_ms: int) -> None:
        """Tell of emergencies whose mute ended before an instant and after those that passed."""
        firing = [key for key, fleet in self.fleets.items() if fleet.emergency is not None]
        after_ms = self._done_ms - 1
        ends = [
            (end_ms, key)
            for key in firing
            for end_ms in self.hushes.mute_ends(key.subject, after_ms, below_ms)
        ]
        for end_ms, key in sorted(ends):
            self._end_waits(end_ms, input_clock_ms)
            fleet = self.fleets[key]
            if fleet.emergency is not None and fleet.emergency.start_ms < end_ms:
                causes = self._inhibition.of_fleet(key, self.hushes, end_ms)
                clock_ms = min(input_clock_ms, below_ms)
                fleet, event = fleet.unmuted(end_ms, clock_ms, self.policy, causes)
                self.events.append(event)
                self._keep(fleet)

    def _end_waits(self, below_ms: int, input_clock_ms: int) -> None:
        """End the emergencies that stayed clear long enough before an instant."""
        hold_ms = self.policy.resolve_hold_ms
        waits = [((self.fleets[key].clear_since_ms or 0) + hold_ms, key) for key in self._clearing]
        for end_ms, key in sorted(wait for wait in waits if wait[0] < below_ms):
            end = end_ms, LAST_OF_INSTANT
            self._end(self.fleets[key], end, min(input_clock_ms, below_ms), None)

    def _judge(self, fleet: WatchedFleet, row: Transition) -> None:
        """Begin or end what N and M ask for after a row."""
        moment: Moment = row["time_ms"], row["device_id"]
        if fleet.emergency is not None and fleet.monitored_count == 0:
            self._end(fleet, moment, row["input_clock_ms"], Cause.NO_MONITORED_DEVICES)
            return
        # A change of the registry alone never fires, nor a partition that is heard again: only a
        # device that falls silent does.
        is_rise = row["kind"] == Kind.WARNING and row["offline_delta"] > 0
        is_rise = is_rise and row["partition"] not in self._blind
        policy = self.rules.policy_of(fleet.key.subject)
        if fleet.emergency is None and is_rise and fleet.is_emergency_reached(policy):
            causes = self._inhibition.of_fleet(fleet.key, self.hushes, moment[0])
            fleet, event = fleet.with_emergency(moment, row["input_clock_ms"], self.policy, causes)
            self.events.append(event)
        self._keep(fleet.watched_clear(row["time_ms"], policy))

    def _end(
        self, fleet: WatchedFleet, moment: Moment, input_clock_ms: int, reason: Cause | None
    ) -> None:
        ended, event = fleet.without_emergency(moment, input_clock_ms, self.policy, reason)
        self.events.append(event)
        self._keep(ended)

    def _keep(self, fleet: WatchedFleet) -> None:
        if fleet.is_idle():
            self.fleets.pop(fleet.key, None)
        else:
            self.fleets[fleet.key] = fleet
        if fleet.clear_since_ms is None:
            self._clearing.discard(fleet.key)
        else:
            self._clearing.add(fleet.key)


def _is_with(row: Transition, other: Transition) -> bool:
    """Return whether a row, too, tells of a partition at another's instant."""
    return row["kind"] in PARTITION_KINDS and row["time_ms"] == other["time_ms"]
