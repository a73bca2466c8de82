"""Questions by name: one tenant's answers do not depend on another's rows, and nothing is SQL.

Two databases: `alone` has tenant a only, `shared` has the same rows and those of tenant b, whose
devices, groups, models and metrics have the same names and others of their own.
"""

import contextlib
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.clickhouse_settings import clickhouse_address
from jobs.query import frame_of
from jobs.query_answers import Lengths, answer_named
from jobs.query_request import TAKES, Asked, NamedQuery, Option
from jobs.settings import load_settings
from sinks.read_only_endpoint import QueryLimits, Question, answer, quoted
from tests.integration.chdb_database import open_database
from tests.integration.two_tenants import NOW_MS, OWN, store

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def addresses(tmp_path_factory):
    folder = tmp_path_factory.mktemp("named")
    found = {}
    with contextlib.ExitStack() as opened:
        for name, tenants in (("alone", "a"), ("shared", "ab")):
            chosen = {"stack": {"data_dir": folder}, "clickhouse": {"database": name}}
            found[name] = clickhouse_address(load_settings(**chosen))
            database = opened.enter_context(open_database(found[name]))
            for number, tenant in enumerate(tenants, start=1):
                store(database, tenant, number)
        yield found


def asking_of(address, tenant_id=None):
    return lambda sql: frame_of(answer(address, Question(sql, tenant_id), QueryLimits()))


def answered(address, asked):
    return answer_named(asking_of(address, asked.tenant_id), asked, Lengths(), NOW_MS)


VALUES = {
    Option.SINCE: st.sampled_from(["30m", "1h", "2h", "20h", "3d", "40d", "2025-12-01T00:00:00Z"]),
    Option.UNTIL: st.sampled_from(["0s", "10m", "15m"]),
    Option.METRIC: st.sampled_from(["metric-1", "metric-only-a", "metric-2"]),
    Option.GROUP: st.sampled_from(["group-1", "group-only-a", "grup-1"]),
    Option.MODEL: st.sampled_from(["model-1", "model-only-a", "mdel-1"]),
    Option.SEVERITY: st.sampled_from(["emergency", "critical", "warning", "info"]),
    Option.DEVICE: st.sampled_from(["cam-1", "cam-only-a", "cam-9"]),
}
DEVICES = ["cam-1", "cam-only-a", "cam-9", "' OR 1 = 1 --", "cam-1' UNION SELECT 'x"]
TEXTS = ["silent", "KÖLN", "cam", "tenant b", "%", "a' OR '1", "{x:String}", "\\", ""]
ASKED = list(NamedQuery)


@st.composite
def questions(draw, tenant_id="a"):
    name = draw(st.sampled_from(ASKED))
    words = ()
    if name is NamedQuery.DEVICE:
        words = (draw(st.sampled_from(DEVICES)),)
    if name is NamedQuery.HISTORY:
        words = tuple(draw(st.lists(st.sampled_from(TEXTS), max_size=2)))
    taken = draw(st.sets(st.sampled_from(sorted(TAKES[name])))) if TAKES[name] else set()
    options = {option: draw(VALUES[option]) for option in sorted(taken)}
    return Asked(name, words, options, tenant_id, draw(st.sampled_from([1, 7, 5_000])))


def comparable(asked, found):
    """Return an answer's rows; the bytes of a table are what all tenants in it make them."""
    if asked.name is NamedQuery.USAGE:
        return found.frame.select("table", "tenant_id", "rows").sort("table")
    return found.frame


@settings(max_examples=60)
@given(asked=questions())
def test_the_answer_for_a_tenant_is_the_same_whether_or_not_another_has_rows(addresses, asked):
    alone, shared = (answered(addresses[name], asked) for name in ("alone", "shared"))
    assert comparable(asked, shared).equals(comparable(asked, alone))
    assert (shared.said, shared.once) == (alone.said, alone.once)
    assert OWN["b"] not in str(shared.frame.rows())


