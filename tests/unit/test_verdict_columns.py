"""Verdicts on rollouts as rows of their table: one row each, its metrics as arrays."""

from schemas.topics import Topic
from sinks.table_rows import rows_of
from tests.loader_input import message, schema_of_id
from tests.rollout_verdicts import ABSENT, METRIC, verdict


def test_what_each_metric_says_is_an_array_a_field_and_none_are_empty_arrays():
    said = [verdict(), verdict(verdict_id="v-0", metrics=[]), verdict(metrics=[ABSENT])]
    messages = [message(Topic.ROLLOUTS, each, n) for n, each in enumerate(said)]
    rows = rows_of(Topic.ROLLOUTS, messages, schema_of_id(Topic.ROLLOUTS)).table.to_pylist()
    assert [row["verdict_id"] for row in rows] == ["v-1", "v-0", "v-1"]
    for name in METRIC:
        found = [row[f"metrics_{name}"] for row in rows]
        assert found == [[METRIC[name], ABSENT[name]], [], [ABSENT[name]]]
