"""Random logs of devices that change group and site, for the emergencies of all fleets."""

import random

from tests.oracle.alerts_oracle import Contact, Entry, Registration, Tick
from tests.strategies import NOON_MS

SECOND_MS = 1_000
GROUPS, SITES = ["g", "h", "x"], ["s", "x"]
PLACES = [("", ""), *((group, site) for group in ["", *GROUPS] for site in ["", *SITES])]
PARTITIONS = 2
Blind = list[tuple[int, int, int]]
"""Partition, from and to, UTC ms: nothing is heard of it in between."""


def scope_log(seed: int, *, has_partial_blindness: bool = True) -> list[Entry]:
    """Return up to 60 devices of two tenants over up to 50 min.

    Ticks stand on both partitions each 5 s but in blind stretches. The registry changes nothing of
    a device while its partition is blind: the contract does not say when that counts.

    Args:
        seed: of everything random.
        has_partial_blindness: whether one partition may be blind while the other speaks.
    """
    chance = random.Random(seed)
    last_ms = NOON_MS + chance.randrange(900, 3000) * SECOND_MS
    blind = _blind(chance, last_ms, has_partial_blindness=has_partial_blindness)
    spoken: list[list[Contact | Tick]] = [[] for _ in range(PARTITIONS)]
    log: list[Entry] = []
    # All are ill, or a few at one place: so that emergencies begin and end apart.
    stamina, device_count = chance.choice([0.3, 0.6, 0.9]), chance.randrange(2, 61)
    ill_count = chance.choice([3, 5, device_count])
    for number in range(device_count):
        is_ill = number < ill_count
        tenant, device = f"t{number % 8 // 7}", f"d{number:02d}"
        partition = chance.randrange(PARTITIONS)
        first = ("g", "s") if is_ill and ill_count < device_count else chance.choice(PLACES)
        log.append(Registration(NOON_MS + 1, tenant, device, "provisioned", 60, *first))
        log += _changes(chance, (tenant, device), _spans_of(blind, partition), last_ms)
        claim, at_ms, sequence = chance.choice(["", *GROUPS]), NOON_MS + 2 * SECOND_MS, 0
        while at_ms < last_ms:
            if not _is_inside(_spans_of(blind, partition), at_ms):
                said = Contact(at_ms, partition, 0, tenant, device, "b", sequence, claim)
                spoken[partition].append(said)
            if chance.random() < 0.1:
                claim = chance.choice(["", *GROUPS])
            is_short = not is_ill or chance.random() < stamina
            at_ms += SECOND_MS * (60 if is_short else chance.choice([300, 301, 600, 1200, 9000]))
            sequence += chance.random() > 0.05
    for partition, contacts in enumerate(spoken):
        ticks = _ticks(partition, last_ms, _spans_of(blind, partition))
        entries = sorted([*ticks, *contacts], key=lambda entry: (entry.at_ms, len(entry)))
        log += [entry._replace(offset=offset) for offset, entry in enumerate(entries)]
    return log


def _changes(
    chance: random.Random, identity: tuple[str, str], spans: list[tuple[int, int]], last_ms: int
) -> list[Entry]:
    """Return what the registry says of one device later, at instants of its own."""
    records: list[Entry] = []
    for _ in range(chance.choice([0, 0, 0, 1, 3])):
        at_ms = NOON_MS + chance.randrange(5, (last_ms - NOON_MS) // SECOND_MS) * SECOND_MS + 501
        if not _is_inside(spans, at_ms):
            status = None if chance.random() < 0.1 else "provisioned"
            records.append(Registration(at_ms, *identity, status, 60, *chance.choice(PLACES)))
    return records


def _blind(chance: random.Random, last_ms: int, *, has_partial_blindness: bool) -> Blind:
    spans: Blind = []
    for _ in range(chance.choice([0, 1, 2])):
        begin_ms = NOON_MS + chance.randrange(60, (last_ms - NOON_MS) // SECOND_MS) * SECOND_MS
        span = begin_ms, begin_ms + chance.choice([25, 35, 200, 900]) * SECOND_MS
        one = [chance.randrange(PARTITIONS)] if has_partial_blindness else []
        spans += [(partition, *span) for partition in one or range(PARTITIONS)]
    return spans


def _spans_of(blind: Blind, partition: int) -> list[tuple[int, int]]:
    return [(begin_ms, end_ms) for silent, begin_ms, end_ms in blind if silent == partition]


def _is_inside(spans: list[tuple[int, int]], at_ms: int) -> bool:
    return any(begin_ms < at_ms < end_ms for begin_ms, end_ms in spans)


def _ticks(partition: int, last_ms: int, spans: list[tuple[int, int]]) -> list[Tick]:
    times = range(NOON_MS, last_ms + 60 * SECOND_MS, 5 * SECOND_MS)
    return [Tick(at_ms, partition, 0) for at_ms in times if not _is_inside(spans, at_ms)]
