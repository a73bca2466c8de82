"""What a person may ask by name, and with which options."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from jobs.instants import instant_ms
from jobs.query_range import Span
from schemas.errors import SettingsError

SEVERITIES = ("emergency", "critical", "warning", "info")
"""Of alerts, the worst first."""
ROWS_DEFAULT_COUNT = 100
NAME_MAX_CHARS = 256


class NamedQuery(StrEnum):
    """The questions that need no SQL."""

    FLEET = "fleet"
    ALERTS = "alerts"
    HISTORY = "history"
    DEVICE = "device"
    GROUPS = "groups"
    MODELS = "models"
    DRIFT = "drift"
    ROLLOUTS = "rollouts"
    USAGE = "usage"
    ACCOUNTS = "accounts"


class Option(StrEnum):
    """What narrows a question; the value is the flag's name."""

    SINCE = "since"
    UNTIL = "until"
    METRIC = "metric"
    GROUP = "group"
    MODEL = "model"
    SEVERITY = "severity"
    DEVICE = "device"


_STRETCH = frozenset({Option.SINCE, Option.UNTIL})
TAKES: Mapping[NamedQuery, frozenset[Option]] = {
    NamedQuery.FLEET: frozenset({Option.GROUP, Option.MODEL}),
    NamedQuery.ALERTS: frozenset({Option.SEVERITY, Option.DEVICE, Option.GROUP}),
    NamedQuery.HISTORY: _STRETCH | {Option.SEVERITY, Option.DEVICE, Option.GROUP},
    NamedQuery.DEVICE: _STRETCH | {Option.METRIC},
    NamedQuery.GROUPS: _STRETCH | {Option.GROUP, Option.MODEL, Option.METRIC},
    NamedQuery.MODELS: _STRETCH | {Option.GROUP, Option.MODEL, Option.METRIC},
    NamedQuery.DRIFT: frozenset({Option.METRIC}),
    NamedQuery.ROLLOUTS: frozenset({Option.GROUP, Option.MODEL}),
    NamedQuery.USAGE: frozenset(),
    NamedQuery.ACCOUNTS: frozenset(),
}
"""The options of each question; another one would be ignored silently, so it is refused."""


@dataclass(frozen=True)
class Asked:
    """A question by name.

    Args:
        name: which one.
        words: for `device` its identity, for `history` what to look for.
        options: the value of each that was given.
        tenant_id: whose rows; None: of all.
        limit: rows at most.
    """

    name: NamedQuery
    words: tuple[str, ...] = ()
    options: Mapping[Option, str] | None = None
    tenant_id: str | None = None
    limit: int = ROWS_DEFAULT_COUNT

    def option(self, option: Option) -> str | None:
        """Return the value of an option; None when it was not given."""
        return None if self.options is None else self.options.get(option)

    @property
    def device_id(self) -> str | None:
        """Return the device that is asked about, if one is."""
        return self.words[0] if self.name is NamedQuery.DEVICE else self.option(Option.DEVICE)

    def span(self, now_ms: int, *, length_ms: int, end_ms: int | None = None) -> Span:
        """Return the stretch of time that is asked about.

        Args:
            now_ms: from which `2h` counts back.
            length_ms: of the stretch when `--since` is not given.
            end_ms: of the stretch when neither end is given; None: now.

        Raises:
            SettingsError: an instant cannot be read.
        """
        since, until = self.option(Option.SINCE), self.option(Option.UNTIL)
        default_end_ms = now_ms if since is not None or end_ms is None else end_ms
        until_ms = default_end_ms if until is None else instant_ms("--until", until, now_ms)
        if since is None:
            return Span(until_ms - length_ms, until_ms)
        return Span(instant_ms("--since", since, now_ms), until_ms)

    @property
    def has_stretch(self) -> bool:
        """Say whether a stretch of time was asked for."""
        return any(self.option(option) is not None for option in _STRETCH)


def named_request(
    words: Sequence[str],
    options: Mapping[Option, str | None],
    tenant_id: str | None = None,
    limit: int = ROWS_DEFAULT_COUNT,
) -> Asked | None:
    """Return what was asked by name; None when the words are SQL.

    >>> named_request(["device", "cam-7"], {Option.SINCE: "2h"}).device_id
    'cam-7'
    >>> named_request(["SELECT 1"], {}) is None
    True

    Raises:
        SettingsError: a question with words or options that it does not take.
    """
    first, *rest = words
    given = {option: value for option, value in options.items() if value is not None}
    if first not in list(NamedQuery):
        _require_sql(words, given)
        return None
    name = NamedQuery(first)
    _require_words(name, rest)
    _require_options(name, given)
    return Asked(name, tuple(rest), given, tenant_id, limit)


def _require_sql(words: Sequence[str], given: Mapping[Option, str]) -> None:
    text = " ".join(words)
    if re.fullmatch(r"[\w-]+", text):
        allowed = ", ".join(NamedQuery)
        cure = "see `fleetpulse query --help`"
        raise SettingsError("query", value=text, allowed=f"{allowed}, or one SELECT", cure=cure)
    if given:
        raise SettingsError(
            "query",
            value=" ".join(f"--{option}" for option in given),
            allowed="these only with a question by name",
            cure="write the condition into the SELECT",
        )


def _require_words(name: NamedQuery, words: Sequence[str]) -> None:
    if name is NamedQuery.HISTORY:
        return
    if name is NamedQuery.DEVICE and len(words) == 0:
        raise SettingsError(
            "query device",
            value=None,
            allowed="the identity of a device",
            cure="name it: `fleetpulse query device cam-00007`",
        )
    if len(words) > (1 if name is NamedQuery.DEVICE else 0):
        raise SettingsError(
            f"query {name}",
            value=" ".join(words),
            allowed="`device ID`, `history TEXT`, or the name alone",
            cure="see `fleetpulse query --help`",
        )


def _require_options(name: NamedQuery, given: Mapping[Option, str]) -> None:
    for option, value in given.items():
        if option not in TAKES[name]:
            taken = ", ".join(f"--{each}" for each in Option if each in TAKES[name]) or "none"
            raise SettingsError(
                f"query {name} --{option}",
                value=value,
                allowed=f"of the options that narrow it: {taken}",
                cure="leave it out",
            )
        if len(value) > NAME_MAX_CHARS:
            cure = "write the whole name, and no more"
            allowed = f"at most {NAME_MAX_CHARS} characters"
            raise SettingsError(f"--{option}", value=f"{value[:20]}...", allowed=allowed, cure=cure)
    severity = given.get(Option.SEVERITY)
    if severity is not None and severity not in SEVERITIES:
        allowed = ", ".join(SEVERITIES)
        raise SettingsError(
            "--severity", value=severity, allowed=allowed, cure="choose one of them"
        )
