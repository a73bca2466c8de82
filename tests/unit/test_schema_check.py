"""Changes of our own schemas: each kind that would break a reader is refused, with its cure."""

import copy
import json
import re
import shutil
import subprocess
import sys

import pytest

from jobs.schema_check import AVRO_FOLDER, SchemaFolder, check, main, release
from schemas.evolution import breaches

ENUM = {"type": "enum", "name": "State", "symbols": ["UNKNOWN", "OK"], "default": "UNKNOWN"}
STATE = {"name": "state", "type": ENUM, "default": "UNKNOWN", "doc": "State of the device."}
SITE = {"name": "site", "type": ["null", "string"], "default": None, "doc": "Place."}
UPTIME = {"name": "uptime", "type": "long", "default": 0, "doc": "Time since the start, ms."}


def telemetry():
    """Return v1 of the tests: our telemetry batch, with an enum and a field more."""
    schema = json.loads((AVRO_FOLDER / "telemetry_batch.avsc").read_text(encoding="utf-8"))
    schema["fields"] += copy.deepcopy([STATE, UPTIME])
    return schema


def field(schema, path):
    """Find a field by its dotted path."""
    fields = schema["fields"]
    for name in path.split("."):
        found = next(each for each in fields if each["name"] == name)
        items = found["type"].get("items") if isinstance(found["type"], dict) else None
        fields = items["fields"] if isinstance(items, dict) else []
    return found


def drop(schema, path):
    owner, _, _ = path.rpartition(".")
    fields = field(schema, owner)["type"]["items"]["fields"] if owner else schema["fields"]
    fields.remove(field(schema, path))


def set_in(path, **changes):
    return lambda schema: field(schema, path).update(changes)


def add(*fields):
    return lambda schema: schema["fields"].extend(copy.deepcopy(fields))


def enum_of(**changes):
    return lambda schema: field(schema, "state").update(type=ENUM | changes)


def rename_uptime(schema):
    field(schema, "uptime")["name"] = "uptime_ms"


def swap_drop_and_add(schema):
    drop(schema, "received_at")
    schema["fields"].append(field(telemetry(), "received_at") | {"name": "arrived_at"})


TAGS_OF_NUMBERS = {"type": "map", "values": "long"}
MICROS = {"type": "long", "logicalType": "timestamp-micros"}

