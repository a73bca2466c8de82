"""Types that the block reader gets wrong, read as wider ones of the same bytes, then checked.

int     -> long        and must fit 32 bits    (the reader would cut it)
enum    -> long        and must be a symbol    (the reader knows no enums)
boolean -> fixed(1)    and must be 0 or 1      (the reader takes any byte)
"""

from typing import Any

import polars as pl

from schemas.avro_shapes import is_nullable, other_branch
from schemas.avro_strict import INT_MAX, INT_MIN

FALSE, TRUE = b"\x00", b"\x01"


def widened(plain: Any) -> Any:
    """Return the plain schema as the block reader gets it."""
    return _Widener().widened(plain)


class _Widener:
    """One walk over a schema; numbers the types that it names."""

    def __init__(self) -> None:
        self.boolean_count = 0

    def widened(self, plain: Any) -> Any:
        if isinstance(plain, list):
            return [self.widened(branch) for branch in plain]
        if plain == "boolean":
            self.boolean_count += 1
            return {"type": "fixed", "name": f"Boolean{self.boolean_count}", "size": 1}
        if isinstance(plain, str):
            return "long" if plain == "int" else plain
        if plain["type"] == "record":
            fields = [f | {"type": self.widened(f["type"])} for f in plain["fields"]]
            return plain | {"fields": fields}
        if plain["type"] == "array":
            return plain | {"items": self.widened(plain["items"])}
        return "long" if plain["type"] == "enum" else plain


def needs_narrowing(plain: Any) -> bool:
    """Tell whether a type has anything that is read wider than it is."""
    if isinstance(plain, list):
        return is_nullable(plain) and needs_narrowing(other_branch(plain))
    if isinstance(plain, str):
        return plain in ("int", "boolean")
    if plain["type"] == "record":
        return any(needs_narrowing(field["type"]) for field in plain["fields"])
    if plain["type"] == "array":
        return needs_narrowing(plain["items"])
    return bool(plain["type"] == "enum")


def narrowed(value: pl.Expr, plain: Any) -> pl.Expr:
    """Return the value as its own type; rows that do not fit become null or anything."""
    plain = other_branch(plain)
    if not needs_narrowing(plain):
        return value
    if plain == "int":
        return value.cast(pl.Int32, strict=False)
    if plain == "boolean":
        return value == TRUE
    if plain["type"] == "array":
        return value.list.eval(narrowed(pl.element(), plain["items"]))
    if plain["type"] == "record":
        fields = [
            narrowed(value.struct.field(f["name"]), f["type"]).alias(f["name"])
            for f in plain["fields"]
        ]
        return pl.when(value.is_not_null()).then(pl.struct(fields))
    symbols = plain["symbols"]
    return value.replace_strict(
        range(len(symbols)), symbols, default=None, return_dtype=pl.String()
    )


def fits(value: pl.Expr, plain: Any) -> pl.Expr:
    """Tell whether the value, and all that is in it, fits its own type; null does."""
    return _fits(value, plain).fill_null(value=True)


def _fits(value: pl.Expr, plain: Any) -> pl.Expr:
    plain = other_branch(plain)
    if not needs_narrowing(plain):
        return pl.lit(value=True)
    if plain == "int":
        return value.is_between(INT_MIN, INT_MAX)
    if plain == "boolean":
        return value.is_in([FALSE, TRUE])
    if plain["type"] == "array":
        return value.list.eval(fits(pl.element(), plain["items"])).list.all()
    if plain["type"] == "record":
        return pl.all_horizontal(
            [fits(value.struct.field(f["name"]), f["type"]) for f in plain["fields"]]
        )
    return value.is_between(0, len(plain["symbols"]) - 1)
