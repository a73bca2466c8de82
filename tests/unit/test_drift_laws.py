"""The drift job without Flink: what it says is a function of the logs."""

import random
from collections.abc import Sequence

from hypothesis import given, note, settings
from hypothesis import strategies as st

from schemas.control import AcceptNewNormal, Scope
from tests.alert_logs import TENANT, Event, at
from tests.drift_chain import DriftChain, bad_log, random_bad_log
from tests.rules_chain import Aggregate, Written, controls_of
from tests.unit.test_rules_laws import blocks_of, muted
from udfs.drift.drift_shard import DriftPolicy
from udfs.drift.findings import DriftFinding, State

TICK_MS = 30_000
UNTIL_MS = at("13:20:00")


def accepted(metric: str = "temp", **narrow: str) -> AcceptNewNormal:
    return AcceptNewNormal(scope=Scope(tenant_id=TENANT, **narrow), metric=metric)


def said(chain: DriftChain) -> tuple[list[DriftFinding], list[Event]]:
    """Return what left, in an order that does not depend on the shards."""
    findings = sorted(chain.findings, key=lambda f: (f.incident_id, f.detected_at_ms, f.state))
    return findings, sorted(chain.alerts, key=lambda e: (e["episode_id"], e["seq"]))


@settings(max_examples=2, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 2, 4]), st.booleans())
def test_findings_depend_on_no_cut_shard_or_restart_nor_on_which_partition_is_read_first(
    seed: int,
    shard_count: int,
    is_restarted: bool,  # noqa: FBT001 - drawn
) -> None:
    note(f"seed {seed}")
    chance = random.Random(seed)
    aggregate = Aggregate(TICK_MS, telemetry_count=3, windows_count=3, is_gathered=True)
    written = aggregate.windows(random_bad_log(seed), UNTIL_MS)
    controls = controls_of(
        (at("12:20:00"), muted(at("12:25:00"), at("12:45:00"), device_id="d1")),
        (at("12:50:00"), muted(at("12:50:00"), at("13:05:00"), deployment_group="g0")),
        (at("12:40:00"), accepted(device_id="d0")),
        (at("12:55:00"), accepted(deployment_group="g1")),
    )
    policy = DriftPolicy(partition_count=3)

    def told(
        chain: DriftChain, blocks: Sequence[Sequence[Written]]
    ) -> tuple[list[DriftFinding], list[Event]]:
        chain.control(controls)
        for block in blocks:
            chain.windows(block)
        return said(chain)

    whole = told(DriftChain(policy=policy), [written])
    blocks = blocks_of(written, chance, 15)
    assert told(DriftChain(shard_count, policy, is_restarted), blocks) == whole
    ahead = [w for w in written if w.partition == 0]
    behind = [[w for w in block if w.partition != 0] for block in blocks]
    assert told(DriftChain(shard_count, policy, is_restarted), [ahead, *behind]) == whole


def test_the_random_logs_say_something() -> None:
    chain = DriftChain()
    for seed in range(2):
        chain = DriftChain(findings=chain.findings, alerts=chain.alerts)
        chain.windows(Aggregate(TICK_MS, is_gathered=True).windows(random_bad_log(seed), UNTIL_MS))
    assert {f.state for f in chain.findings} == {State.FIRING, State.RESOLVED}
    assert len({f.incident_id for f in chain.findings}) >= 2


# d0   0 good 10 NaN 25 good          windows 10, 15, 20 are bad; 25 is good
# d1   0 good 10 NaN 20 good          two bad windows are none
def test_three_windows_without_a_value_fire_and_the_next_good_one_resolves() -> None:
    chain = DriftChain()
    log = bad_log({"d0": (10, 25), "d1": (10, 20)}, 45)
    chain.windows(Aggregate(TICK_MS, is_gathered=True).windows(log, UNTIL_MS))
    found = [(f.subject, f.state, f.first_seen_ms, f.detected_at_ms) for f in chain.findings]
    assert found == [
        ("d0", State.FIRING, at("12:10:00"), at("12:25:00")),
        ("d0", State.RESOLVED, at("12:10:00"), at("12:30:00")),
    ]
    firing, resolved = chain.alerts
    assert (firing["type"], firing["subject"]) == ("fleetpulse.alert.data-quality", "device/d0")
    assert (firing["severity"], firing["channels"], firing["notify"]) == (
        "warning",
        ["email"],
        True,
    )
    assert (firing["labels"]["group"], firing["labels"]["metric"]) == ("g", "temp")
    assert firing["episode_id"] == resolved["episode_id"]
    assert (firing["seq"], resolved["seq"], resolved["status"]) == (1, 2, "resolved")
    assert resolved["ends_at"] == at("12:30:00")
    # A window leaves with the step after the device's next one; ticks come each 30 s.
    assert at("12:25:00") < firing["input_clock"] <= at("12:27:00")


def test_what_is_accepted_ends_and_counts_anew() -> None:
    chain = DriftChain()
    chain.control(controls_of((at("12:40:00"), accepted(device_id="d0"))))
    log = bad_log({"d0": (10, 70), "d1": (10, 70)}, 70)
    chain.windows(Aggregate(TICK_MS, is_gathered=True).windows(log, at("13:10:00")))
    told = [(f.subject, f.state, f.reason) for f in chain.findings]
    fires = (State.FIRING, "no value could be read")
    assert told == [
        ("d0", *fires),
        ("d1", *fires),
        ("d0", State.RESOLVED, "accepted_new_normal"),
        ("d0", *fires),
    ]
    assert len({f.incident_id for f in chain.findings}) == 3


def test_who_is_muted_is_not_told_until_the_mute_ends() -> None:
    chain = DriftChain()
    mute = muted(at("12:20:00"), at("12:50:00"), deployment_group="g")
    chain.control(controls_of((at("12:00:00"), mute)))
    log = bad_log({"d0": (10, 70)}, 70)
    chain.windows(Aggregate(TICK_MS, is_gathered=True).windows(log, at("13:10:00")))
    told = [(e["seq"], e["notify"], e["reason"], e["suppressed_by"]) for e in chain.alerts]
    assert told == [(1, False, "unreadable", ["mute"]), (2, True, "mute_ended", [])]


def test_while_the_input_lags_alerts_wait_and_what_is_over_notifies_nobody() -> None:
    policy = DriftPolicy(partition_count=2, lag_after_ms=60_000)
    log = bad_log({"d0": (10, 25)}, 45)
    written = Aggregate(TICK_MS, is_gathered=True).windows(log, UNTIL_MS)
    chain = DriftChain(policy=policy)
    for begin in range(0, len(written), 20):
        chain.windows(written[begin : begin + 20], now_ms=at("13:00:00"))
    assert [f.state for f in chain.findings] == [State.FIRING, State.RESOLVED]
    assert [(e["status"], e["notify"]) for e in chain.alerts] == [
        ("firing", False),
        ("resolved", False),
    ]
