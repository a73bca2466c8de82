"""Which partitions are blind for the fleet rule: silent while another one speaks (C5, C8).

p0  o o o o                 o o o o        both silent: nobody's clock moves, nobody is blind
p1  o o o                       o o        p0 speaks first: from then on p1 is blind, until it
                                           speaks, too
"""

from dataclasses import dataclass, replace
from typing import Any

from udfs.transitions import Kind


@dataclass(frozen=True)
class Hearing:
    """The partitions that were ever read, and those of them that are silent."""

    known: frozenset[int] = frozenset()
    silent: frozenset[int] = frozenset()

    @property
    def blind(self) -> frozenset[int]:
        """Return the partitions whose devices do not count."""
        return self.silent if self.silent < self.known else frozenset()

    def after(self, kind: Kind, partition: int) -> "Hearing":
        """Return it after what a partition's row tells."""
        one = frozenset({partition})
        heard = replace(self, known=self.known | one)
        if kind is Kind.BLIND:
            return replace(heard, silent=self.silent | one)
        return replace(heard, silent=self.silent - one)

    def to_values(self) -> dict[str, Any]:
        """Return everything for the state's bytes."""
        return {"known": sorted(self.known), "silent": sorted(self.silent)}

    @classmethod
    def from_values(cls, stored: dict[str, Any]) -> "Hearing":
        """Return what `to_values` wrote."""
        return cls(frozenset(stored["known"]), frozenset(stored["silent"]))
