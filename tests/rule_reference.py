"""Which thresholds a device has, said the simplest way: all rules of the log are read again.

It shares no code with the engine: part of `alert_reference`.
"""

from typing import Any

from jobs.backtest_log import LogLine

WARNING_MS, CRITICAL_MS = 300_000, 1_800_000
Labels = dict[str, str]
"""device_id, deployment_group and site, as far as they are known."""


def rule_lines(lines: list[LogLine]) -> list[LogLine]:
    """Return the lines that say a rule about silence."""
    controls = [line for line in lines if line.type == "control"]
    return [line for line in controls if line.fields["event"]["type"] == "rule"]


def thresholds(rules: list[LogLine], labels: Labels, at_ms: int) -> tuple[int, int]:
    """Return after how much silence a device warns and turns critical at an instant, ms."""
    found = []
    for name, usual in (("warning_after_s", WARNING_MS), ("critical_after_s", CRITICAL_MS)):
        said = [
            (_width(rule), line.at_ms, rule["rule_id"], rule[name])
            for line, rule in _latest(rules, at_ms)
            if name in rule and _is_about(rule, labels)
        ]
        found.append(round(1000 * max(said)[-1]) if said else usual)
    return found[0], found[1]


def _latest(rules: list[LogLine], at_ms: int) -> list[tuple[LogLine, dict[str, Any]]]:
    """Return what was said last of each rule that is on."""
    last = {line.fields["event"]["rule_id"]: line for line in rules if line.at_ms <= at_ms}
    pairs = [(line, line.fields["event"]) for line in last.values()]
    return [(line, rule) for line, rule in pairs if rule.get("enabled", True)]


def _is_about(rule: dict[str, Any], labels: Labels) -> bool:
    narrow = {name: value for name, value in rule["scope"].items() if name != "tenant_id"}
    return all(labels.get(name) == value for name, value in narrow.items())


def _width(rule: dict[str, Any]) -> int:
    names = set(rule["scope"])
    return 2 if "device_id" in names else 1 if names & {"deployment_group", "site"} else 0
