"""While the input lags, events wait until the backlog has shown what became of them (C7, C12)."""

from dataclasses import replace

from udfs.fleet import FleetState
from udfs.offline_policy import SETTLE_MS, OfflinePolicy
from udfs.partition_clocks import UNKNOWN_MS


def hold_while_lagging(state: FleetState, until_ms: int) -> FleetState:
    """Return the state that lets nothing leave before the input has reached `until_ms` (C7, C12).

    Firings below it wait until the backlog has shown whether they were resolved meanwhile; such a
    pair then leaves with notify=false. Identity, order and times are the same with and without.
    """
    held_ms = until_ms if state.hold_until_ms is None else max(until_ms, state.hold_until_ms)
    return replace(state, hold_until_ms=held_ms, hush_before_ms=held_ms)


def hold_if_lagging(
    state: FleetState, clock_ms: int, now_ms: int, policy: OfflinePolicy
) -> FleetState:
    """Return the state that waits for the backlog when there is one (C7, case 25).

    The only use of a wall clock: it decides when events leave and whom they are told to, and
    nothing of what they are. A hold that is on is not made longer.

    Args:
        state: before a shard's message.
        clock_ms: the clock that the message brings.
        now_ms: wall clock.
        policy: how far behind is a backlog.
    """
    # The shard that is ahead: after a silence of all input the others have not spoken yet.
    ahead_ms = max(*state.clocks_ms, clock_ms)
    is_on = state.hold_until_ms is not None or ahead_ms == UNKNOWN_MS
    if is_on or now_ms - ahead_ms <= policy.lag_after_ms:
        return state
    return hold_while_lagging(state, now_ms + SETTLE_MS)
