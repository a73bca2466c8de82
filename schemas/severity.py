"""How bad an event is."""

from enum import StrEnum


class Severity(StrEnum):
    """How bad an event is; never whether it still lasts."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"
    EMERGENCY = "emergency"
