"""How late alerts are while a fleet runs at its full rate, and when all of it falls silent."""

import json
import time
from typing import Any

from benchmarks.alert_arrivals import (
    Arrival,
    arrival,
    firings,
    latency_figures,
    require_each_once,
    require_one_emergency,
)
from benchmarks.dying_fleet import WARM_UP_S, dying_device_ids, fleet_of
from benchmarks.machine import cpu_shares, load_1_min
from benchmarks.simulator import SUMMARY_FILE
from benchmarks.topic_tap import TopicTap
from jobs.local_stack import LocalStack
from schemas.records import decode_record
from schemas.severity import Severity
from schemas.topics import Topic

SIMULATOR = "simulator"
SIMULATOR_READY_S = 120.0
CONTACT_INTERVAL_S = 60.0
PATIENCE_S = 60.0
"""What comes later than this after it is due counts as lost; far above the goal."""
POLL_INTERVAL_S = 0.5
LEVELS = (Severity.WARNING, Severity.CRITICAL)


class AlertRun:
    """One stack, one fleet, and all that its alerts topic has said.

    Args:
        stack: running, with nothing sent yet.
        span_s: over which some devices of the fleet fall silent, one by one.
    """

    def __init__(self, stack: LocalStack, span_s: float) -> None:
        self._stack, self._settings, self._span_s = stack, stack.settings, span_s
        self._arrivals: list[Arrival] = []
        self._tap = TopicTap(stack.settings, Topic.ALERTS, self._note)

    def run(self, *, with_storm: bool) -> dict[str, Any]:
        """Return the figures of the steady fleet and, when asked, of its silence.

        Raises:
            Unavailable: a part of the stack ended.
            AssertionError: an event is missing, wrong, or there once too often.
        """
        with self._tap:
            figures: dict[str, Any] = {"steady": self._steady()}
            if with_storm:
                figures["storm"] = self._storm()
        return figures

    def _note(self, value: bytes, sent_ms: int, arrived_ms: int) -> None:
        self._arrivals.append(arrival(decode_record(Topic.ALERTS, value), sent_ms, arrived_ms))

    def _steady(self) -> dict[str, Any]:
        """Some devices fall silent while the others go on."""
        dying = dying_device_ids(self._settings, self._span_s)
        began_s, before = time.monotonic(), self._stack.processes()
        self._stack.start_module(SIMULATOR, "benchmarks.dying_fleet", str(self._span_s))
        self._stack.wait_until_ready(SIMULATOR, timeout_s=SIMULATOR_READY_S)
        silent_s = WARM_UP_S + self._span_s + self._settings.offline.critical_after_s
        self._wait_for_firings(len(dying) * len(LEVELS), silent_s)
        elapsed_s = time.monotonic() - began_s
        for severity in LEVELS:
            require_each_once(firings(self._arrivals, severity), dying)
        told = [seen for seen in self._arrivals if seen.is_device_firing]
        assert all(seen.is_told for seen in told), "a device's event was hushed"
        assert not any(seen.is_emergency_firing for seen in self._arrivals), "a false emergency"
        return latency_figures(told) | {
            "devices_silent": len(dying),
            "load_1_min": load_1_min(),
            "cpu_share": cpu_shares(before, self._stack.processes(), elapsed_s),
        }

    def _storm(self) -> dict[str, Any]:
        """All devices that are left fall silent at once, each after its last contact."""
        dead = set(dying_device_ids(self._settings, self._span_s))
        left = [device for device in fleet_of(self._settings).device_ids if device not in dead]
        known = len(self._arrivals)
        self._stack.stop_process(SIMULATOR)
        sent = json.loads((self._stack.run_dir / SUMMARY_FILE).read_text(encoding="utf-8"))
        device_count = self._settings.fleet.device_count
        assert sent["device_records"] == device_count, f"registered: {sent['device_records']}"
        self._wait_for_firings(
            (device_count * len(LEVELS)), self._settings.offline.critical_after_s
        )
        found = self._arrivals[known:]
        for severity in LEVELS:
            require_each_once(firings(found, severity), left)
        emergency = require_one_emergency(found, device_count)
        silent_ms = [seen.silent_since_ms or 0 for seen in firings(found, Severity.WARNING)]
        return {
            "devices_silent": len(left),
            "fell_silent_within_s": round((max(silent_ms) - min(silent_ms)) / 1000, 1),
            "warnings": latency_figures(firings(found, Severity.WARNING)),
            "criticals": latency_figures(firings(found, Severity.CRITICAL)),
            "emergencies_told": 1,
            "emergency_latency_s": (emergency.arrived_ms - emergency.due_ms) / 1000,
            "rate": _rate(sent),
            "load_1_min": load_1_min(),
        }

    def _wait_for_firings(self, count: int, expected_s: float) -> None:
        """Wait until so many firings of devices have come since the beginning."""
        counted = FiringCount(self._arrivals)
        give_up_s = time.monotonic() + expected_s + CONTACT_INTERVAL_S + PATIENCE_S
        while (found := counted()) < count:
            self._tap.check()
            assert time.monotonic() < give_up_s, f"{found} of {count} firings have come"
            time.sleep(POLL_INTERVAL_S)


class FiringCount:
    """Counts firings of devices in a growing list, looking at each of its entries once."""

    def __init__(self, arrivals: list[Arrival]) -> None:
        self._arrivals, self._looked_at, self._count = arrivals, 0, 0

    def __call__(self) -> int:
        """Return how many there are."""
        end = len(self._arrivals)
        self._count += sum(seen.is_device_firing for seen in self._arrivals[self._looked_at : end])
        self._looked_at = end
        return self._count


def _rate(sent: dict[str, Any]) -> dict[str, float]:
    per_min = 60 / sent["elapsed_s"]
    names = ("messages", "points")
    return {f"{name}_per_min": round(sent[name] * per_min) for name in names}
