"""What a change of an Avro schema must not do, so that old and new messages stay readable.

Topics are replayed and devices are updated over years: every version ever released is in the log
and in the field. A schema is therefore judged against each of them, in both directions (Confluent
calls it FULL_TRANSITIVE), and by rules of our own for what no registry looks at: the meaning of a
field, which is its unit, its logical type and its default.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from schemas.avro_compatibility import schema_fault, unreadable_fields
from schemas.records import Schema
from schemas.schema_fields import NO_DEFAULT, FieldFacts, schema_fields

UNITS = re.compile(
    r"""(?<![\w.])(?:
        [nuµm]s | s | nanoseconds? | microseconds? | milliseconds? | seconds? | minutes? | hours?
      | days? | UTC | bytes? | bits? | [KMGT]i?B | percent | % | ratio | 0-1
      | °C | °F | K | Hz | [kMG]Hz | W | kW | V | A | mA | m | km | dBm? | Pa | hPa
      | times\s2\^\d+ | (?:little|big)-endian | version\s\d+
    )(?![\w^-])""",
    re.VERBOSE,
)
"""Words of a doc that say how a number is to be read."""

KEEP_TYPE_CURE = "keep the field as it is and add a new one, of another name, with a default"


@dataclass(frozen=True)
class Breach:
    """One reason why a schema must not be released: what broke, where, and the cure."""

    file: str
    against: str
    field: str
    what: str
    cure: str

    def __str__(self) -> str:
        field = self.field or "the record"
        return f"{self.file} against {self.against}: {field}: {self.what}; cure: {self.cure}"


def breaches(name: str, current: Schema, released: Mapping[int, Schema]) -> list[Breach]:
    """Judge a schema by itself and against every version that was ever released.

    Args:
        name: of the file, without `.avsc`.
        current: as it is to be released.
        released: the versions by their number; none for a new schema.
    """
    file = f"{name}.avsc"
    fault = schema_fault(current)
    if fault is not None:
        return [Breach(file, "itself", "", fault, "write it as the Avro specification says")]
    found = [Breach(file, "itself", *each) for each in _own_faults(schema_fields(current))]
    for version, old in sorted(released.items()):
        faults = dict(_unreadable(current, old, version))
        changes = _changes(schema_fields(old), schema_fields(current))
        # Where Avro already refuses, one line is enough.
        told = [(field, *fault) for field, fault in faults.items()]
        told += [each for each in changes if each[0] not in faults]
        if version == max(released):
            told += _renames(schema_fields(old), schema_fields(current))
        found += [Breach(file, f"v{version}", *each) for each in told]
    return found


def _unreadable(
    current: Schema, old: Schema, version: int
) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield (field, (what, cure)) for what Avro's own rules refuse in either direction."""
    for field, why in unreadable_fields(reader=current, writer=old):
        yield field, (f"it cannot read messages of v{version} ({why})", _cure(why))
    for field, why in unreadable_fields(reader=old, writer=current):
        yield field, (f"readers of v{version} cannot read its messages ({why})", _cure(why))


def _cure(why: str) -> str:
    if "no default" in why:
        return "a field comes or goes only with a default: give it one, or leave it"
    if why.startswith("{"):  # the library names the symbols that are missing
        return "keep every symbol, and release the enum with a default before it gets new ones"
    return KEEP_TYPE_CURE


def _own_faults(fields: Mapping[str, FieldFacts]) -> Iterator[tuple[str, str, str]]:
    """Yield (field, what, cure) for what a schema must not be, whatever was before it."""
    for path, facts in fields.items():
        if facts.has_aliases:
            cure = "remove the aliases; add a new field and keep the old one"
            yield path, "the block reader knows no aliases", cure
        if not facts.has_fitting_default:
            cure = "give a default of the type, of a union's first type"
            yield path, f"the default {facts.default} is not of its type", cure
        if facts.symbols and facts.enum_default not in facts.symbols:
            cure = 'add "default" to the enum: it is what an old reader makes of a new symbol'
            yield path, "the enum has no default symbol", cure
        is_null_first = facts.branches[0] == "null" and facts.default == "null"
        if "null" in facts.branches and not is_null_first:
            yield path, "it may be null, but null is not first and the default", _NULL_FIRST


_NULL_FIRST = 'write ["null", type] with "default": null'


def _changes(
    old: Mapping[str, FieldFacts], new: Mapping[str, FieldFacts]
) -> Iterator[tuple[str, str, str]]:
    """Yield (field, what, cure) for changes of meaning that Avro's own rules let pass."""
    for path in old.keys() & new.keys():
        before, after = old[path], new[path]
        units = _units(before), _units(after)
        if before.shape != after.shape:
            what = f"the type {before.shape} became {after.shape}"
        elif before.logical != after.logical:
            what = f"the logical type {before.logical} became {after.logical}"
        elif units[0] and units[0] != units[1]:
            what = f"the unit in its doc was {', '.join(units[0])}, is {', '.join(units[1])}"
        elif before.symbols - after.symbols:
            what = f"the symbols {', '.join(sorted(before.symbols - after.symbols))} are gone"
        elif before.default != after.default and NO_DEFAULT not in (before.default, after.default):
            what = f"the default {before.default} became {after.default}"
        elif before.enum_default is not None and before.enum_default != after.enum_default:
            what = f"the enum's default {before.enum_default} became {after.enum_default}"
        else:
            continue
        yield path, what, KEEP_TYPE_CURE


def _units(facts: FieldFacts) -> list[str]:
    return sorted(set(UNITS.findall(facts.docs)))


def _renames(
    old: Mapping[str, FieldFacts], new: Mapping[str, FieldFacts]
) -> Iterator[tuple[str, str, str]]:
    """Yield (field, what, cure) for a field that goes while another of its type comes beside it.

    To Avro a rename is one field less and one more: with defaults it passes, and every old value
    silently reads as the default.
    """
    for gone in old.keys() - new.keys():
        twins = [
            come
            for come in sorted(new.keys() - old.keys())
            if _record_of(come) == _record_of(gone) and new[come].shape == old[gone].shape
        ]
        if twins:
            cure = "keep both for one release, then remove the old one in the next"
            yield gone, f"it is gone while {', '.join(twins)} came: a rename loses its values", cure


def _record_of(path: str) -> str:
    return path.rpartition(".")[0]