REFUSED = {
    "field added without a default": (
        add({"name": "site", "type": "string", "doc": "Place."}),
        r"v1: site: it cannot read messages of v1 .*; cure: .*default",
    ),
    "field removed that had no default": (
        lambda schema: drop(schema, "points.value"),
        r"v1: points\.value: readers of v1 cannot read .*; cure: .*default",
    ),
    "type narrowed": (set_in("uptime", type="int"), r"uptime: it cannot read messages of v1 .*int"),
    "type widened": (
        set_in("points.value", type="float"),
        r"points\.value: it cannot read .* double",
    ),
    "type of a map's values": (set_in("points.tags", type=TAGS_OF_NUMBERS), r"points\.tags: "),
    "text became bytes": (set_in("device_id", type="bytes"), r'device_id: the type "string"'),
    "union narrowed": (set_in("boot_id", type="string", default=""), r"boot_id: it cannot read"),
    "union widened": (
        set_in("boot_id", type=["null", "string", "long"]),
        r"boot_id: readers of v1 cannot read",
    ),
    "nullable from now on": (
        set_in("uptime", type=["null", "long"], default=None),
        r"uptime: readers of v1 cannot read",
    ),
    "field renamed": (rename_uptime, r"v1: uptime: it is gone while uptime_ms came"),
    "field renamed with an alias": (
        lambda schema: field(schema, "uptime").update(name="uptime_ms", aliases=["uptime"]),
        r"itself: uptime_ms: the block reader knows no aliases",
    ),
    "one field dropped and its twin added": (
        swap_drop_and_add,
        r"received_at: it is gone while arrived_at came",
    ),
    "record renamed": (lambda schema: schema.update(name="Batch"), r"v1: the record: "),
    "namespace changed": (
        lambda schema: schema.update(namespace="fleetpulse.v2"),
        r"v1: the record: the type .*v1.* became .*v2",
    ),
    "default of another type": (
        add(SITE | {"default": "here"}),
        r'itself: site: the default "here" is not of its type',
    ),
    "default of a truth value for a number": (
        set_in("uptime", default=False),
        r"itself: uptime: the default false is not of its type",
    ),
    "null not first": (
        add(SITE | {"type": ["string", "null"], "default": ""}),
        r'itself: site: it may be null.*; cure: write \["null", type\]',
    ),
    "nullable without a default": (
        add({"name": "site", "type": ["null", "string"], "doc": "Place."}),
        r"itself: site: it may be null",
    ),
    "default changed": (set_in("uptime", default=1), r"uptime: the default 0 became 1"),
    "enum without a default symbol": (
        add({"name": "mode", "type": {"type": "enum", "name": "Mode", "symbols": ["A"]},
             "default": "A"}),
        r"itself: mode: the enum has no default symbol",
    ),
    "symbol removed": (enum_of(symbols=["UNKNOWN"]), r"state: the symbols OK are gone"),
    "default symbol changed": (enum_of(default="OK"), r"state: the enum's default UNKNOWN became"),
    "default symbol that is none": (enum_of(default="GONE"), r"itself: the record: .*GONE"),
    "logical type changed": (
        set_in("sent_at", type=MICROS),
        r"sent_at: the logical type .*millis.* became .*micros",
    ),
    "logical type lost": (set_in("points.timestamp", type="long"), r"points\.timestamp: the logic"),
    "unit changed": (
        set_in("uptime", doc="Time since the start, seconds."),
        r"uptime: the unit in its doc was ms, is seconds",
    ),
    "unit lost": (set_in("uptime", doc="Time since the start."), r"uptime: the unit in its doc"),
    "no Avro at all": (set_in("uptime", type="lang"), r"itself: the record: .*lang"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_a_change_that_would_break_a_reader_is_refused_with_field_and_cure(kind):
    change, expected = REFUSED[kind]
    changed = telemetry()
    change(changed)
    found = [str(breach) for breach in breaches("telemetry_batch", changed, {1: telemetry()})]
    assert found, kind
    assert all(line.startswith("telemetry_batch.avsc against ") for line in found)
    assert all("; cure: " in line and "\n" not in line for line in found)
    assert any(re.search(expected, line) for line in found), found


ALLOWED = {
    "nothing": lambda schema: None,
    "field added with a default": add(SITE),
    "field removed that had a default": lambda schema: drop(schema, "boot_id"),
    "symbol added to an enum with a default": enum_of(symbols=["UNKNOWN", "OK", "BUSY"]),
    "fields in another order": lambda schema: schema["fields"].reverse(),
    "words of a doc": set_in("uptime", doc="How long the device has been up, in ms."),
    "a unit told for the first time": set_in("boot_id", doc="Changes each start; 36 bytes."),
    "dropped and added, of different types": lambda schema: (
        drop(schema, "boot_id"),
        add(UPTIME | {"name": "age"})(schema),
    ),
}


@pytest.mark.parametrize("kind", ALLOWED)
def test_a_change_that_every_reader_survives_is_allowed(kind):
    changed = telemetry()
    ALLOWED[kind](changed)
    assert breaches("telemetry_batch", changed, {1: telemetry()}) == []


def test_a_name_that_was_removed_never_comes_back_as_something_else():
    # v1 has uptime in ms, v2 has dropped it: against v2 alone anything of that name is new.
    without = telemetry()
    drop(without, "uptime")
    versions = {1: telemetry(), 2: without}
    again = copy.deepcopy(without)
    again["fields"].append(UPTIME)
    assert breaches("telemetry_batch", again, versions) == []
    for other in (
        {"type": "string", "default": ""},
        {"type": "double", "default": 0.0},
        {"doc": "Time since the start, seconds."},
        {"default": 1},
    ):
        again["fields"][-1] = UPTIME | other
        found = breaches("telemetry_batch", again, versions)
        assert [(breach.against, breach.field) for breach in found] == [("v1", "uptime")] * len(
            found
        )
        assert found, other
        assert breaches("telemetry_batch", again, {1: without}) == []


def test_a_drop_and_an_add_in_two_releases_are_no_rename():
    both = telemetry()
    both["fields"].append(UPTIME | {"name": "uptime_ms"})
    later = copy.deepcopy(both)
    drop(later, "uptime")
    assert breaches("telemetry_batch", both, {1: telemetry()}) == []
    assert breaches("telemetry_batch", later, {1: telemetry(), 2: both}) == []


def test_a_fault_in_a_union_of_records_names_the_innermost_field():
    def with_place(*fields):
        place = {"type": "record", "name": "Place", "fields": [*fields]}
        return telemetry() | {
            "fields": [*telemetry()["fields"],
                       {"name": "home", "type": ["null", place], "default": None},
                       {"name": "work", "type": ["null", "Place"], "default": None}]
        }  # fmt: skip

    x, y = {"name": "x", "type": "int"}, {"name": "y", "type": "int"}
    found = breaches("telemetry_batch", with_place(x, y), {1: with_place(x)})
    assert [breach.field for breach in found] == ["home.y", "work.y"]


def test_our_schemas_may_be_released_as_they_are():
    assert [str(breach) for breach in check(SchemaFolder(AVRO_FOLDER))] == []


def test_every_topic_that_has_a_schema_has_a_released_version():
    folder = SchemaFolder(AVRO_FOLDER)
    first = {"telemetry_batch", "device_record", "window_deltas", "alert_event", "device_status"}
    assert first <= folder.released_names()


@pytest.fixture
def folder(tmp_path):
    """Return a copy of our schemas that may be spoilt."""
    shutil.copytree(AVRO_FOLDER, tmp_path / "avro")
    return SchemaFolder(tmp_path / "avro")


def words(folder):
    return [str(breach) for breach in check(folder)]


def test_a_released_file_that_was_edited_is_refused(folder):
    path = folder.released("device_status")[1]
    path.write_text(path.read_text().replace("Owner of the device.", "Owner."))
    (line,) = words(folder)
    assert line.startswith("device_status.v1.avsc against its checksum: ")
    assert "was edited" in line


def test_a_released_file_that_is_gone_or_came_by_itself_is_refused(folder):
    one = folder.released("device_status")[1]
    one.rename(one.with_name("device_status.v2.avsc"))
    found = "\n".join(words(folder))
    assert (
        "device_status.v1.avsc against its checksum: the record: the released file is gone" in found
    )
    assert "device_status.v2.avsc against its checksum: the record: the file is not in" in found
    assert "device_status.avsc against its versions: the record: they are [2]" in found


def test_a_schema_that_vanishes_is_refused_because_its_messages_are_in_the_log(folder):
    folder.current()["device_status"].unlink()
    assert [line for line in words(folder) if "the schema is gone" in line]


def test_a_file_that_is_no_json_is_one_line(folder):
    folder.current()["device_status"].write_text("{")
    (line,) = words(folder)
    assert line.startswith("device_status.avsc against itself")


def test_release_adds_what_changed_once_and_then_judges_against_it(folder, capsys):
    path = folder.current()["device_status"]
    schema = json.loads(path.read_text())
    schema["fields"].append(UPTIME)
    path.write_text(json.dumps(schema))
    assert main(["--release"], folder) == 0
    assert "device_status.v" in capsys.readouterr().out
    assert release(folder) == []
    assert words(folder) == []
    newest = max(folder.released("device_status"))
    schema["fields"][-1] = UPTIME | {"default": 5}
    path.write_text(json.dumps(schema))
    assert main(["--release"], folder) == 1
    assert f"against v{newest}: uptime: the default 0 became 5" in capsys.readouterr().err
    assert max(folder.released("device_status")) == newest


def test_the_check_is_a_command_that_says_when_its_arguments_are_unknown():
    command = [sys.executable, "-m", "jobs.schema_check"]
    assert subprocess.run(command, check=False).returncode == 0
    wrong = subprocess.run([*command, "--relase"], check=False, capture_output=True, text=True)
    assert wrong.returncode == 2
    assert "--release" in wrong.stderr
