"""Finds the finding that a person means: in the stored tables, or in a file of `detect`.

f-1 whole          the finding of this id
08f0               the only one whose id starts so
3                  of a file: the finding in this line
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jobs.query import Ask
from schemas.errors import SettingsError
from schemas.finding_columns import nested_finding
from schemas.instants import parse_instant_ms
from sinks.read_only_endpoint import quoted
from udfs.drift.finding_messages import finding_of
from udfs.drift.findings import DriftFinding

CANDIDATES_COUNT = 5
"""Named when a prefix is not enough."""
INCIDENT_MAX_COUNT = 1000
ID_MAX_CHARS = 200
FILE_ONLY = {"key", "first_seen_line", "detected_line"}
"""What `fleetpulse detect` writes beside the fields of a finding."""
TIMES = ("first_seen", "detected_at")
BASELINE_TIMES = ("from", "until")


class Explained(NamedTuple):
    """A finding and all that is known of its incident, itself among them."""

    finding: DriftFinding
    incident: list[DriftFinding]


def from_tables(ask: Ask, name: str, tenant_id: str | None = None) -> Explained:
    """Look a finding up in the stored tables.

    Args:
        ask: answers one statement, of the rows that may be seen.
        name: an id, or how it starts.
        tenant_id: whose rows are seen, to be named when there is none.

    Raises:
        SettingsError: none has this id, or several start so.
    """
    if not name or len(name) > ID_MAX_CHARS:
        raise _unknown(f"{name[:20]}", "an id or its beginning", _CURE_TABLES)
    literal = quoted(name)
    statement = (
        "SELECT * EXCEPT (load_batch) FROM drift_findings "  # noqa: S608 - quoted
        f"WHERE startsWith(finding_id, {literal}) ORDER BY finding_id != {literal}, finding_id "
        f"LIMIT 1 BY tenant_id, finding_id LIMIT {CANDIDATES_COUNT + 1}"
    )
    rows = ask(statement).to_dicts()
    where = "a finding" if tenant_id is None else f"a finding of tenant {tenant_id}"
    finding = _only_one([_of_row(row) for row in rows], name, where, _CURE_TABLES)
    statement = (
        "SELECT * EXCEPT (load_batch) FROM drift_findings "  # noqa: S608 - quoted
        f"WHERE tenant_id = {quoted(finding.tenant_id)} "
        f"AND incident_id = {quoted(finding.incident_id)} ORDER BY detected_at, finding_id "
        f"LIMIT 1 BY finding_id LIMIT {INCIDENT_MAX_COUNT}"
    )
    return Explained(finding, [_of_row(row) for row in ask(statement).to_dicts()])


def from_file(path: Path, name: str, tenant_id: str | None = None) -> Explained:
    """Look a finding up in a file of JSON lines.

    Args:
        path: written by `fleetpulse detect`.
        name: an id, how it starts, or the number of a line, from 1.
        tenant_id: only the findings of this tenant; None: all.

    Raises:
        SettingsError: no such finding, several, or the file cannot be read.
    """
    by_line = {
        number: finding
        for number, finding in _read(path).items()
        if tenant_id in {None, finding.tenant_id}
    }
    findings = list(by_line.values())
    cure = f"name an id, its beginning, or a line of {path.name}"
    # An id of digits alone is an id still, when there is one.
    is_line = name.isdecimal() and name not in {finding.finding_id for finding in findings}
    if is_line and int(name) in by_line:
        found = by_line[int(name)]
    else:
        begins = [f for f in findings if f.finding_id.startswith(name)] if name else []
        found = _only_one(begins, name, f"one of the {len(findings)} findings", cure)
    key = found.tenant_id, found.incident_id
    return Explained(found, [f for f in findings if (f.tenant_id, f.incident_id) == key])


_CURE_TABLES = "see `fleetpulse query drift`, or give a file with --file"


def _only_one(found: Sequence[DriftFinding], name: str, allowed: str, cure: str) -> DriftFinding:
    exact = [finding for finding in found if finding.finding_id == name]
    unlike = {(f.tenant_id, f.finding_id) for f in exact or found}
    if not unlike:
        raise _unknown(name, allowed, cure)
    if len(unlike) > 1:
        ids = ", ".join(f"{key} of {tenant}" for tenant, key in sorted(unlike)[:CANDIDATES_COUNT])
        more = ", ..." if len(unlike) > CANDIDATES_COUNT else ""
        raise _unknown(name, f"the id of one finding; so begin {ids}{more}", "write more of it")
    return (exact or found)[0]


def _unknown(name: str, allowed: str, cure: str) -> SettingsError:
    return SettingsError("explain", value=name, allowed=allowed, cure=cure)


def _read(path: Path) -> dict[int, DriftFinding]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            "--file", value=str(path), allowed="JSON lines", cure=f"check the file: {error}"
        ) from error
    return {
        number: _of_line(line, f"{path}, line {number}")
        for number, line in enumerate(lines, 1)
        if line.strip()
    }


def _of_line(line: str, where: str) -> DriftFinding:
    try:
        values = {n: v for n, v in json.loads(line).items() if n not in FILE_ONLY}
        values |= {name: parse_instant_ms(values[name]) for name in TIMES}
        if values["baseline"] is not None:
            times = {name: parse_instant_ms(values["baseline"][name]) for name in BASELINE_TIMES}
            values["baseline"] |= times
        # JSON has no infinity: what is beyond measure is written as null.
        values["log10_e"] = math.inf if values["log10_e"] is None else values["log10_e"]
        return finding_of(values)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise SettingsError(
            "--file",
            value=where,
            allowed=f"a finding as JSON ({type(error).__name__}: {error})",
            cure="write the file with `fleetpulse detect`",
        ) from error


def _of_row(row: dict[str, Any]) -> DriftFinding:
    return finding_of(nested_finding(row))
