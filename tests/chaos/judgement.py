"""What a run has lost or counted twice: topic and tables against the log, row for row."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jobs.settings import Settings
from schemas.topics import Topic, topic_name
from tests.chaos.victims import wait_for
from tests.integration.account_reading import expected_account, stored_account
from tests.integration.poison import TENANT_WITH_TOPIC, Sent, letter_of, told_by
from tests.integration.stored_rows import windows_in_table
from tests.integration.topic_reading import Message, read_topic
from tests.oracle.windows_oracle import LogEntry, WindowKey, WindowRow, windows_of

SETTLED_AFTER_S = 120.0
Windows = Mapping[WindowKey, WindowRow]


@dataclass(frozen=True)
class Judgement:
    """What came of one run.

    Args:
        rows: windows that the log demands.
        points: in them, of scope device.
        lost: points that some window lacks, on the topic or in the table; the worse of both.
        duplicated: points that some window has too many; the worse of both.
        letters: messages that had to be refused.
        wrong: what else differs, one line each; empty when all is as it must be.
    """

    rows: int
    points: int
    lost: int
    duplicated: int
    letters: int
    wrong: tuple[str, ...]


def judge(settings: Settings, poison: list[Sent]) -> Judgement:
    """Compare everything that was written with the log, when it has had time to settle.

    Args:
        settings: of a stack whose producers have ended.
        poison: what was sent among the good messages.
    """
    logs = _logs(settings)
    letters = {m.place: letter_of(m) for m in poison if m.reason is not None}
    good = [m for log in logs.values() for m in log if (m.place not in letters)]
    windows = windows_of(
        [LogEntry(m.at_ms, m.partition, m.offset, m.record) for m in good],
        device_window_ms=settings.windows.device_window_s * 1000,
        group_window_ms=settings.windows.group_window_s * 1000,
    )
    on_topic = _settled(lambda: windows_on_topic(settings), windows)
    in_table = _settled(lambda: windows_in_table(settings), windows)
    found = {
        "windows on the topic": (on_topic, windows),
        "windows in the table": (in_table, windows),
        "dead letters": (
            _settled(lambda: letters_on_topic(settings), _once(letters)),
            _once(letters),
        ),
    }
    account = expected_account(logs, letters)
    found["account"] = (_settled(lambda: stored_account(settings), account), account)
    return Judgement(
        rows=len(windows),
        points=sum(_heard(row) for key, row in windows.items() if key.scope == "device"),
        lost=max(_surplus(windows, on_topic), _surplus(windows, in_table)),
        duplicated=max(_surplus(on_topic, windows), _surplus(in_table, windows)),
        letters=len(letters),
        wrong=tuple(
            f"{name}: {_difference(*pair)}" for name, pair in found.items() if pair[0] != pair[1]
        ),
    )


def windows_on_topic(settings: Settings) -> dict[WindowKey, WindowRow]:
    """Return the sum of all deltas that a reader of committed messages gets, by window."""
    windows: dict[WindowKey, WindowRow] = {}
    for message in read_topic(settings, Topic.WINDOWS):
        for delta in message.record["rows"]:
            key = WindowKey(**{name: delta[name] for name in WindowKey._fields})
            _add(windows.setdefault(key, WindowRow()), delta)
    return windows


def _add(row: WindowRow, delta: Mapping[str, Any]) -> None:
    for name in ("count", "nan_count", "out_of_range_count", "skewed_count", "duplicate_count"):
        setattr(row, name, getattr(row, name) + delta[name])
    row.sum_fixed += int.from_bytes(delta["sum_fixed"], "little", signed=True)
    row.sum_sq_fixed += int.from_bytes(delta["sum_sq_fixed"], "little", signed=True)
    row.min, row.max = min(row.min, delta["min"]), max(row.max, delta["max"])
    bins = delta["histogram"]
    row.histogram.update(dict(zip(bins["bins"], bins["counts"], strict=True)))


def letters_on_topic(settings: Settings) -> dict[Any, list[Any]]:
    """Return all that the dead letters say of each message, by its place."""
    letters: dict[Any, list[Any]] = {}
    for message in read_topic(settings, Topic.DEAD_LETTERS):
        told = told_by(message)
        topic, partition, offset = (text.decode() for text in told["origin"])
        letters.setdefault((topic, int(partition), int(offset)), []).append(told)
    return letters


def _once(letters: Mapping[Any, Any]) -> dict[Any, list[Any]]:
    return {place: [letter] for place, letter in letters.items()}


def _logs(settings: Settings) -> dict[str, list[Message]]:
    shared = topic_name(Topic.TELEMETRY, settings.kafka.topic_prefix)
    return {
        shared: read_topic(settings, Topic.TELEMETRY),
        f"{shared}.{TENANT_WITH_TOPIC}": read_topic(settings, Topic.TELEMETRY, TENANT_WITH_TOPIC),
    }


def _settled(read: Callable[[], Any], expected: Any) -> Any:
    """Return what is read when it is as expected, or what it is after a long wait."""
    found = read()

    def is_settled() -> bool:
        nonlocal found
        found = read()
        return bool(found == expected)

    if found != expected:
        try:
            wait_for(is_settled, "agreement", SETTLED_AFTER_S)
        except AssertionError:
            return found
    return found


def _surplus(left: Windows, right: Windows) -> int:
    """Return how many points left has more than right, over the windows of devices."""
    nothing = WindowRow()
    return sum(
        max(0, _heard(row) - _heard(right.get(key, nothing)))
        for key, row in left.items()
        if key.scope == "device"
    )


def _heard(row: WindowRow) -> int:
    """Return the points of a row, whatever became of them."""
    return row.count + row.nan_count + row.out_of_range_count + row.duplicate_count


def _difference(found: Mapping[Any, Any], expected: Mapping[Any, Any]) -> str:
    different = [k for k in found.keys() | expected.keys() if found.get(k) != expected.get(k)]
    kinds = Counter(
        "missing" if k not in found else "too many" if k not in expected else "other"
        for k in different
    )
    first = min(different, key=str)
    return f"{dict(kinds)}, such as {first}: {found.get(first)} for {expected.get(first)}"
