"""Control events as records: each type comes back, a bad one is refused by the field's name."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.control import control_key, parse_control
from schemas.control_records import (
    CONTROL_SCHEMA,
    control_events,
    control_frame,
    control_record,
    ended_event,
    event_of_record,
    no_controls,
)
from schemas.errors import Reason, Rejected, Unavailable
from schemas.records import decode_record, schema_of
from schemas.topics import Topic
from tests.control_messages import (
    ACME,
    EVENTS,
    HOT,
    KEYS,
    PARIS,
    SPAN,
    encoded,
    message,
    refused_record,
    schema_of_id,
)
from tests.strategies import NOON_MS

SPANS = ("maintenance", "mute")
NARROW = st.sampled_from(["device_id", "deployment_group", "site"])
NAMES = st.text(min_size=1, max_size=12)
TENANTS = NAMES.filter(lambda name: not {"/", "\0"} & set(name))


@pytest.mark.parametrize("kind", EVENTS)
def test_an_event_of_every_type_comes_back_from_its_record(kind):
    event = parse_control(EVENTS[kind])
    record = decode_record(Topic.CONTROL, encoded(EVENTS[kind]))
    assert event_of_record(record) == event
    assert control_key(event) == KEYS[kind]


@pytest.mark.parametrize("kind", EVENTS)
def test_a_frame_has_the_event_as_it_was_given(kind):
    frame, refused = control_frame([message(EVENTS[kind], offset=7)], schema_of_id)
    assert (refused, frame.schema) == ([], CONTROL_SCHEMA)
    assert frame.select("append_time_ms", "offset").rows() == [(NOON_MS, 7)]
    assert parse_control(json.loads(frame["event"][0])) == parse_control(EVENTS[kind])


def test_every_field_of_an_event_is_a_field_of_the_record():
    # A field of an event that the schema lacks would be lost without a word.
    columns = {field["name"] for field in schema_of(Topic.CONTROL)["fields"]}
    written = [control_record(parse_control(fields)) for fields in EVENTS.values()]
    assert set().union(*written) == columns


MUTE = {"type": "mute", "scope": PARIS} | SPAN
REFUSED = {
    "another type": ({"type": "party"}, "type: one of maintenance, mute"),
    "no scope": ({"type": "mute"} | SPAN, "scope: "),
    "two narrow scopes": (MUTE | {"scope": PARIS | {"device_id": "d"}}, "scope: at most one"),
    "a slash in the tenant": (MUTE | {"scope": {"tenant_id": "a/b"}}, "scope.tenant_id: "),
    "an empty site": (MUTE | {"scope": ACME | {"site": ""}}, "scope.site: "),
    "a long device": (MUTE | {"scope": ACME | {"device_id": "d" * 257}}, "scope.device_id: "),
    "until before from": (MUTE | {"until": 5}, "until: after from"),
    "a time in microseconds": (MUTE | {"until": NOON_MS * 1000}, "until: times from 1970 to 2100"),
    "a time before 1970": (MUTE | {"from": -1}, "from: times from 1970 to 2100"),
    "a mute with a threshold": (MUTE | {"threshold": 5.0}, "threshold: "),
    "an ack of nothing": ({"type": "ack"}, "episode_id: "),
    "an ack of no episode": ({"type": "ack", "episode_id": "1"}, "episode_id: "),
    "no end of a goodbye": ({"type": "goodbye", "scope": ACME}, "expected_back: "),
    "too many windows": (HOT | {"for_windows": 101}, "for_windows: "),
    "no number": (HOT | {"threshold": float("nan")}, "threshold: "),
    "another operator": (HOT | {"operator": "=="}, "operator: "),
    "another aggregate": (HOT | {"aggregate": "p42"}, "aggregate: "),
    "another severity": (HOT | {"severity": "bad"}, "severity: "),
    "clears where it breaches": (HOT | {"clear_threshold": 90.0}, "event: clear_threshold must"),
    "eleven channels": (HOT | {"channels": ["c"] * 11}, "channels: "),
    "an instant warning": (
        {"type": "rule", "rule_id": "r", "scope": ACME, "warning_after_s": 0.0},
        "warning_after_s: ",
    ),
    "a ratio above all": (
        {"type": "rule", "rule_id": "r", "scope": ACME, "emergency_ratio": 1.01},
        "emergency_ratio: ",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_event_is_refused_by_the_name_of_its_field(case):
    record, expected = REFUSED[case]
    _, (refused,) = control_frame([message(refused_record(**record))], schema_of_id)
    assert (refused.row, refused.reason) == (0, Reason.CONTROL_INVALID)
    assert refused.detail.startswith(expected)


def test_a_refusal_shows_nothing_of_the_record():
    secret = "s3cret"
    record = MUTE | {"scope": {"tenant_id": f"{secret}/x"}, "rule_id": secret}
    _, (refused,) = control_frame([message(refused_record(**record))], schema_of_id)
    assert secret not in refused.detail


def test_poison_among_good_ones_costs_no_neighbour_and_rows_are_in_the_order_of_the_log():
    good = encoded(EVENTS["ack"])
    messages = [
        message(EVENTS["mute"], at_ms=NOON_MS + 5, partition=1, offset=3),
        message(b"junk", offset=10),
        message(good + b"\0", offset=11),
        message(None, key=b"no such key", offset=12),
        message(None, key=b"\xff/mute", offset=13),
        message(None, key=None, offset=14),
        message(refused_record(type="ack", episode_id="1"), offset=15),
        message(EVENTS["ack"], at_ms=NOON_MS + 5, partition=0, offset=16),
        message(EVENTS["goodbye"], at_ms=NOON_MS, partition=2, offset=0),
    ]
    frame, refused = control_frame(messages, schema_of_id)
    assert frame.select("append_time_ms", "offset").rows() == [
        (NOON_MS, 0),
        (NOON_MS + 5, 16),
        (NOON_MS + 5, 3),
    ]
    types = [json.loads(text)["type"] for text in frame["event"]]
    assert types == ["goodbye", "ack", "mute"]
    assert [(each.row, each.reason) for each in refused] == [
        (1, Reason.BAD_MAGIC),
        (2, Reason.AVRO_INVALID),
        (3, Reason.CONTROL_INVALID),
        (4, Reason.CONTROL_INVALID),
        (5, Reason.CONTROL_INVALID),
        (6, Reason.CONTROL_INVALID),
    ]


def test_no_message_and_messages_that_are_all_refused_make_an_empty_frame():
    assert control_frame([], schema_of_id)[0].equals(no_controls())
    assert control_frame([message(b"junk")], schema_of_id)[0].equals(no_controls())


def test_an_unknown_schema_rejects_its_messages_and_an_absent_registry_none():
    def unknown(_):
        raise Rejected(Reason.SCHEMA_UNKNOWN, "no such id")

    def away(_):
        raise Unavailable("the registry")

    _, (refused,) = control_frame([message(EVENTS["ack"])], unknown)
    assert refused.reason is Reason.SCHEMA_UNKNOWN
    with pytest.raises(Unavailable):
        control_frame([message(EVENTS["ack"])], away)


def ended(kind):
    """Return what a tombstone of an event's key says, an hour and a half after noon."""
    at_ms = NOON_MS + 5_400_000
    events, refused = control_events([message(None, key=KEYS[kind].encode(), at_ms=at_ms)], None)
    assert refused == []
    return events.get(0), at_ms


