"""A message with an uneven histogram is refused; its neighbours become rows."""

import pytest

from schemas.errors import Reason
from schemas.topics import Topic
from sinks.table_rows import rows_of
from tests.loader_input import WindowInput, message, schema_of_id

SEED = 5


def block(offset, deltas):
    return message(Topic.WINDOWS, {"rows": deltas}, offset)


@pytest.mark.parametrize("histogram", [([1, 2, 3], [1]), ([], [7]), ([1], [])], ids=str)
def test_only_the_message_with_the_uneven_histogram_is_refused(histogram):
    deltas = WindowInput(SEED)
    bins, counts = histogram
    wrong = deltas.deltas(3)
    wrong[1]["histogram"] = {"bins": bins, "counts": counts}
    good = [block(0, deltas.deltas(2)), block(2, deltas.deltas(4))]
    messages = [good[0], block(1, wrong), good[1]]
    rows = rows_of(Topic.WINDOWS, messages, schema_of_id(Topic.WINDOWS))
    assert rows.table.equals(rows_of(Topic.WINDOWS, good, schema_of_id(Topic.WINDOWS)).table)
    ((refused, why),) = rows.rejected
    assert (refused.offset, why.reason) == (1, Reason.ROW_REFUSED)


def test_even_histograms_pass():
    messages = [block(0, WindowInput(SEED).deltas(30))]
    rows = rows_of(Topic.WINDOWS, messages, schema_of_id(Topic.WINDOWS))
    assert (rows.table.num_rows, rows.rejected) == (30, ())
