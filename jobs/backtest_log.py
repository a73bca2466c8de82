"""The recorded or hand-written log that `fleetpulse backtest` reads: one JSON object a line.

    {"at":…,"type":"contact","partition":0,"tenant_id":…,"device_id":…,"boot_id":…,"sequence":…,
     "points":[…]}
    {"at":…,"type":"tick","partition":0}
    {"at":…,"type":"device","record":{…}}     a null record is a tombstone: tenant_id, device_id
    {"at":…,"type":"control","event":{…}}     what an operator says, see `schemas/control.py`
    {"at":…,"type":"engine","event":"stop"|"start"}
    {"type":"blind","partition":0|"all","from":…,"until":…}

Lines are in log order; `at` is the append time, RFC 3339 or epoch ms.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from schemas.control import ControlRefused, parse_control
from schemas.errors import SettingsError
from schemas.instants import parse_instant_ms

DEFAULT_PARTITION = 0
DURATION_UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}


class LineType(StrEnum):
    """What a line is."""

    CONTACT = "contact"
    TICK = "tick"
    DEVICE = "device"
    CONTROL = "control"
    ENGINE = "engine"
    BLIND = "blind"


@dataclass(frozen=True)
class LogLine:
    """One record of the log.

    Args:
        at_ms: append time, UTC ms.
        type: what it is.
        partition: where it lies, for contacts and ticks.
        fields: everything the line says.
    """

    at_ms: int
    type: LineType
    partition: int
    fields: dict[str, Any]


@dataclass(frozen=True)
class BlindSpan:
    """A span in which no ticks are added; its ends still have one."""

    partition: int | None
    from_ms: int
    until_ms: int

    def mutes(self, partition: int, at_ms: int) -> bool:
        """Return whether a tick of a partition is left out."""
        is_here = self.partition is None or self.partition == partition
        return is_here and self.from_ms < at_ms < self.until_ms


@dataclass(frozen=True)
class BacktestLog:
    """A whole log."""

    lines: list[LogLine]
    blind_spans: list[BlindSpan]

    def partitions(self) -> list[int]:
        """Return every partition that a line names; the default one if there is none."""
        named = {
            line.partition for line in self.lines if line.type in (LineType.CONTACT, LineType.TICK)
        }
        named |= {span.partition for span in self.blind_spans if span.partition is not None}
        return sorted(named) or [DEFAULT_PARTITION]


class LineError(ValueError):
    """One line of the log is not what it should be."""


def read_log(path: Path) -> BacktestLog:
    """Read a log.

    Raises:
        SettingsError: the file is missing, or a line is wrong; names the line, and what would do.
    """
    if not path.is_file():
        raise SettingsError(
            "--input", value=str(path), allowed="a JSONL file", cure="check the path"
        )
    lines: list[LogLine] = []
    spans: list[BlindSpan] = []
    with path.open("rb") as file:
        for number, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                parsed = parse_line(text)
            except LineError as error:
                raise SettingsError(
                    f"{path.name} line {number}",
                    value=text[:60].decode(errors="replace").strip(),
                    allowed=str(error),
                    cure="correct the line, or leave it out",
                ) from error
            if isinstance(parsed, BlindSpan):
                spans.append(parsed)
            else:
                lines.append(parsed)
    return BacktestLog(lines, spans)


def parse_line(text: bytes) -> LogLine | BlindSpan:
    """Read one line.

    Raises:
        LineError: it is not one of the known shapes; the message says what is allowed.
    """
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise LineError("one JSON object a line") from error
    if not isinstance(fields, dict) or fields.get("type") not in list(LineType):
        raise LineError(f'"type" one of {", ".join(LineType)}')
    kind = LineType(fields["type"])
    if kind is LineType.BLIND:
        partition = fields.get("partition", "all")
        where = None if partition == "all" else _partition(partition)
        return BlindSpan(
            where, parse_time_ms(fields.get("from")), parse_time_ms(fields.get("until"))
        )
    _check_fields(kind, fields)
    partition = _partition(fields.get("partition", DEFAULT_PARTITION))
    return LogLine(parse_time_ms(fields.get("at")), kind, partition, fields)


def _check_fields(kind: LineType, fields: dict[str, Any]) -> None:
    named = fields
    if kind is LineType.DEVICE and fields.get("record") is not None:
        named = fields["record"]
    if kind in (LineType.CONTACT, LineType.DEVICE):
        for name in ("tenant_id", "device_id"):
            if not isinstance(named.get(name), str) or not named[name]:
                raise LineError(f'"{name}", a string')
    if kind is LineType.CONTACT and "/" in fields["tenant_id"]:
        raise LineError('"tenant_id" without "/"')
    if kind is LineType.CONTROL:
        try:
            parse_control(fields.get("event"))
        except ControlRefused as error:
            raise LineError(f'"event" with {error}') from error
    if kind is LineType.ENGINE and fields.get("event") not in ("stop", "start"):
        raise LineError('"event" one of stop, start')


def _partition(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise LineError('"partition", an integer from 0')
    return value


def parse_time_ms(value: object) -> int:
    """Return an instant as UTC ms.

    Raises:
        LineError: neither RFC 3339 with an offset nor epoch ms.
    """
    try:
        return parse_instant_ms(value)
    except ValueError as error:
        raise LineError(str(error)) from error


def parse_duration_ms(text: str) -> int:
    """Return a duration such as `5s`, `500ms` or `2m` as ms.

    >>> parse_duration_ms("5s"), parse_duration_ms("500ms")
    (5000, 500)

    Raises:
        SettingsError: not a number with a unit.
    """
    for unit, factor in DURATION_UNITS_MS.items():
        number = text.removesuffix(unit)
        if number != text and number.isdecimal() and int(number) > 0:
            return int(number) * factor
    raise SettingsError(
        "--ticks", value=text, allowed="a number with ms, s, m or h", cure="write 5s"
    )


def with_ticks(log: BacktestLog, tick_ms: int | None, until_ms: int | None) -> Iterator[LogLine]:
    """Yield the lines in log order up to `until_ms`, with ticks on every partition between them.

    Ticks stand on whole multiples of `tick_ms`, from the first line on.
    """
    if not log.lines:
        return
    last_ms = max(line.at_ms for line in log.lines)
    end_ms = last_ms if until_ms is None else until_ms
    partitions = log.partitions()
    next_ms = None if tick_ms is None else -(-log.lines[0].at_ms // tick_ms) * tick_ms
    for line in log.lines:
        while (
            tick_ms is not None and next_ms is not None and next_ms <= min(line.at_ms - 1, end_ms)
        ):
            yield from _ticks_at(next_ms, partitions, log.blind_spans)
            next_ms += tick_ms
        if line.at_ms <= end_ms:
            yield line
    while tick_ms is not None and next_ms is not None and next_ms <= end_ms:
        yield from _ticks_at(next_ms, partitions, log.blind_spans)
        next_ms += tick_ms


def _ticks_at(at_ms: int, partitions: list[int], spans: list[BlindSpan]) -> Iterator[LogLine]:
    for partition in partitions:
        if not any(span.mutes(partition, at_ms) for span in spans):
            yield LogLine(at_ms, LineType.TICK, partition, {})
