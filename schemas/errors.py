"""The errors of Fleetpulse and their three fates.

    FleetpulseError
    ├── Rejected             one message is bad        -> dead letter, counted, until there are
    ├── RejectLimitExceeded  too many of them          -> stop, one line that names the cure
    ├── Unavailable          a part is away            -> bounded retry with backoff, then fail
    └── SettingsError        it cannot work like this  -> refuse to start, one line, the cure

Anything else that is raised is a defect of ours: it is not caught, and the job crashes.
"""

from enum import StrEnum


class Reason(StrEnum):
    """Why a message is in the dead letters: the closed list."""

    BAD_MAGIC = "bad_magic"
    SCHEMA_UNKNOWN = "schema_unknown"
    SCHEMA_REFUSED = "schema_refused"
    AVRO_INVALID = "avro_invalid"
    JSON_INVALID = "json_invalid"
    OVERSIZE = "oversize"
    LIMIT_EXCEEDED = "limit_exceeded"
    IDENTITY_INVALID = "identity_invalid"
    TENANT_MISMATCH = "tenant_mismatch"
    ROW_REFUSED = "row_refused"
    CONTROL_INVALID = "control_invalid"


class FleetpulseError(Exception):
    """The root of everything Fleetpulse raises on purpose."""


class Rejected(FleetpulseError):
    """One message cannot be accepted; its neighbours are not touched.

    Args:
        reason: why, from the closed list.
        detail: one clear line, without any value of the record.
    """

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class RejectLimitExceeded(FleetpulseError):
    """So much was rejected that a job stops rather than drain a topic into the dead letters."""


class Unavailable(FleetpulseError):
    """A part that we need does not answer; trying again may help."""


class SettingsError(FleetpulseError):
    """A setting, or the state of a part it names, does not allow to start.

    Args:
        setting: the setting's full name, or the part that is in the way.
        value: what was found; never a secret.
        allowed: what would be accepted.
        cure: what the user can do about it.
    """

    def __init__(self, setting: str, *, value: object, allowed: str, cure: str) -> None:
        super().__init__(f"{setting} = {value!r}; allowed: {allowed}; cure: {cure}")
        self.setting = setting
