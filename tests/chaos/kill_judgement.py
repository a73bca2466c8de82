"""What the tables hold after kills, against what was sent: every row of every table.

Rows are counted without FINAL. Background merges of the tables that keep one row of a key are off
in these runs (`NO_MERGES`), or a row that landed twice could be gone before anybody looks.
"""

from collections import Counter
from dataclasses import dataclass, field

from schemas.topics import Topic
from tests.integration.rollup_reading import SPAN_MS, expected_rows, plain_windows, stored
from tests.integration.topic_reading import read_topic

REPLACING = ("alert_events", "device_status", "dead_letters")
NO_MERGES = "ALTER TABLE {} MODIFY SETTING max_bytes_to_merge_at_max_space_in_pool = 1"
ALERTS_SQL = "SELECT id, tenant_id, seq, severity, count() FROM alert_events GROUP BY ALL"
STATUS_SQL = (
    "SELECT tenant_id, device_id, status, status_order, count() FROM device_status GROUP BY ALL"
)
LETTERS_SQL = (
    "SELECT origin_topic, origin_partition, origin_offset, reason, dead_partition, dead_offset, "
    "count() FROM dead_letters GROUP BY ALL"
)
ACCOUNTS_SQL = "SELECT partition, outcome, sum(count) FROM accounts GROUP BY ALL"
POINTS_SQL = (
    "SELECT tenant_id, device_id, metric, toUnixTimestamp64Milli(timestamp), value, "
    "CAST(is_skewed, 'UInt8'), count() FROM telemetry_points GROUP BY ALL"
)
OPEN_SQL = "SELECT countIf(NOT is_done) FROM load_ledger FINAL"


@dataclass
class Judgement:
    """What differs.

    Args:
        lost: rows (of windows and accounts: what they count) that are missing.
        duplicated: those that are too many.
        are_rollups_equal: hours and days are the sums of the windows that were sent.
        wrong: one line for each table that differs.
    """

    lost: int = 0
    duplicated: int = 0
    are_rollups_equal: bool = True
    wrong: list[str] = field(default_factory=list)

    def compare(self, name, found, expected):
        """Count what is missing and what is too many."""
        lost, surplus = Counter(expected), Counter(found)
        lost.subtract(found)
        surplus.subtract(expected)
        lost_count, surplus_count = (sum((+each).values()) for each in (lost, surplus))
        self.lost += lost_count
        self.duplicated += surplus_count
        if lost_count or surplus_count:
            first = next(iter({**(+lost), **(+surplus)}))
            self.wrong.append(f"{name}: lost {lost_count}, surplus {surplus_count}: {first}")

    def require(self, name, is_so, told=""):
        """Note what is wrong but is neither lost nor too many."""
        if not is_so:
            self.wrong.append(f"{name}: {told}")


class Asked:
    """Tables behind questions, in the form of `Database`."""

    def __init__(self, ask):
        self.rows = lambda sql: ask(sql).rows()


def judge(ask, load, settings):
    """Compare all tables with all that a load has sent."""
    judgement, tables = Judgement(), Asked(ask)
    _judge_windows(judgement, tables, load.windows.expected)
    judgement.compare("alert_events", _counts(tables.rows(ALERTS_SQL)), load.alerts)
    judgement.compare("accounts", _counts(tables.rows(ACCOUNTS_SQL)), load.accounts)
    points = {(*row[:5], bool(row[5])): row[6] for row in tables.rows(POINTS_SQL)}
    judgement.compare("telemetry_points", points, load.points)
    _judge_statuses(judgement, _counts(tables.rows(STATUS_SQL)), load.statuses)
    _judge_letters(judgement, tables, load.bad, settings)
    ((open_count,),) = tables.rows(OPEN_SQL)
    judgement.require("load_ledger", open_count == 0, f"{open_count} not done")
    return judgement


def _counts(rows):
    return {row[:-1]: row[-1] for row in rows}


def _judge_windows(judgement, tables, windows):
    found, expected = stored(tables, "windows"), plain_windows(windows)
    counts = ({key: row[0] for key, row in each.items()} for each in (found, expected))
    judgement.compare("windows", *counts)
    judgement.require("windows", found == expected, "sums differ")
    for table, span_ms in SPAN_MS.items():
        is_equal = stored(tables, table) == expected_rows(windows, span_ms)
        judgement.are_rollups_equal &= is_equal
        judgement.require(table, is_equal, "differs from the sums of the windows")


def _judge_statuses(judgement, found, sent):
    """A state that is followed by another in the same insert is not kept: the last one must be."""
    latest = {}
    for tenant_id, device_id, status, offset in sent:
        key = tenant_id, device_id
        latest[key] = max(latest.get(key, (-1, "")), (offset, status))
    ends = {(*key, status, offset): 1 for key, (offset, status) in latest.items()}
    told = {key: 1 for key in sent if key in found}
    judgement.compare("device_status", found, told | ends)


def _judge_letters(judgement, tables, bad, settings):
    """A letter may be written twice, with the same origin; a row of it must not."""
    letters = {}
    for message in read_topic(settings, Topic.DEAD_LETTERS):
        names = ("topic", "partition", "offset")
        origin = [message.headers[f"__connect.errors.{name}"].decode() for name in names]
        key = origin[0], int(origin[1]), int(origin[2]), message.headers["dlq.reason"].decode()
        letters[*key, message.partition, message.offset] = key
    written = dict.fromkeys(letters.values(), 1)
    judgement.compare("letters on the topic", written, {(*k, r): 1 for k, r in bad.items()})
    found = _counts(tables.rows(LETTERS_SQL))
    judgement.compare("dead_letters", found, {key: 1 for key in letters if key in found})
    in_table = {key[:4]: 1 for key in found}
    judgement.compare("dead_letters by origin", in_table, written)
