"""Who is told what, said the simplest way: part of `alert_reference`."""

import math
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from tests.alert_logs import TENANT

HOLD_MS = 300_000
PATIENCE_MS = 60_000
SPACE = uuid5(NAMESPACE_URL, "fleetpulse")
Fact = dict[str, Any]


def leaves_ms(fact: Fact) -> int:
    """Return when a fact is told: of strangers, a minute late."""
    return int(fact["time"]) + (PATIENCE_MS if fact["kind"] == "stranger" else 0)


class Fold:
    """Adds the facts of all devices up, and says who is told what by remembering who was."""

    def __init__(self) -> None:
        self.monitored = self.offline = 0
        self.homes: dict[int, list[int]] = {}
        self.away: set[int] = set()
        self.emergency: int | None = None
        self.clear_ms: int | None = None
        self.begun: tuple[int, str] | None = None
        self.told: dict[str, list[str]] = {}
        self.finals: dict[str, int] = {}
        self.flaps: dict[str, bool] = {}
        self.out: list[dict[str, Any]] = []

    def events(self, facts: list[Fact], end_ms: int) -> list[dict[str, Any]]:
        for fact in facts:
            self._wait(leaves_ms(fact))
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
        if fact["kind"] in ("flapping", "calm"):
            self._flap(fact)
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
                self.begun = fact["time"], fact["device"]
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

    def _flap(self, fact: Fact) -> None:
        device, time_ms, is_over = fact["device"], fact["time"], fact["kind"] == "calm"
        if is_over:
            notify = self.flaps.pop(device)
        else:
            notify = self.emergency is None or self.begun == (time_ms, device)
            self.flaps[device] = notify
        more = {"notify": notify, "reason": fact["reason"]} if is_over else {"notify": notify}
        status = "resolved" if is_over else "firing"
        self._emit("flapping", device, fact["since"], 1 + is_over, time_ms, status, **more)

    def _device(self, fact: Fact) -> None:
        is_end = fact["kind"] in ("resolved", "removed", "rule_changed")
        stage = fact.get("stage") or {"warning": 1, "critical": 2}[fact["kind"]]
        channels = {1: ["email"], 2: ["sms", "slack"]}[stage]
        subject = fact["device"]
        if is_end:
            told = self.told.pop(subject, [])
            seq, notify = stage + 1 + self.finals.get(subject, 0), bool(told)
            if fact["kind"] != "rule_changed":
                self.finals.pop(subject, None)
            channels = list(dict.fromkeys(told)) or (
                ["email"] if stage == 1 else ["email", "sms", "slack"]
            )
        else:
            is_final = fact["kind"] == "final"
            seq = stage + is_final + self.finals.get(subject, 0)
            self.finals[subject] = is_final + self.finals.get(subject, 0)
            notify = self.emergency is None and not fact["hidden"] and not fact.get("flapping")
            if notify:
                self.told[subject] = self.told.get(subject, []) + channels
        reasons = {"removed": "decommissioned", "rule_changed": "rule_changed"}
        reasons["final"] = "flapping_ended"
        self._emit(
            "device-offline",
            subject,
            fact["start"],
            seq + fact["used"],
            fact["time"],
            "resolved" if is_end else "firing",
            notify=notify,
            channels=channels,
            starts_at=fact["starts"],
            **({} if fact["kind"] == "final" else {"blind_seconds": fact["excused"] / 1000}),
            severity={1: "warning", 2: "critical"}[stage],
            reason=reasons.get(fact["kind"]),
        )

    def _emit(
        self, rule: str, device: str, start: int, seq: int, time_ms: int, status: str, **more: Any
    ) -> None:
        episode: UUID = uuid5(SPACE, f"{TENANT}/{rule}/device/{device}/{start}")
        event = {"id": str(uuid5(episode, str(seq))), "time": time_ms, "status": status}
        self.out.append(event | more)