WHOLE = {
    NamedQuery.FLEET: Asked(NamedQuery.FLEET),
    NamedQuery.ALERTS: Asked(NamedQuery.ALERTS),
    NamedQuery.HISTORY: Asked(NamedQuery.HISTORY),
    NamedQuery.DEVICE: Asked(NamedQuery.DEVICE, ("cam-1",)),
    NamedQuery.GROUPS: Asked(NamedQuery.GROUPS),
    NamedQuery.MODELS: Asked(NamedQuery.MODELS),
    NamedQuery.DRIFT: Asked(NamedQuery.DRIFT),
    NamedQuery.ROLLOUTS: Asked(NamedQuery.ROLLOUTS),
    NamedQuery.USAGE: Asked(NamedQuery.USAGE),
    NamedQuery.ACCOUNTS: Asked(NamedQuery.ACCOUNTS),
}


@pytest.mark.parametrize("name", ASKED)
def test_without_a_tenant_every_question_shows_the_rows_of_all(addresses, name):
    alone, shared = (answered(addresses[each], WHOLE[name]) for each in ("alone", "shared"))
    assert 0 < alone.frame.height < shared.frame.height


texts = st.text(
    st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("'\\\"`%{}\n\0;-")),
    max_size=40,
)


@settings(max_examples=100)
@given(text=texts)
def test_any_text_is_one_literal_and_no_sql(addresses, text):
    found = asking_of(addresses["alone"], "a")(f"SELECT {quoted(text)} AS text, 7 AS other")
    assert found.rows() == [(text, 7)]


@pytest.mark.parametrize(
    ("since", "title", "time_column"),
    [
        ("30m", "raw points, ", "timestamp"),
        ("2h", "windows of 5m, ", "window_start"),
        ("3d", "hours, ", "window_start"),
        ("20d", "days, ", "window_start"),
    ],
)
def test_a_device_is_answered_in_the_resolution_that_is_said(addresses, since, title, time_column):
    asked = Asked(NamedQuery.DEVICE, ("cam-1",), {Option.SINCE: since}, "a", 5_000)
    found = answered(addresses["shared"], asked)
    assert found.said[0].startswith(title)
    assert found.frame.columns[0] == time_column
    assert found.frame.height > 0


@pytest.mark.parametrize(
    ("asked", "view", "condition"),
    [
        (
            Asked(NamedQuery.DEVICE, ("cam-1",), {}, "a", 5_000),
            "v_device_5m",
            "device_id = 'cam-1'",
        ),
        (Asked(NamedQuery.GROUPS, (), {}, "a", 5_000), "v_group_1m", "scope = 'group'"),
    ],
)
def test_windows_are_answered_as_their_view_shows_them(addresses, asked, view, condition):
    since, until = ("2h", "1m") if asked.name is NamedQuery.DEVICE else ("30m", "0s")
    asked = replace(asked, options={Option.SINCE: since, Option.UNTIL: until})
    found = answered(addresses["shared"], asked)
    assert found.said[0].startswith("windows of ")
    span = asked.span(NOW_MS, length_ms=0)
    columns = ", ".join(found.frame.columns)
    shown = asking_of(addresses["shared"], "a")(
        f"SELECT {columns} FROM {view} WHERE {condition} "
        f"AND toUnixTimestamp64Milli(window_start) >= {span.since_ms} "
        f"AND toUnixTimestamp64Milli(window_start) < {span.until_ms} "
        "ORDER BY window_start DESC, tenant_id, deployment_group, model_version, metric"
    )
    assert shown.height > 0
    assert found.frame.equals(shown)


def test_a_point_that_was_stored_twice_is_shown_once(addresses):
    asked = Asked(NamedQuery.DEVICE, ("cam-1",), {Option.SINCE: "1h"}, "a", 5_000)
    frame = answered(addresses["shared"], asked).frame
    assert frame["value"].to_list() == [number / 4 for number in range(50)]
    assert frame["tags"][:2].to_list() == ["core=0", "core=1"]


def test_where_no_points_are_stored_windows_answer_and_it_is_said(addresses):
    options = {Option.SINCE: "100m", Option.UNTIL: "50m"}
    found = answered(addresses["alone"], Asked(NamedQuery.DEVICE, ("cam-1",), options, "a"))
    assert found.said[0].startswith("windows of 5m, ")
    assert "no raw points are stored for it" in found.said


