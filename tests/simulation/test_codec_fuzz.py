"""A small storm of mutated messages; `make fuzz` is the large one."""

import random

from tests.codec_fuzz import storm

MUTANT_COUNT = 4_000


def test_mutants_are_judged_as_the_strict_reader_does_and_never_touch_their_neighbours():
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    tally = storm(MUTANT_COUNT, seed)
    assert tally.mutants >= MUTANT_COUNT
    # A storm that touches nothing proves nothing.
    assert tally.believed > MUTANT_COUNT // 50
    assert tally.rejected["avro_invalid"] > MUTANT_COUNT // 4
    assert tally.good > MUTANT_COUNT // 2
