"""`fleetpulse explain` from the stored tables, with the filter of the tenant."""

import subprocess
import sys

import pytest

from jobs.clickhouse_settings import clickhouse_address
from jobs.explain_source import from_tables
from jobs.query import asking
from jobs.settings import load_settings
from schemas.errors import SettingsError
from schemas.tables import DRIFT_FINDINGS
from schemas.topics import Topic
from sinks.load_ledger import LedgerEntry, OffsetRange
from sinks.table_rows import rows_of
from tests.drift_findings import MINUTE_MS, START_MS, finding
from tests.explained import shifted
from tests.integration.chdb_database import open_database
from tests.loader_input import message, schema_of_id
from udfs.drift.finding_messages import finding_record
from udfs.drift.findings import Sample, Severity

pytestmark = pytest.mark.integration

TOLD = shifted(finding_id="aa11", incident_id="i-1")
WORSE = shifted(
    finding_id="aa22", incident_id="i-1", severity=Severity.CRITICAL, log10_e=2.0,
    detected_at_ms=START_MS + 60 * MINUTE_MS,
)  # fmt: skip
OTHERS = finding(tenant_id="t1", finding_id="bb'11", incident_id="i-1", baseline=None)
BARE = finding(finding_id="cc11", before=Sample(), after=Sample(), incident_id="i-3")


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    settings = load_settings(stack={"data_dir": tmp_path_factory.mktemp("explain")})
    with open_database(clickhouse_address(settings)) as database:
        for number in (1, 2):  # the second time after an older savepoint was restored
            sent = enumerate([TOLD, WORSE, OTHERS, BARE])
            messages = [message(Topic.DRIFT, finding_record(f), n) for n, f in sent]
            rows = rows_of(Topic.DRIFT, messages, schema_of_id(Topic.DRIFT)).table
            entry = LedgerEntry("drift", number, (OffsetRange(0, 0, 3),), rows.num_rows)
            database.writer.load(DRIFT_FINDINGS, entry, rows)
    return settings


def look_up(settings, name, tenant_id=None):
    with asking(settings, tenant_id) as ask:
        return from_tables(ask, name, tenant_id)


@pytest.mark.parametrize(
    ("name", "found"),
    [("aa11", TOLD), ("aa2", WORSE), ("bb'", OTHERS), ("cc11", BARE)],
)
def test_a_finding_is_read_back_as_it_was_sent(settings, name, found):
    assert look_up(settings, name).finding == found


def test_its_incident_comes_with_it_each_finding_once_and_of_this_tenant(settings):
    assert look_up(settings, "aa2").incident == [TOLD, WORSE]


def test_what_is_not_there_is_ambiguous_or_of_another_tenant_is_refused(settings):
    assert look_up(settings, "aa11", "t0").finding == TOLD
    for name, tenant_id, said in (
        ("zz", None, "a finding; cure"),
        ("aa", None, "aa11 of t0, aa22 of t0"),
        ("aa11", "t1", "a finding of tenant t1; cure"),
        ("a%", None, "a finding; cure"),
    ):
        with pytest.raises(SettingsError, match=said):
            look_up(settings, name, tenant_id)


def test_the_command_writes_the_page(settings, tmp_path):
    place = ["--set", f"stack.data_dir={settings.stack.data_dir}"]
    words = ["explain", "aa22", "--tenant", "t0", "--out", str(tmp_path / "x.html")]
    command = [sys.executable, "-m", "jobs.cli", *place, *words]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "180 million windows when told 1 Jan 2026 00:20 UTC" in answer.stdout
    assert "The incident" in (tmp_path / "x.html").read_text(encoding="utf-8")
