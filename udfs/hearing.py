"""Which partitions are blind for the fleet rule: silent while another one speaks (C5, C8).

p0  o o o o                 o o o o        both silent: nobody's clock moves, nobody is blind
p1  o o o                       o o        p0 speaks first: from then on p1 is blind, until it
                                           speaks, too

p1 counts as silent a little before p0, which has spoken last. That makes no one blind either: when
p1 did, p0 had fallen silent already.
"""

from dataclasses import dataclass, replace
from typing import Any

from udfs.transitions import Kind


@dataclass(frozen=True)
class Hearing:
    """What is heard of partitions.

    Args:
        known: those that were ever read.
        silent: those of them that are silent.
        blind: those of them whose devices do not count, until they speak.
    """

    known: frozenset[int] = frozenset()
    silent: frozenset[int] = frozenset()
    blind: frozenset[int] = frozenset()

    def after(self, kind: Kind, partition: int) -> "Hearing":
        """Return it after what a partition's row tells; see `settled`."""
        one = frozenset({partition})
        known = self.known | one
        if kind is Kind.BLIND:
            return replace(self, known=known, silent=self.silent | one)
        return Hearing(known, self.silent - one, self.blind - one)

    def settled(self, fallen: frozenset[int] = frozenset()) -> "Hearing":
        """Return it after all that falls on one instant: who is silent while others speak.

        Args:
            fallen: who has said nothing since before the instant, and will soon count as silent.
        """
        return replace(self, blind=self.silent) if self.silent | fallen < self.known else self

    def to_values(self) -> dict[str, Any]:
        """Return everything for the state's bytes."""
        return {name: sorted(partitions) for name, partitions in self.__dict__.items()}

    @classmethod
    def from_values(cls, stored: dict[str, Any]) -> "Hearing":
        """Return what `to_values` wrote."""
        return cls(**{name: frozenset(partitions) for name, partitions in stored.items()})
