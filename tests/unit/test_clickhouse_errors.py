"""ClickHouse's errors have one of three fates, and our lines hold no values."""

import pytest

from schemas.errors import SettingsError, Unavailable
from sinks.clickhouse_errors import Fate, fate_of, fleetpulse_error


def error(code, name="NAME", message="text", *, is_transport=False):
    return fleetpulse_error("insert into windows", code, name, message, is_transport=is_transport)


@pytest.mark.parametrize("code", [3, 32, 107, 159, 164, 202, 203, 209, 210, 241, 242])
@pytest.mark.parametrize("is_transport", [True, False])
def test_what_may_pass_is_tried_again(code, is_transport):
    assert fate_of(code, is_transport=is_transport) is Fate.RETRY
    assert isinstance(error(code), Unavailable)


@pytest.mark.parametrize("code", [252, 285, 319, 425, 999])
def test_an_overloaded_engine_is_tried_again(code):
    assert fate_of(code, is_transport=False) is Fate.RETRY


def test_no_answer_is_tried_again():
    assert isinstance(error(None, is_transport=True), Unavailable)


@pytest.mark.parametrize("code", [516, 497])
def test_a_refused_login_stops_and_names_the_settings(code):
    found = error(code)
    assert isinstance(found, SettingsError)
    assert "FLEETPULSE_CLICKHOUSE__PASSWORD" in str(found)


def test_a_changed_table_stops_and_names_the_column():
    found = error(16, "NO_SUCH_COLUMN_IN_TABLE", "No such column\ny in table windows")
    assert isinstance(found, SettingsError)
    assert "No such column y in table windows" in str(found)
    assert "\n" not in str(found)


def test_a_text_that_may_hold_a_value_is_not_repeated():
    assert "4711" not in str(error(117, "INCORRECT_DATA", "Cannot parse '4711'"))


@pytest.mark.parametrize(("code", "is_transport"), [(62, False), (None, False), (49, True)])
def test_anything_else_is_a_defect_of_ours(code, is_transport):
    assert error(code, is_transport=is_transport) is None
