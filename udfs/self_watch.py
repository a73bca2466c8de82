"""Whether the engine keeps up: its heartbeat, and one event when its input lags (cases 25, 33).

    input clock -- 12:00:00 -- 12:00:30 -- 12:01:00 --    one `watchdog` event as each is passed
    lag (wall clock - input clock)    > 60 s for 60 s  -> monitor-lagging fires
                                      < 10 s for 60 s  -> it is resolved

A stuck engine cannot say that it is stuck: that no watchdog comes any more is the alarm. Unlike all
other events, lagging is about the engine and not about the log, so a replay tells of its own lag.
"""

from dataclasses import asdict, dataclass, replace

from schemas.instants import format_instant
from schemas.severity import Severity
from schemas.topics import CLOCK_TENANT_ID
from udfs.alerts import AlertRecord, Episode, Head, Notice, Rule, Status, alert_record
from udfs.offline_policy import OfflinePolicy
from udfs.partition_clocks import UNKNOWN_MS
from udfs.state_bytes import StateLayoutError, pack_state, unpack_state

BEAT_EVERY_MS = 30_000
LAGS_ABOVE_MS = 60_000
CAUGHT_UP_BELOW_MS = 10_000
STANDS_FOR_MS = 60_000
"""So long a lag, or its end, must last to be told of."""
SUBJECT = "partition/all"
STATE_VERSION = 1


@dataclass(frozen=True)
class SelfWatch:
    """What is remembered between two messages.

    Args:
        beat_ms: input clock of the last watchdog event, a multiple of `BEAT_EVERY_MS`.
        lagging_since_ms: while lagging is told of, the input clock when it was found.
        changing_since_ms: wall clock since which the lag has been what would end or begin it.
    """

    beat_ms: int = UNKNOWN_MS
    lagging_since_ms: int | None = None
    changing_since_ms: int | None = None

    def to_bytes(self) -> bytes:
        """Return it as versioned bytes."""
        return pack_state(STATE_VERSION, {}, asdict(self))

    @classmethod
    def from_bytes(cls, packed: bytes) -> "SelfWatch":
        """Return what `to_bytes` wrote.

        Raises:
            StateLayoutError: a version that this release cannot restore.
        """
        state = unpack_state(packed)
        if state.version != STATE_VERSION:
            raise StateLayoutError(f"self watch of version {state.version}")
        return cls(**state.meta)


def on_progress(
    watch: SelfWatch, clock_ms: int, now_ms: int, policy: OfflinePolicy
) -> tuple[SelfWatch, list[AlertRecord]]:
    """Look at the engine's own progress.

    Args:
        watch: before.
        clock_ms: the slowest input clock that runs; -1 before any input.
        now_ms: wall clock.
        policy: for channels.

    Returns:
        What to remember, and the events.
    """
    if clock_ms == UNKNOWN_MS:
        return watch, []
    watch, beats = _beaten(watch, clock_ms, now_ms)
    watch, told = _compared(watch, clock_ms, now_ms, policy)
    return watch, beats + told


def _beaten(watch: SelfWatch, clock_ms: int, now_ms: int) -> tuple[SelfWatch, list[AlertRecord]]:
    """Tell of the newest beat that the clock has passed; in a backlog the others are old news."""
    beat_ms = clock_ms - clock_ms % BEAT_EVERY_MS
    if beat_ms <= watch.beat_ms:
        return watch, []
    event = alert_record(
        _head(Rule.WATCHDOG, beat_ms, 1, Status.INFO, Severity.INFO, clock_ms),
        Notice(is_told=False, channels=()),
        value=_lag_s(clock_ms, now_ms),
        summary=f"The engine has read up to {format_instant(clock_ms)}.",
    )
    return replace(watch, beat_ms=beat_ms), [event]


def _compared(
    watch: SelfWatch, clock_ms: int, now_ms: int, policy: OfflinePolicy
) -> tuple[SelfWatch, list[AlertRecord]]:
    """Begin or end lagging when the lag has called for it long enough."""
    lag_ms, is_told = now_ms - clock_ms, watch.lagging_since_ms is not None
    calls_for_change = lag_ms < CAUGHT_UP_BELOW_MS if is_told else lag_ms > LAGS_ABOVE_MS
    if not calls_for_change:
        return replace(watch, changing_since_ms=None), []
    since_ms = now_ms if watch.changing_since_ms is None else watch.changing_since_ms
    if now_ms - since_ms < STANDS_FOR_MS:
        return replace(watch, changing_since_ms=since_ms), []
    start_ms = clock_ms if watch.lagging_since_ms is None else watch.lagging_since_ms
    lagging_since_ms = None if is_told else start_ms
    changed = replace(watch, lagging_since_ms=lagging_since_ms, changing_since_ms=None)
    return changed, [_lagging_event(start_ms, clock_ms, now_ms, policy, is_over=is_told)]


def _lagging_event(
    start_ms: int, clock_ms: int, now_ms: int, policy: OfflinePolicy, *, is_over: bool
) -> AlertRecord:
    status = Status.RESOLVED if is_over else Status.FIRING
    seq = 2 if is_over else 1
    lag_s = _lag_s(clock_ms, now_ms)
    said = "has caught up with" if is_over else f"is {lag_s:.0f} s behind"
    return alert_record(
        _head(Rule.MONITOR_LAGGING, start_ms, seq, status, Severity.WARNING, clock_ms),
        Notice(is_told=True, channels=policy.channels_of(Severity.WARNING)),
        previous_severity=Severity.WARNING.value if is_over else None,
        time=clock_ms,
        starts_at=start_ms,
        ends_at=clock_ms if is_over else None,
        threshold_s=LAGS_ABOVE_MS / 1000,
        value=lag_s,
        summary=f"The engine {said} its input.",
    )


def _head(
    rule: Rule, start_ms: int, seq: int, status: Status, severity: Severity, clock_ms: int
) -> Head:
    episode = Episode(CLOCK_TENANT_ID, rule, SUBJECT, start_ms)
    return Head(episode, seq, status, severity, start_ms, clock_ms)


def _lag_s(clock_ms: int, now_ms: int) -> float:
    return max(0, now_ms - clock_ms) / 1000
