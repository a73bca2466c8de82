"""Random numbers that are a pure function of a seed and counters, vectorised.

A generator with hidden state would make a batch depend on how the work was cut into blocks. Here
the number for (device 7, slot 42) is the same in any block: a simulation repeats byte for byte.
"""

from enum import IntEnum
from typing import cast

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Floats = NDArray[np.float64]
Counter = int | NDArray[np.int64] | Hashes

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
MIX_2 = np.uint64(0x94D049BB133111EB)

IRWIN_HALL_MEAN = 4 * (2**16 - 1) / 2
IRWIN_HALL_DEVIATION = float(np.sqrt(4 * (2.0**32 - 1) / 12))


class Stream(IntEnum):
    """What a random number is for: two uses never share numbers."""

    TRAIT = 1
    GROUP = 2
    MODEL = 3
    HARDWARE = 4
    SITE = 5
    PHASE = 6
    VALUE = 7
    TAIL = 8
    MISSING = 9
    SILENCE = 10
    SILENCE_START = 11
    SILENCE_LENGTH = 12
    CRASH = 13
    DEATH = 14
    DEATH_TIME = 15
    CLOCK = 16
    DELAY = 17
    RESEND = 18
    BACKLOG = 19
    UNCOMMISSIONED = 20
    BOOT = 21


def hashes(seed: int, stream: Stream, *counters: Counter) -> Hashes:
    """Mix a seed and counters into 64 random bits each (the SplitMix64 finaliser, chained).

    Args:
        seed: of the simulation, any integer.
        stream: what the numbers are for.
        counters: integers >= 0 that broadcast to one shape.

    References:
        Steele, Lea, Flood 2014, Fast splittable pseudorandom number generators, OOPSLA.
    """
    # Arrays, never scalars: numpy warns about the overflow of scalars, and here it is the point.
    state = _finalise(np.array([seed % 2**64], np.uint64) ^ np.array([stream], np.uint64) * GOLDEN)
    for counter in counters:
        step = np.atleast_1d(np.asarray(counter)).astype(np.uint64) * GOLDEN
        state = _finalise(state ^ (step + GOLDEN))
    return state


def uniforms(bits: Hashes) -> Floats:
    """Turn bits into numbers in (0, 1), never 0 nor 1."""
    return ((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def normals(bits: Hashes) -> Floats:
    """Turn bits into nearly normal numbers: mean 0, deviation 1, bounded by 3.47.

    The sum of the four 16-bit parts (Irwin-Hall): one hash a number, no logarithm.
    """
    parts = np.ascontiguousarray(bits)[..., np.newaxis].view(np.uint16)
    total = parts.sum(axis=-1, dtype=np.float64)
    return cast("Floats", (total - IRWIN_HALL_MEAN) / IRWIN_HALL_DEVIATION)


def _finalise(state: Hashes) -> Hashes:
    mixed = (state ^ (state >> np.uint64(30))) * MIX_1
    mixed = (mixed ^ (mixed >> np.uint64(27))) * MIX_2
    return cast("Hashes", mixed ^ (mixed >> np.uint64(31)))
