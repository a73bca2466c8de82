"""What to say when nothing was found: what was looked for, where, and what is there instead."""

import difflib
from collections.abc import Callable, Iterable

import polars as pl

from jobs.query_range import DAYS, Span
from jobs.query_request import Asked, NamedQuery, Option
from jobs.query_statements import newest_sql
from jobs.query_texts import instant_text
from schemas.printable import printable
from sinks.read_only_endpoint import quoted

Ask = Callable[[str], pl.DataFrame]
"""Answers one statement, for one tenant when one is set."""

CANDIDATES_MAX_COUNT = 200
"""Names that the engine hands over as the nearest; a fleet may have a million."""
NEAR_MAX_COUNT = 3
NEAR_RATIO_MIN = 0.6
NAME_MAX_CHARS = 80
NAMED_BY: dict[Option, tuple[str, str]] = {
    Option.DEVICE: ("device_id", "device_status"),
    Option.GROUP: ("deployment_group", "device_status"),
    Option.MODEL: ("model_version", "device_status"),
    # The tenant's own rows name every metric, in the fewest rows.
    Option.METRIC: ("metric", f"{DAYS.name} WHERE scope = 'tenant'"),
}
"""Where the names are that a person can ask for: column and table."""
SUBJECTS = {
    NamedQuery.FLEET: "device",
    NamedQuery.ALERTS: "open alert",
    NamedQuery.HISTORY: "alert event",
    NamedQuery.DRIFT: "drifting metric",
    NamedQuery.ROLLOUTS: "rollout",
    NamedQuery.ACCOUNTS: "account",
}


def absence(ask: Ask, asked: Asked, span: Span | None = None, where: str = "") -> tuple[str, ...]:
    """Return the sentences of an empty answer.

    Args:
        ask: answers a statement.
        asked: what had no answer.
        span: the stretch of time that was looked at.
        where: it was looked, such as `hours`.
    """
    subject = SUBJECTS.get(asked.name, "window" if where != "raw points" else "raw point")
    time_text = "" if span is None else f", from {span}"
    where_text = f" (looked in: {where})" if where else ""
    said = [f"no {subject}{_conditions(asked)}{time_text}{where_text}"]
    said += unknown_names(ask, asked)
    if len(said) == 1 and span is not None and asked.name is not NamedQuery.HISTORY:
        said += _newest(ask, asked)
    if len(said) == 1 and asked.name is NamedQuery.FLEET:
        said.append(
            "a device is known when it was registered or heard; `fleetpulse status` says more"
        )
    if len(said) == 1 and asked.name is NamedQuery.ACCOUNTS and asked.tenant_id is not None:
        said.append("the account of a topic that tenants share is shown without --tenant only")
    return tuple(said)


def _conditions(asked: Asked) -> str:
    given = {option: asked.option(option) for option in Option}
    given[Option.DEVICE] = asked.device_id
    named = [
        f" of {option} {_shown(value)}"
        for option, value in given.items()
        if value is not None and option not in {Option.SINCE, Option.UNTIL}
    ]
    tenant = [] if asked.tenant_id is None else [f" of tenant {_shown(asked.tenant_id)}"]
    text = f" with {_shown(' '.join(asked.words))}" if _has_text(asked) else ""
    return "".join([*named, *tenant]) + text


def _has_text(asked: Asked) -> bool:
    return asked.name is NamedQuery.HISTORY and len(asked.words) > 0


def _shown(name: str) -> str:
    return printable(name, NAME_MAX_CHARS)


def _newest(ask: Ask, asked: Asked) -> list[str]:
    newest = ask(newest_sql(asked)).row(0, named=True)
    if newest["row_count"] == 0:
        return ["nothing of it is stored at all"]
    return [f"its newest window ends at {instant_text(newest['end_ms'])} UTC"]


def unknown_names(ask: Ask, asked: Asked) -> list[str]:
    """Return a sentence for each name in a question that nothing has, with names like it."""
    said = []
    for option in NAMED_BY:
        name = asked.device_id if option is Option.DEVICE else asked.option(option)
        if name is not None:
            said += _unknown_name(ask, option, name)
    return said


def _unknown_name(ask: Ask, option: Option, name: str) -> list[str]:
    candidates = ask(candidates_sql(option, name))["name"].to_list()
    if name in candidates:
        return []
    near = near_names(name, candidates)
    hint = f"; near it: {', '.join(map(_shown, near))}" if near else ""
    return [f"no {option} {_shown(name)} is known{hint}"]


def candidates_sql(option: Option, name: str) -> str:
    """Return the names that are the most alike, the name itself first when it exists."""
    column, table = NAMED_BY[option]
    return f"""
SELECT DISTINCT toString({column}) AS name FROM {table}
ORDER BY name != {quoted(name)}, ngramDistanceCaseInsensitive(name, {quoted(name)}), name
LIMIT {CANDIDATES_MAX_COUNT}"""  # noqa: S608 - quoted


def near_names(name: str, candidates: Iterable[str]) -> list[str]:
    """Return the few names that a person may have meant, the likeliest first.

    >>> near_names("CAM-7", ["cam-00007", "cam-00012", "door-1", ""])
    ['cam-00007']
    """
    wanted = difflib.SequenceMatcher(b=name.casefold())
    judged = []
    for candidate in filter(None, candidates):
        wanted.set_seq1(candidate.casefold())
        judged.append((-wanted.ratio(), candidate))
    return [candidate for ratio, candidate in sorted(judged) if -ratio >= NEAR_RATIO_MIN][
        :NEAR_MAX_COUNT
    ]
