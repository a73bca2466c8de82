"""The false-alarm budget of the drift job: from the setting to the thresholds of every detector."""

import pytest

from jobs.drift_job import drift_policy
from jobs.settings import load_settings
from udfs.drift.detector_bank import DetectorBank
from udfs.drift.drift_shard import drift_steps, shard_from_bytes, shard_to_bytes


def gammas(bank: DetectorBank) -> list[float]:
    """Return thresholds: windows between false shifts of devices and groups; distributions."""
    streams, other = bank.members["streams"], bank.members["distributions"]
    detectors = (streams.device_detectors, streams.group_detectors)
    pages = [each.policy.shifts.gamma_page for each in detectors]
    return [*pages, -other.distributions.policy.log10_alpha]


def test_a_tenth_of_the_budget_raises_every_threshold_tenfold_also_after_a_restart():
    usual, strict = (
        drift_policy(load_settings(drift={"budget": text}), 2)
        for text in ("1/10k_device_days", "1/100k_device_days")
    )
    before = gammas(drift_steps(usual).blank(0).bank)
    fresh = drift_steps(strict).blank(0)
    assert gammas(fresh.bank)[:2] == pytest.approx([10 * each for each in before[:2]])
    # A setting acts on what was learned before: the state does not keep it.
    restored = shard_from_bytes(shard_to_bytes(drift_steps(usual).blank(0), usual), strict)
    assert gammas(restored.bank) == gammas(fresh.bank)
    assert gammas(fresh.bank)[2] > before[2]
