"""What the views of drift say: open incidents by their last word, and the metrics on top."""

import pytest

from schemas.tables import DRIFT_FINDINGS
from schemas.topics import Topic
from sinks.load_ledger import LedgerEntry, OffsetRange
from sinks.table_rows import rows_of
from tests.drift_findings import MINUTE_MS, START_MS, finding
from tests.integration.chdb_database import database_address, open_database
from tests.loader_input import message, schema_of_id
from udfs.drift.finding_messages import finding_record
from udfs.drift.findings import Severity, State

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    with open_database(database_address(tmp_path_factory.mktemp("drift"))) as database:
        yield database


def store(database, number, *findings):
    messages = [message(Topic.DRIFT, finding_record(f), n) for n, f in enumerate(findings)]
    rows = rows_of(Topic.DRIFT, messages, schema_of_id(Topic.DRIFT)).table
    entry = LedgerEntry("drift", number, (OffsetRange(0, 0, len(findings) - 1),), rows.num_rows)
    database.writer.load(DRIFT_FINDINGS, entry, rows)


def said(incident, minute, **changes):
    names = {"incident_id": incident, "finding_id": f"{incident}-{minute}"}
    return finding(**names, detected_at_ms=START_MS + minute * MINUTE_MS, **changes)


# i1   firing ---- firing, critical          i2   firing ---- resolved      i3   info
def test_an_incident_is_open_until_it_is_resolved_and_counts_once_however_often_it_came(database):
    first = [
        said("i1", 5, metric="power_w", subject="a"),
        said("i2", 5, metric="power_w", subject="b", log10_e=20.0),
        said("i3", 5, metric="load_ratio", state=State.INFO, severity=Severity.INFO),
        said("i4", 6, metric="cpu_temp_c", subject="a", severity=Severity.WATCH, log10_e=9.0),
        said("i5", 6, metric="power_w", subject="c", log10_e=7.0, severity=Severity.MINOR),
    ]
    later = [
        said("i1", 10, metric="power_w", subject="a", severity=Severity.CRITICAL, log10_e=12.0),
        said("i2", 10, metric="power_w", subject="b", state=State.RESOLVED),
    ]
    store(database, 1, *first, *later)
    store(database, 2, *later)  # sent again, after an older savepoint was restored
    opened = database.rows("SELECT incident_id, severity FROM v_open_drift ORDER BY incident_id")
    assert opened == [("i1", "critical"), ("i4", "watch"), ("i5", "minor")]
    top = database.rows(
        "SELECT metric, severity, incidents, subjects, strongest_subject, strongest_log10_e "
        "FROM v_top_drift ORDER BY severity_rank DESC"
    )
    assert top == [
        ("power_w", "critical", 2, 2, "device/a", 12.0),
        ("cpu_temp_c", "watch", 1, 1, "device/a", 9.0),
    ]
