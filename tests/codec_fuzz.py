"""A seeded storm of mutated messages on the codec.

    make fuzz            one million, about half an hour
    python -m tests.codec_fuzz --mutants 1000000 --seed 7

Blocks mix good messages of every schema version with mutants. After each block: every good message
is there and unaltered; every mutant is believed just when the strict reader believes it, otherwise
it is rejected. Every eighth mutant is decoded alone as well: the same values, in little time.
"""

import argparse
import math
import random
import resource
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from schemas.avro_shapes import plain_schema
from schemas.avro_strict import NotADatum, read_datum, strict_reader
from schemas.codec import DecodedBlock, decode_messages
from schemas.records import WIRE_HEADER_BYTES, Record, wire_header
from schemas.topics import Topic
from tests.schema_versions import VERSIONS, encode_version, schema_of_id

BLOCK_MESSAGES = 240
MUTANT_RATIO = 0.5
ALONE_RATIO = 1 / 8
ALONE_MAX_S = 0.05
NOON_MS = 1_790_000_100_000
HOSTILE_NUMBERS = (
    b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # 2^63 - 1
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # -2^63
    b"\xff" * 19 + b"\x01",
    b"\x80" * 10 + b"\x00",
    b"\x80\x00",
    b"\x01",
    b"\x04",
    b"\x00",
)

STRICT_READERS = {number: strict_reader(plain_schema(s)) for number, s in VERSIONS.items()}

Mutation = Callable[[random.Random, bytes, bytes], bytes]


def cut(draw: random.Random, message: bytes, other: bytes) -> bytes:
    return message[: draw.randrange(len(message))]


def flip_bits(draw: random.Random, message: bytes, other: bytes) -> bytes:
    changed = bytearray(message)
    for _ in range(draw.choice([1, 1, 1, 2, 8])):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def put_byte(draw: random.Random, message: bytes, other: bytes) -> bytes:
    at = draw.randrange(WIRE_HEADER_BYTES, len(message))
    return message[:at] + bytes([draw.randrange(256)]) + message[at + 1 :]


def put_hostile_number(draw: random.Random, message: bytes, other: bytes) -> bytes:
    at = draw.randrange(WIRE_HEADER_BYTES, len(message))
    return message[:at] + draw.choice(HOSTILE_NUMBERS) + message[at + draw.randrange(2) :]


def drop_a_part(draw: random.Random, message: bytes, other: bytes) -> bytes:
    at = draw.randrange(WIRE_HEADER_BYTES, len(message))
    return message[:at] + message[at + draw.randrange(1, 20) :]


def repeat_a_part(draw: random.Random, message: bytes, other: bytes) -> bytes:
    at, size = draw.randrange(WIRE_HEADER_BYTES, len(message)), draw.randrange(1, 60)
    return message[: at + size] + message[at:]


def splice(draw: random.Random, message: bytes, other: bytes) -> bytes:
    return message[: draw.randrange(len(message))] + other[draw.randrange(len(other)) :]


def add_junk(draw: random.Random, message: bytes, other: bytes) -> bytes:
    return message + draw.choice([other, draw.randbytes(draw.randrange(1, 24)), bytes(16)])


def claim_another_schema(draw: random.Random, message: bytes, other: bytes) -> bytes:
    return wire_header(draw.randrange(1, max(VERSIONS) + 3)) + message[WIRE_HEADER_BYTES:]


def only_noise(draw: random.Random, message: bytes, other: bytes) -> bytes:
    return message[:WIRE_HEADER_BYTES] + draw.randbytes(draw.randrange(200))


MUTATIONS: tuple[Mutation, ...] = (
    cut,
    flip_bits,
    put_byte,
    put_hostile_number,
    drop_a_part,
    repeat_a_part,
    splice,
    add_junk,
    claim_another_schema,
    only_noise,
)


@dataclass
class Tally:
    """What happened to the mutants."""

    believed: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    slowest_s: float = 0.0
    good: int = 0

    @property
    def mutants(self) -> int:
        return self.believed + self.rejected.total()


def batch(draw: random.Random) -> Record:
    """Return one small batch; small ones have the most structure for each byte."""
    return {
        "tenant_id": "acme",
        "device_id": f"camera-{draw.randrange(1000)}",
        "boot_id": draw.choice([None, "b00t"]),
        "sequence": draw.choice([None, draw.randrange(100_000)]),
        "sent_at": NOON_MS,
        "received_at": draw.choice([None, NOON_MS]),
        "hardware_revision": None,
        "firmware_version": "4.2",
        "model_version": "größe",
        "deployment_group": None,
        "points": [point(draw) for _ in range(draw.choice([0, 1, 5]))],
    }


