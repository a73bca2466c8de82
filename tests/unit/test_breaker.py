"""The breaker as a state machine, against the laws that any breaker must keep."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import SettingsError, Unavailable
from sinks.breaker import (
    Breaker,
    BreakerPolicy,
    BreakerState,
    on_attempt,
    on_failure,
    on_success,
)
from sinks.retry import Circuit, CircuitOpen

POLICY = BreakerPolicy(open_after_count=3, first_pause_ms=100, longest_pause_ms=1_000)

policies = st.builds(
    lambda count, first, factor: BreakerPolicy(count, first, first * factor),
    st.integers(1, 6),
    st.integers(1, 1_000),
    st.integers(1, 100),
)
steps = st.lists(
    st.tuples(st.booleans(), st.integers(0, 5_000), st.floats(0, 1)), min_size=1, max_size=60
)


def failed(times, *, dice=1.0):
    breaker, now_ms = Breaker(), 0
    for _ in range(times):
        now_ms = max(now_ms, breaker.retry_at_ms)
        breaker = on_failure(on_attempt(breaker, now_ms), POLICY, now_ms, dice)
    return breaker, now_ms


@given(policies, steps)
def test_whatever_happens_the_laws_of_a_breaker_hold(policy, steps):
    """Open after just so many failures in a row, no attempt in a pause, one probe after it."""
    breaker, now_ms, run = Breaker(), 0, 0
    for succeeds, elapsed_ms, dice in steps:
        now_ms += elapsed_ms
        if not breaker.may_send(now_ms):
            assert breaker.failure_count > 0
            continue
        was_open = breaker.state is BreakerState.OPEN
        breaker = on_attempt(breaker, now_ms)
        assert (breaker.state is BreakerState.HALF_OPEN) == was_open
        run = 0 if succeeds else run + 1
        if succeeds:
            breaker = on_success(breaker)
        else:
            breaker = on_failure(breaker, policy, now_ms, dice)
            pause_ms = breaker.retry_at_ms - now_ms
            assert 1 <= pause_ms <= policy.longest_pause_ms
        assert breaker.failure_count == run
        is_open = run >= policy.open_after_count
        assert breaker.state is (BreakerState.OPEN if is_open else BreakerState.CLOSED)


@given(policies, st.integers(1, 200), st.floats(0, 1), st.floats(0, 1))
def test_pauses_never_get_shorter_than_half_of_what_they_were(policy, count, dice, other):
    assert 2 * policy.pause_ms(count + 1, dice) >= policy.pause_ms(count, other) - 1
    assert (
        policy.pause_ms(count, 0.0) <= policy.pause_ms(count, dice) <= policy.pause_ms(count, 1.0)
    )


def test_pauses_double_up_to_the_longest():
    """Failures 1 2 3 4 5 6, limit 3: closed closed | open open open open."""
    states = [failed(count)[0].state.value for count in range(1, 7)]
    pauses = [breaker.retry_at_ms - now_ms for breaker, now_ms in map(failed, range(1, 7))]
    assert states == ["closed"] * 2 + ["open"] * 4
    assert pauses == [100, 200, 400, 800, 1_000, 1_000]


def test_an_attempt_in_the_pause_is_a_defect_of_the_caller():
    breaker, now_ms = failed(3)
    with pytest.raises(AssertionError):
        on_attempt(breaker, now_ms)


# --- around calls ---------------------------------------------------------------------------------

QUICK = BreakerPolicy(open_after_count=3, first_pause_ms=1, longest_pause_ms=50)


def now_ms():
    return time.monotonic_ns() // 1_000_000


class Engine:
    """Fails so many times, then answers."""

    def __init__(self, failures, error=Unavailable):
        self.failures = failures
        self.error = error
        self.calls = 0

    def __call__(self):
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error("away")
        return "answer"


def refusing(circuit, attempt):
    with pytest.raises(CircuitOpen) as refused:
        circuit(attempt)
    return refused.value


def test_a_short_fault_is_bridged_by_attempts_in_a_row():
    engine, states = Engine(2), []
    circuit = Circuit(QUICK, threading.Event(), now_ms, on_change=states.append)
    assert circuit(engine) == "answer"
    assert engine.calls == 3
    assert states == []


def test_a_long_fault_opens_the_circuit_and_one_probe_after_another_is_sent_until_it_passes():
    """The clock is ours here: it moves only where the test says so."""
    clock_ms = [0]
    engine, states, errors = Engine(4), [], []
    once = BreakerPolicy(open_after_count=1, first_pause_ms=100, longest_pause_ms=400)
    circuit = Circuit(once, threading.Event(), lambda: clock_ms[0], errors.append, states.append)
    assert "away" in str(refusing(circuit, engine))
    for probe in range(2, 5):
        refusing(circuit, lambda: pytest.fail("sent while it is open"))
        clock_ms[0] += 400
        refusing(circuit, engine)
        assert engine.calls == probe, "one probe a pause"
    clock_ms[0] += 400
    assert circuit.may_send()
    assert circuit(engine) == "answer"
    assert [state.value for state in states] == ["open", "half-open"] * 4 + ["closed"]
    assert len(errors) == 4


def test_an_error_that_will_not_pass_goes_through_and_changes_nothing():
    circuit = Circuit(QUICK, threading.Event(), now_ms)
    with pytest.raises(SettingsError):
        circuit(refuse)
    assert circuit.state is BreakerState.CLOSED


def refuse():
    raise SettingsError("s", value=1, allowed="2", cure="3")


def test_a_stop_ends_the_attempts_at_once():
    stop = threading.Event()
    slow = BreakerPolicy(open_after_count=5, first_pause_ms=60_000, longest_pause_ms=60_000)
    engine = Engine(10)
    circuit = Circuit(slow, stop, now_ms, on_error=lambda _: stop.set())
    refusing(circuit, engine)
    assert engine.calls == 1
