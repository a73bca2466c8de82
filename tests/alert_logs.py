"""Logs for tests of alerts, written as a person would tell them.

Times are "12:05:00" or "12:05:00.001" of 2026-01-01; `devices` are registered at 11:59:59, before
the first record. A clock tick stands on every partition each 5 s.
"""

from dataclasses import dataclass, field
from typing import Any

from jobs.backtest import Backtest, BacktestPlan
from jobs.backtest_log import BacktestLog, BlindSpan, LineType, LogLine, parse_time_ms, with_ticks
from udfs.offline_policy import OfflinePolicy

TENANT = "acme"
TICK_MS = 5_000
REGISTERED_AT = "11:59:59"
Event = dict[str, Any]
COARSE = BacktestPlan(fine_ms=None)
FINE = BacktestPlan()


def at(clock: str) -> int:
    """Return a time of the day as UTC ms; "+1 09:00:00" is on the next day."""
    day = 1
    if clock.startswith("+"):
        days, clock = clock[1:].split(" ")
        day += int(days)
    return parse_time_ms(f"2026-01-{day:02d}T{clock}Z")


def every(seconds: float, first: str, last: str) -> list[int]:
    """Return the instants from first to last, inclusive, UTC ms."""
    return list(range(at(first), at(last) + 1, round(seconds * 1000)))


@dataclass
class AlertLog:
    """Builds one log; lines may be told in any order, the log is sorted by time."""

    until: str
    lines: list[LogLine] = field(default_factory=list)
    blind: list[BlindSpan] = field(default_factory=list)

    def register(
        self, *device_ids: str, when: str = REGISTERED_AT, tenant: str = TENANT, **fields: Any
    ) -> "AlertLog":
        """Write registry records; never active before they are seen, unless `status` says so."""
        for device_id in device_ids:
            record = {"tenant_id": tenant, "device_id": device_id, "status": "provisioned"}
            self.add(at(when), LineType.DEVICE, 0, {"record": record | fields})
        return self

    def remove(self, device_id: str, when: str) -> "AlertLog":
        """Write a tombstone."""
        fields = {"record": None, "tenant_id": TENANT, "device_id": device_id}
        return self.add(at(when), LineType.DEVICE, 0, fields)

    def contact(
        self, device_id: str, *whens: str | int, partition: int = 0, **fields: Any
    ) -> "AlertLog":
        """Write one contact of a device at each instant."""
        for when in whens:
            time_ms = when if isinstance(when, int) else at(when)
            said = {"tenant_id": TENANT, "device_id": device_id} | fields
            self.add(time_ms, LineType.CONTACT, partition, said)
        return self

    def control(self, when: str, kind: str, **fields: Any) -> "AlertLog":
        """Let an operator say something; `scope` is the tenant's when none is given."""
        event = {"type": kind, **fields}
        if kind != "ack":
            event["scope"] = {"tenant_id": TENANT} | event.get("scope", {})
        for name in ("from", "until", "expected_back"):
            if name in event:
                event[name] = at(event[name])
        return self.add(at(when), LineType.CONTROL, 0, {"event": event})

    def tick(self, *whens: str, partition: int = 0) -> "AlertLog":
        """Write clock ticks by hand."""
        for when in whens:
            self.add(at(when), LineType.TICK, partition, {})
        return self

    def engine(self, *, stop: str, start: str) -> "AlertLog":
        """Let the engine be down for a while; Kafka goes on."""
        self.add(at(stop), LineType.ENGINE, 0, {"event": "stop"})
        return self.add(at(start), LineType.ENGINE, 0, {"event": "start"})

    def outage(self, first: str, last: str, partition: int | None = None) -> "AlertLog":
        """Write no ticks inside a span."""
        self.blind.append(BlindSpan(partition, at(first), at(last)))
        return self

    def add(self, at_ms: int, kind: LineType, partition: int, fields: Any) -> "AlertLog":
        """Write one line."""
        self.lines.append(LogLine(at_ms, kind, partition, fields))
        return self

    def records(self, tick_ms: int | None = TICK_MS) -> list[LogLine]:
        """Return the whole log, ticks included."""
        ordered = sorted(self.lines, key=lambda line: line.at_ms)
        return list(with_ticks(BacktestLog(ordered, self.blind), tick_ms, at(self.until)))

    def events(
        self, plan: BacktestPlan | None = None, policy: OfflinePolicy | None = None
    ) -> list[Event]:
        """Return all events of the log."""
        return list(Backtest(policy or OfflinePolicy(), plan or COARSE).run(self.records()))

    def of(self, rule: str, **policy: Any) -> list[Event]:
        """Return the events of one rule."""
        events = self.events(policy=OfflinePolicy(**policy))
        return [e for e in events if e["type"] == f"fleetpulse.alert.{rule}"]


def told(events: list[Event]) -> list[tuple[str, str, str]]:
    """Return status, severity and time of each event."""
    return [(e["status"], e["severity"], clock_of(e["time"])) for e in events]


def clock_of(time_ms: int | None) -> str | None:
    """Return an instant as `at` reads it: "12:05:00", with ms only where there are any."""
    if time_ms is None:
        return None
    days, rest_ms = divmod(time_ms - at("00:00:00"), 86_400_000)
    seconds, ms = divmod(rest_ms, 1000)
    clock = f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    clock += f".{ms:03d}" if ms > 0 else ""
    return f"+{days} {clock}" if days > 0 else clock