def point(draw: random.Random) -> dict[str, Any]:
    tags = {"core": "1"} if draw.random() < 0.3 else {}
    value = draw.choice([draw.gauss(0, 100), math.nan, 0.0])
    return {"name": "cpu", "value": value, "timestamp": NOON_MS, "tags": tags}


def decode(messages: list[bytes]) -> DecodedBlock:
    return decode_messages(Topic.TELEMETRY, messages, schema_of_id)


def storm(mutant_count: int, seed: int, on_block: Callable[[Tally], None] | None = None) -> Tally:
    """Send mutants through the codec, in blocks among good messages."""
    draw, tally = random.Random(seed), Tally()
    pool = [encode_version(draw.choice(list(VERSIONS)), batch(draw)) for _ in range(400)]
    expected = rows_of(decode(pool))
    while tally.mutants < mutant_count:
        picks = [draw.randrange(len(pool)) for _ in range(BLOCK_MESSAGES)]
        messages = [pool[pick] for pick in picks]
        mutated = {row for row in range(BLOCK_MESSAGES) if draw.random() < MUTANT_RATIO}
        for row in mutated:
            messages[row] = draw.choice(MUTATIONS)(draw, messages[row], draw.choice(pool))
        judge(messages, picks, mutated, expected, tally, draw)
        if on_block is not None:
            on_block(tally)
    return tally


def judge(
    messages: list[bytes],
    picks: list[int],
    mutated: set[int],
    expected: dict[int, Any],
    tally: Tally,
    draw: random.Random,
) -> None:
    """Check one block."""
    block = decode(messages)
    found, rejected = rows_of(block), {m.row: m for m in block.rejected}
    assert sorted([*found, *rejected]) == list(range(len(messages))), "each row exactly once"
    for row, pick in enumerate(picks):
        if row not in mutated:
            assert found[row] == expected[pick], f"row {row} was lost or altered"
            tally.good += 1
        else:
            is_alone_too = draw.random() < ALONE_RATIO
            judge_mutant(messages[row], found.get(row), tally, is_alone_too=is_alone_too)
            if row in rejected:
                tally.rejected[rejected[row].reason.value] += 1


def judge_mutant(message: bytes, found: Any, tally: Tally, *, is_alone_too: bool) -> None:
    """Check one mutant: the strict reader agrees, and alone it is the same as in company."""
    assert (found is not None) == is_datum(message), message.hex()
    tally.believed += found is not None
    if not is_alone_too:
        return
    alone, took_s = decode_alone(message)
    assert took_s < ALONE_MAX_S, f"{took_s:.3f} s for {message.hex()}"
    assert found == alone, f"alone it is {alone}, in company {found}: {message.hex()}"
    tally.slowest_s = max(tally.slowest_s, took_s)


def decode_alone(message: bytes) -> tuple[Any, float]:
    """Return what one message holds, and the CPU seconds that it took.

    What is slow is slow again: the least of ten tells a hang from a busy machine.
    """
    least_s = math.inf
    for _ in range(10):
        began_s = time.process_time()
        found = rows_of(decode([message])).get(0)
        least_s = min(least_s, time.process_time() - began_s)
        if least_s < ALONE_MAX_S / 5:
            break
    return found, least_s


def is_datum(message: bytes) -> bool:
    """Tell what the strict reader thinks."""
    if len(message) < WIRE_HEADER_BYTES or message[0] != 0:
        return False
    read = STRICT_READERS.get(int.from_bytes(message[1:WIRE_HEADER_BYTES], "big"))
    if read is None:
        return False
    try:
        read_datum(read, message[WIRE_HEADER_BYTES:])
    except NotADatum:
        return False
    return True


def rows_of(block: DecodedBlock) -> dict[int, Any]:
    """Return what each row holds, in a form that can be compared."""
    rows = {row[0]: [repr(row[1:])] for row in block.messages.iter_rows()}
    for item in block.items.iter_rows():
        rows[item[0]].append(repr(item[1:]))
    return rows


def main() -> None:
    """Run a storm and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mutants", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    given = parser.parse_args()
    print(f"seed {given.seed}, polars {pl.__version__}", flush=True)
    steps, began_s = iter(range(0, 10 * given.mutants, max(1, given.mutants // 10))), time.time()
    due = next(steps)

    def show(tally: Tally) -> None:
        nonlocal due
        if tally.mutants >= due:
            due = next(steps)
            peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            print(
                f"{tally.mutants:>9} mutants, {tally.believed} believed, {peak_mb} MiB", flush=True
            )

    tally = storm(given.mutants, given.seed, show)
    print(f"good {tally.good}, rejected {dict(tally.rejected)}")
    print(f"slowest alone {1000 * tally.slowest_s:.1f} ms, {time.time() - began_s:.0f} s in all")


if __name__ == "__main__":
    main()
