"""What may be asked by name; what a question does not take is refused, not ignored."""

import pytest

from jobs.query_range import Span
from jobs.query_request import TAKES, Asked, NamedQuery, Option, named_request
from schemas.errors import SettingsError
from schemas.tables import HOUR_MS

NOW_MS = 1_767_225_600_000  # 2026-01-01
WORDS = {NamedQuery.DEVICE: ["cam-7"]}
VALUES = dict.fromkeys(Option, "x") | {
    Option.SINCE: "2h",
    Option.UNTIL: "1h",
    Option.SEVERITY: "critical",
}


@pytest.mark.parametrize("name", NamedQuery)
@pytest.mark.parametrize("option", Option)
def test_an_option_is_taken_or_refused_by_its_name(name, option):
    words = [name.value, *WORDS.get(name, [])]
    given = {option: VALUES[option]}
    if option in TAKES[name]:
        assert named_request(words, given).option(option) == VALUES[option]
    else:
        with pytest.raises(SettingsError, match=f"query {name} --{option}"):
            named_request(words, given)


@pytest.mark.parametrize(
    ("words", "options", "named"),
    [
        (["device"], {}, "query device"),
        (["device", "a", "b"], {}, "query device"),
        (["fleet", "now"], {}, "query fleet"),
        (["flet"], {}, "fleet, alerts"),
        (["cam-00007"], {}, "fleet, alerts"),
        (["alerts"], {Option.SEVERITY: "bad"}, "emergency, critical, warning, info"),
        (["groups"], {Option.METRIC: "m" * 257}, "256 characters"),
        (["SELECT 1"], {Option.METRIC: "m"}, "--metric"),
    ],
)
def test_a_wrong_question_is_refused_in_one_line(words, options, named):
    with pytest.raises(SettingsError, match=named) as refusal:
        named_request(words, options)
    assert "\n" not in str(refusal.value)


def test_sql_is_no_question_by_name():
    assert named_request(["select", "1"], {}) is None


def test_history_takes_as_many_words_as_are_given():
    assert named_request(["history", "a b", "c"], {}).words == ("a b", "c")


@pytest.mark.parametrize(
    ("options", "span"),
    [
        ({}, Span(NOW_MS - 3 * HOUR_MS, NOW_MS - HOUR_MS)),
        ({Option.SINCE: "4h"}, Span(NOW_MS - 4 * HOUR_MS, NOW_MS)),
        ({Option.UNTIL: "1h"}, Span(NOW_MS - 3 * HOUR_MS, NOW_MS - HOUR_MS)),
        (
            {Option.SINCE: "4h", Option.UNTIL: "3h"},
            Span(NOW_MS - 4 * HOUR_MS, NOW_MS - 3 * HOUR_MS),
        ),
        ({Option.SINCE: "2026-01-01T01:00:00+02:00"}, Span(NOW_MS - HOUR_MS, NOW_MS)),
    ],
)
def test_a_stretch_ends_where_it_is_told_else_now_else_with_what_is_stored(options, span):
    asked = Asked(NamedQuery.DEVICE, ("d",), options)
    found = asked.span(NOW_MS, length_ms=2 * HOUR_MS, end_ms=NOW_MS - HOUR_MS)
    assert found == span


def test_an_instant_that_cannot_be_read_names_its_option():
    with pytest.raises(SettingsError, match="--until"):
        Asked(NamedQuery.HISTORY, (), {Option.UNTIL: "soon"}).span(NOW_MS, length_ms=1)
