"""`fleetpulse backtest`: the alerting logic over a recorded or hand-written log, without a broker.

    file -> lines and ticks -> blocks -> liveness, shard by shard -> fleet stage -> events -> file

It runs the very functions that the Flink job runs. While the engine is down (`engine` lines) the
log goes on: what it missed is read as one backlog when it starts, from its state's bytes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from jobs.backtest_blocks import BlockWriter, NumberedLine, numbered_lines
from jobs.backtest_log import (
    LineError,
    LineType,
    LogLine,
    parse_duration_ms,
    parse_time_ms,
    read_log,
    with_ticks,
)
from jobs.offline_settings import offline_policy
from jobs.settings import Settings, choose_settings_file, load_settings
from schemas.errors import SettingsError
from schemas.instants import format_instant
from udfs.alerts import AlertRecord
from udfs.backlog import hold_while_lagging
from udfs.fleet import FleetState, FleetStep, on_transitions
from udfs.liveness import LivenessBlock, LivenessShard, Step, on_block, on_end
from udfs.offline_policy import OfflinePolicy

BLOCK_MAX_LINES = 10_000
ENGINES = ("pure", "flink")
FINE_MS = 1_000
TIME_FIELDS = ("time", "emitted_at", "starts_at", "escalated_at", "ends_at", "last_seen")


@dataclass(frozen=True)
class BacktestPlan:
    """How a log is cut up: nothing but `input_clock` and the delay may depend on it.

    Args:
        shard_count: how many shards the devices are spread over.
        block_max_lines: most lines of one block.
        fine_ms: a block with events is read again in parts down to this span, so that
            `input_clock` is what a running engine would have seen; None to leave it.
    """

    shard_count: int = 1
    block_max_lines: int = BLOCK_MAX_LINES
    fine_ms: int | None = FINE_MS


class Backtest:
    """Runs the pure logic over lines of a log and keeps its state between blocks.

    Args:
        policy: thresholds and channels.
        plan: shards and block sizes.
    """

    def __init__(self, policy: OfflinePolicy, plan: BacktestPlan | None = None) -> None:
        self._plan = plan or BacktestPlan()
        self._policy = policy
        self._writer = BlockWriter(self._plan.shard_count, policy.blind_after_ms)
        self.shards = [LivenessShard.empty(shard) for shard in range(self._plan.shard_count)]
        self.fleet = FleetState.empty(self._plan.shard_count)

    def run(self, lines: Iterable[LogLine]) -> Iterator[AlertRecord]:
        """Yield the events of a whole log, in order."""
        block: list[NumberedLine] = []
        is_down = False
        for numbered in numbered_lines(lines):
            if numbered.line.type is not LineType.ENGINE:
                block.append(numbered)
                if len(block) >= self._plan.block_max_lines and not is_down:
                    yield from self.take(block)
                    block = []
            elif numbered.line.fields["event"] == "stop" and not is_down:
                yield from self.take(block)
                block, is_down = [], True
            elif numbered.line.fields["event"] == "start" and is_down:
                is_down = False
                self.restart()
                self.fleet = hold_while_lagging(self.fleet, numbered.line.at_ms)
                yield from self._apply(block)[0]
                block = []
        if not is_down:  # what comes while the engine is down, nobody has read
            yield from self.take(block)
            yield from self.end()

    def take(self, lines: list[NumberedLine]) -> list[AlertRecord]:
        """Apply lines; where something happens, in parts as fine as the plan wants them."""
        if not lines:
            return []
        before = list(self.shards), self.fleet
        events, is_quiet = self._apply(lines)
        span_ms = lines[-1].line.at_ms - lines[0].line.at_ms
        if is_quiet or self._plan.fine_ms is None or span_ms <= self._plan.fine_ms:
            return events
        self.shards, self.fleet = before
        middle = len(lines) // 2
        return self.take(lines[:middle]) + self.take(lines[middle:])

    def _apply(self, lines: list[NumberedLine]) -> tuple[list[AlertRecord], bool]:
        """Apply one block; also say whether nothing that makes an event was found."""
        events: list[AlertRecord] = []
        is_quiet = True
        for shard, block in enumerate(self.blocks_of(lines)):
            step = on_block(self.shards[shard], block, self._policy)
            is_quiet &= not (step.transitions["seq"] > 0).any()
            events += self._settle(shard, step)
        return events, is_quiet and not events

    def blocks_of(self, lines: list[NumberedLine]) -> list[LivenessBlock]:
        """Return what lines are for each shard."""
        return self._writer.write(lines)

    def end(self) -> list[AlertRecord]:
        """Settle what the end of the log settles."""
        events: list[AlertRecord] = []
        for shard, state in enumerate(self.shards):
            step = on_end(state, self._policy)
            # Nothing that still waits for a backlog to be read may be lost.
            clock_ms = max(step.clock_ms, self.fleet.hold_until_ms or 0)
            events += self._settle(shard, replace(step, clock_ms=clock_ms))
        return events

    def restart(self) -> None:
        """Go on from the bytes of the state, as after a crash."""
        self.shards = [LivenessShard.from_bytes(state.to_bytes()) for state in self.shards]
        self.fleet = FleetState.from_bytes(self.fleet.to_bytes())

    def _settle(self, shard: int, step: Step) -> list[AlertRecord]:
        self.shards[shard] = step.state
        done: FleetStep = on_transitions(
            self.fleet, shard, step.transitions, step.clock_ms, self._policy
        )
        self.fleet = done.state
        return done.events


@dataclass(frozen=True)
class LogFile:
    """A log file and how to read it.

    Args:
        path: JSONL, see `backtest_log`.
        settings_file: TOML with settings; the group `offline` counts.
        until: time at which the log ends; its last line when None.
        ticks: interval at which clock ticks are added, such as `5s`; none when None.
    """

    path: Path
    settings_file: Path | None = None
    until: str | None = None
    ticks: str | None = None

    def settings(self) -> Settings:
        """Return the settings that count.

        Raises:
            SettingsError: the file, or a setting, is wrong.
        """
        if self.settings_file is not None:
            choose_settings_file(self.settings_file)
        return load_settings()

    def lines(self) -> list[LogLine]:
        """Return the log, ticks added.

        Raises:
            SettingsError: the file, a line or an argument is wrong.
        """
        tick_ms = None if self.ticks is None else parse_duration_ms(self.ticks)
        return list(with_ticks(read_log(self.path), tick_ms, _until_ms(self.until)))


def run_backtest(source: LogFile, out: Path, engine: str = "pure") -> int:
    """Run the alerting logic over a log file and write each event as one JSON line.

    Args:
        source: the log.
        out: where the events go, in order.
        engine: `pure`, or `flink` for a broker and the real job.

    Returns:
        How many events were written.

    Raises:
        SettingsError: a file, a line, a setting or an argument is wrong.
        Unavailable: with `flink`, a part of the engine did not start or ended.
    """
    if engine not in ENGINES:
        cure = "use pure: it runs the same logic"
        raise SettingsError("--engine", value=engine, allowed=" or ".join(ENGINES), cure=cure)
    settings, lines = source.settings(), source.lines()
    if engine == "flink":
        from jobs.backtest_flink import run_in_flink  # noqa: PLC0415 - a broker and its clients

        events: Iterable[AlertRecord] = run_in_flink(lines, settings.offline)
    else:
        events = Backtest(offline_policy(settings.offline)).run(lines)
    count = 0
    with out.open("wb") as file:
        for event in events:
            file.write(orjson.dumps(readable(event), option=orjson.OPT_APPEND_NEWLINE))
            count += 1
    return count


def _until_ms(until: str | None) -> int | None:
    if until is None:
        return None
    try:
        return parse_time_ms(int(until) if until.isdecimal() else until)
    except LineError as error:
        raise SettingsError(
            "--until",
            value=until,
            allowed=str(error),
            cure="write it like 2026-01-01T14:00:00Z",
        ) from error


def readable(event: AlertRecord) -> dict[str, Any]:
    """Return an event with its times as RFC 3339; it is emitted when the input clock shows it."""
    times = {**event, "emitted_at": event["input_clock"]}
    formatted = {
        name: None if times[name] is None else format_instant(times[name])
        for name in (*TIME_FIELDS, "input_clock")
    }
    return {**event, **formatted}