@pytest.mark.parametrize(
    ("asked", "sentences"),
    [
        (Asked(NamedQuery.DEVICE, ("cam-onlya",)), ["no device cam-onlya", "cam-only-a"]),
        (
            Asked(NamedQuery.DEVICE, ("cam-1",), {Option.METRIC: "metrik-1"}),
            ["of metric metrik-1 of device cam-1", "near it: metric-1"],
        ),
        (
            Asked(NamedQuery.GROUPS, (), {Option.GROUP: "group-one"}, "a"),
            [
                "of group group-one of tenant a",
                "no group group-one is known; near it: group-only-a, group-1",
            ],
        ),
        (
            Asked(NamedQuery.DEVICE, ("cam-1",), {Option.SINCE: "20m", Option.UNTIL: "19m"}),
            ["raw points, windows of 5m", "its newest window ends at 2026-01-11 00:00 UTC"],
        ),
        (
            Asked(NamedQuery.HISTORY, ("no such text",)),
            ["no alert event with no such text", "from"],
        ),
        (Asked(NamedQuery.FLEET, tenant_id="z"), ["no device of tenant z", "registered or heard"]),
        (Asked(NamedQuery.ACCOUNTS, tenant_id="z"), ["no account of tenant z", "--tenant"]),
        (Asked(NamedQuery.USAGE, tenant_id="z"), ["nothing is stored of tenant z"]),
    ],
)
def test_an_empty_answer_says_what_was_looked_for_and_what_is_near(addresses, asked, sentences):
    found = answered(addresses["alone"], asked)
    assert found.frame.is_empty()
    assert all(sentence in " | ".join(found.said) for sentence in sentences), found.said


def test_history_finds_every_word_in_summary_subject_or_labels_whatever_its_case(addresses):
    asked = Asked(NamedQuery.HISTORY, ("köln ONLY", "SILENT"), {}, "a", 5_000)
    assert answered(addresses["shared"], asked).frame.height == 12
    asked = Asked(NamedQuery.HISTORY, ("köln", "cam-1 is"), {Option.SEVERITY: "critical"}, "a")
    frame = answered(addresses["shared"], asked).frame
    assert set(frame["severity"]) == {"critical"}
    assert set(frame["subject"]) == {"device/cam-1"}


def test_usage_counts_the_rows_of_every_table_and_shares_its_bytes_out(addresses):
    frame = answered(addresses["shared"], WHOLE[NamedQuery.USAGE]).frame
    for table in ("windows", "windows_1h", "telemetry_runs", "alert_events"):
        rows = frame.filter(frame["table"] == table)
        whole, parts = (
            rows.filter(rows["tenant_id"].is_null()),
            rows.filter(~rows["tenant_id"].is_null()),
        )
        assert parts.height == 2
        assert parts["rows"].sum() == whole["rows"][0]
        assert abs(parts["disk_bytes"].sum() - whole["disk_bytes"][0]) <= parts.height
        assert (whole["bytes_are"][0], set(parts["bytes_are"])) == ("measured", {"estimate"})


def test_the_limit_cuts_and_says_so(addresses):
    found = answered(addresses["shared"], Asked(NamedQuery.HISTORY, limit=3))
    assert found.frame.height == 3
    assert "the first 3 rows; --limit shows more" in found.said
    whole = answered(addresses["shared"], Asked(NamedQuery.HISTORY, limit=sys.maxsize // 2))
    assert whole.frame.height == 24
    assert not [sentence for sentence in whole.said if "--limit" in sentence]


def test_usage_says_that_it_shows_the_largest_tenants_only(addresses):
    asked = Asked(NamedQuery.USAGE, limit=1)
    found = answered(addresses["shared"], asked)
    assert set(found.frame["tenant_id"].drop_nulls()) <= {"a", "b"}
    assert found.frame.group_by("table").len()["len"].max() == 2
    assert "of each table the 1 tenants with the most rows; --limit shows more" in found.said
    assert "--limit" not in " ".join(answered(addresses["shared"], WHOLE[NamedQuery.USAGE]).said)