@pytest.mark.parametrize("kind", SPANS)
def test_a_tombstone_ends_a_span_at_its_own_append_time(kind):
    event, at_ms = ended(kind)
    assert event.until_ms == at_ms
    assert control_key(event) == KEYS[kind]


def test_a_tombstone_of_a_goodbye_expects_the_devices_now():
    event, at_ms = ended("goodbye")
    assert (event.expected_back_ms, control_key(event)) == (at_ms, KEYS["goodbye"])


@pytest.mark.parametrize("kind", ["offline rule", "threshold rule"])
def test_a_tombstone_of_a_rule_switches_it_off(kind):
    event, _ = ended(kind)
    assert (event.enabled, control_key(event)) == (False, KEYS[kind])


@pytest.mark.parametrize("kind", ["ack", "accept_new_normal"])
def test_a_tombstone_of_what_cannot_be_undone_is_neither_an_event_nor_refused(kind):
    assert ended(kind)[0] is None


@given(TENANTS, st.none() | st.tuples(NARROW, NAMES), st.sampled_from([*SPANS, "goodbye"]))
def test_every_key_of_a_span_or_goodbye_is_ended_under_the_same_key(tenant, narrow, kind):
    scope = {"tenant_id": tenant} | ({} if narrow is None else {narrow[0]: narrow[1]})
    times = {"expected_back": NOON_MS} if kind == "goodbye" else SPAN
    event = parse_control({"type": kind, "scope": scope} | times)
    over = ended_event(control_key(event).encode(), NOON_MS + 1)
    assert over is not None
    assert (over.scope, control_key(over)) == (event.scope, control_key(event))


@given(st.one_of(st.none(), st.binary(max_size=40), st.text(max_size=40).map(str.encode)))
def test_any_key_of_a_tombstone_ends_something_or_is_refused(key):
    try:
        event = ended_event(key, NOON_MS)
    except Rejected as error:
        if error.reason is not Reason.CONTROL_INVALID:
            raise
    else:
        assert event is None or control_key(event).encode() == key
