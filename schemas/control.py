"""What operators tell the engine while it runs: maintenance, mutes, acknowledgements, rules.

A control event acts from its own append time on, never backwards. It is data, never text that is
pasted anywhere; each field has a limit, and what breaks one is refused by the field's name.
"""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from schemas.instants import format_instant, parse_instant_ms
from schemas.severity import Severity

FAR_MS = 4_102_444_800_000
"""2100-01-01: nobody plans beyond it, and a time in the wrong unit lies there."""
EPISODE_ID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"


def _instant_ms(value: object) -> int:
    time_ms = parse_instant_ms(value)
    if not 0 <= time_ms < FAR_MS:
        raise ValueError("times from 1970 to 2100")
    return time_ms


Instant = Annotated[int, BeforeValidator(_instant_ms), PlainSerializer(format_instant)]
"""UTC ms; written as RFC 3339."""
Name = Annotated[str, Field(min_length=1, max_length=256)]
Seconds = Annotated[float, Field(ge=1, le=30 * 86_400)]


class ControlRefused(ValueError):
    """A control event is not what it should be; the text names the field, and shows no other."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Scope(_Part):
    """Whom an event is about: a tenant, or one device, group or site of it."""

    tenant_id: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[^/\x00]+$")]
    device_id: Name | None = None
    deployment_group: Name | None = None
    site: Name | None = None

    @model_validator(mode="after")
    def _check_narrow(self) -> "Scope":
        if sum(each is not None for each in (self.device_id, self.deployment_group, self.site)) > 1:
            raise ValueError("at most one of device_id, deployment_group, site")
        return self

    def covers(self, tenant_id: str, device_id: str, deployment_group: str, site: str) -> bool:
        """Return whether a device belongs to the scope."""
        return (
            self.tenant_id == tenant_id
            and self.device_id in (None, device_id)
            and self.deployment_group in (None, deployment_group)
            and self.site in (None, site)
        )

    @property
    def key(self) -> str:
        """Return a text that only this scope has."""
        for name in ("device_id", "deployment_group", "site"):
            value = getattr(self, name)
            if value is not None:
                return f"{self.tenant_id}/{name}/{value}"
        return self.tenant_id


class _Span(_Part):
    scope: Scope
    from_ms: Instant = Field(alias="from")
    until_ms: Instant = Field(alias="until")

    @field_validator("until_ms")
    @classmethod
    def _check_order(cls, until_ms: int, before: ValidationInfo) -> int:
        if until_ms <= before.data.get("from_ms", -1):
            raise ValueError("after from")
        return until_ms


class Maintenance(_Span):
    """Silence in it is excused: nobody in it turns warning or critical (C11)."""

    type: Literal["maintenance"] = "maintenance"


class Mute(_Span):
    """Nobody is told meanwhile; nothing is excused (C13)."""

    type: Literal["mute"] = "mute"


class Ack(_Part):
    """Somebody has taken an episode on."""

    type: Literal["ack"] = "ack"
    episode_id: Annotated[str, Field(pattern=EPISODE_ID)]


class Goodbye(_Part):
    """Devices leave on purpose; their silence counts from `expected_back` on (C11)."""

    type: Literal["goodbye"] = "goodbye"
    scope: Scope
    expected_back_ms: Instant = Field(alias="expected_back")


class OfflineRule(_Part):
    """Other thresholds of the ladder and the emergency for a scope; None leaves the usual one."""

    type: Literal["rule"] = "rule"
    rule_id: Name
    enabled: bool = True
    scope: Scope
    warning_after_s: Seconds | None = None
    critical_after_s: Seconds | None = None
    emergency_ratio: Annotated[float, Field(gt=0, le=1)] | None = None

    @model_validator(mode="after")
    def _check_order(self) -> "OfflineRule":
        both = self.warning_after_s, self.critical_after_s
        if None not in both and both[0] >= both[1]:  # type: ignore[operator]  # None is ruled out
            raise ValueError("critical_after_s must be above warning_after_s")
        return self


class ThresholdRule(_Part):
    """A metric's figure that must not pass a threshold, window by window."""

    type: Literal["rule"] = "rule"
    rule_id: Name
    enabled: bool = True
    scope: Scope
    per: Literal["device", "group"] = "device"
    metric: Annotated[str, Field(min_length=1, max_length=128)]
    aggregate: Literal["mean", "min", "max", "sum", "count", "p50", "p90", "p95", "p99"]
    operator: Literal[">", ">=", "<", "<="]
    threshold: Annotated[float, Field(allow_inf_nan=False)]
    for_windows: Annotated[int, Field(ge=1, le=100)] = 1
    clear_threshold: Annotated[float, Field(allow_inf_nan=False)] | None = None
    severity: Severity = Severity.WARNING
    channels: Annotated[tuple[Name, ...], Field(max_length=10)] = ()

    @model_validator(mode="after")
    def _check_clear(self) -> "ThresholdRule":
        clear = self.threshold if self.clear_threshold is None else self.clear_threshold
        is_beyond = clear > self.threshold if self.operator[0] == ">" else clear < self.threshold
        if is_beyond:
            raise ValueError("clear_threshold must not lie on the breach's side of threshold")
        return self


class AcceptNewNormal(_Part):
    """What a metric does now is its new reference."""

    type: Literal["accept_new_normal"] = "accept_new_normal"
    scope: Scope
    metric: Annotated[str, Field(min_length=1, max_length=128)]


ControlEvent: TypeAlias = (
    Maintenance | Mute | Ack | Goodbye | OfflineRule | ThresholdRule | AcceptNewNormal
)

_MODELS: dict[str, type[ControlEvent]] = {
    "maintenance": Maintenance,
    "mute": Mute,
    "ack": Ack,
    "goodbye": Goodbye,
    "accept_new_normal": AcceptNewNormal,
}


def parse_control(fields: object) -> ControlEvent:
    """Return the control event that some JSON object says.

    A rule with a `metric` is a threshold rule, any other one is about silence.

    >>> mute = {"type": "mute", "scope": {"tenant_id": "acme"}, "from": 0, "until": 5}
    >>> parse_control(mute).until_ms
    5
    >>> parse_control(mute | {"from": 5})
    Traceback (most recent call last):
    schemas.control.ControlRefused: until: after from

    Raises:
        ControlRefused: it says none.
    """
    kind = fields.get("type") if isinstance(fields, dict) else None
    if kind == "rule" and isinstance(fields, dict):
        model: type[ControlEvent] = ThresholdRule if "metric" in fields else OfflineRule
    elif kind in _MODELS:
        model = _MODELS[str(kind)]
    else:
        raise ControlRefused(f"type: one of {', '.join([*_MODELS, 'rule'])}")
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"])) or "event"
        text = first["msg"].removeprefix("Value error, ")
        raise ControlRefused(f"{field}: {text}") from error


def control_fields(event: ControlEvent) -> dict[str, Any]:
    """Return the JSON object that `parse_control` reads as this event."""
    return event.model_dump(mode="json", by_alias=True, exclude_none=True)


def control_key(event: ControlEvent) -> str:
    """Return the key on the topic: a later event with the same key takes an earlier one's place."""
    if isinstance(event, Ack):
        return f"ack/{event.episode_id}"
    if isinstance(event, OfflineRule | ThresholdRule):
        return f"{event.scope.tenant_id}/rule/{event.rule_id}"
    if isinstance(event, AcceptNewNormal):
        return f"{event.scope.key}/accept_new_normal/{event.metric}"
    return f"{event.scope.key}/{event.type}"
