"""What devices are called: group and site, hardware, firmware and model, now and before."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from udfs.device_columns import NO_LABEL, DeviceColumns, is_monitored, is_open
from udfs.offline_policy import FleetKind, OfflinePolicy
from udfs.partition_clocks import Bools, Rows


class LabelCodes(NamedTuple):
    """Numbers of the labels of devices, shape (n,) each."""

    claim: NDArray[Any]
    twin: NDArray[Any]

    @classmethod
    def of(cls, rows: Rows) -> "LabelCodes":
        """Return a copy of those of some rows."""
        return cls(rows["claim"].copy(), rows["twin"].copy())

    def is_equal(self, other: "LabelCodes") -> bool:
        """Return whether all numbers are the same."""
        return all(np.array_equal(*pair) for pair in zip(self, other, strict=True))


def groups_of(devices: DeviceColumns, rows: Rows) -> NDArray[Any]:
    """Return the group of each row's device: the registry's word before its own."""
    twin = _texts([label.deployment_group for label in devices.twins.labels], rows["twin"])
    claim = _texts([label.deployment_group for label in devices.claims.labels], rows["claim"])
    return np.where(twin == "", claim, twin)


def sites_of(devices: DeviceColumns, rows: Rows) -> NDArray[Any]:
    """Return the site of each row's device."""
    return _texts([label.site for label in devices.twins.labels], rows["twin"])


def are_regrouped(devices: DeviceColumns, rows: Rows, after: Rows, policy: OfflinePolicy) -> Bools:
    """Return of which devices the fleets, or an open episode, must learn of a new place.

    Args:
        devices: for labels.
        rows: DEVICE_ROW before, shape (n,).
        after: the same afterwards.
        policy: whether groups and sites are watched.
    """
    regrouped: Bools = (rows["claim"] != after["claim"]) | (rows["twin"] != after["twin"])
    # The end of an episode is told as its beginning was, so as of the place it had then.
    is_counted = is_monitored(rows) & (policy.fleet_kinds != FleetKind.TENANT)
    regrouped &= is_open(rows) | is_counted
    if regrouped.any():
        before, now = rows[regrouped], after[regrouped]
        has_other = groups_of(devices, before) != groups_of(devices, now)
        has_other |= sites_of(devices, before) != sites_of(devices, now)
        regrouped[regrouped] = has_other
    return regrouped


def _texts(texts: list[str], codes: NDArray[Any]) -> NDArray[Any]:
    assert NO_LABEL == -1, "the last one answers for no label"
    found: NDArray[Any] = np.array([*texts, ""], dtype=object)[codes]
    return found


def labels_of(codes: LabelCodes, devices: DeviceColumns) -> dict[str, list[str]]:
    """Return the texts of labels, as columns of `TRANSITION_SCHEMA`."""
    claims = {code: devices.claims.label_of(code) for code in np.unique(codes.claim).tolist()}
    twins = {code: devices.twins.label_of(code) for code in np.unique(codes.twin).tolist()}
    claim, twin = codes.claim.tolist(), codes.twin.tolist()

    def column(pick: Callable[[Any, Any], str]) -> list[str]:
        pairs = zip(claim, twin, strict=True)
        return [pick(claims[claimed], twins[registered]) for claimed, registered in pairs]

    return {
        "deployment_group": column(lambda c, t: t.deployment_group or c.deployment_group),
        "site": column(lambda _c, t: t.site),
        "hardware_revision": column(lambda c, _t: c.hardware_revision),
        "firmware_version": column(lambda c, _t: c.firmware_version),
        "model_version": column(lambda c, t: c.model_version or t.model_version),
    }


def left_labels(
    left: LabelCodes, now: LabelCodes, devices: DeviceColumns
) -> dict[str, list[str | None]]:
    """Return group and site of before, as columns of `TRANSITION_SCHEMA`; null where the same."""
    if left.is_equal(now):
        return {name: [None] * len(now.twin) for name in ("left_group", "left_site")}
    before, after = labels_of(left, devices), labels_of(now, devices)

    def column(name: str) -> list[str | None]:
        pairs = zip(before[name], after[name], strict=True)
        return [None if was == is_now else was for was, is_now in pairs]

    return {"left_group": column("deployment_group"), "left_site": column("site")}
