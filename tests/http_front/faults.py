"""What goes wrong between the loader and ClickHouse, as a test orders it. Seeded."""

import random
from dataclasses import dataclass, field
from enum import StrEnum

NAMES = {
    241: "MEMORY_LIMIT_EXCEEDED",
    242: "TABLE_IS_READ_ONLY",
    252: "TOO_MANY_PARTS",
    497: "ACCESS_DENIED",
    516: "AUTHENTICATION_FAILED",
}


class Deed(StrEnum):
    """What a fault does to a request."""

    NOTHING = "nothing"
    CODE = "code"
    """Not executed; answered with an error code of ClickHouse."""
    STATUS = "status"
    """Not executed; answered with a bare HTTP status, as something in between would."""
    RESET = "reset"
    """Not executed; the connection is reset."""
    DROP_ANSWER = "drop_answer"
    """Executed; the connection is reset instead of an answer."""
    HANG = "hang"
    """Executed; no answer comes until the client has had enough."""
    CUT_ANSWER = "cut_answer"
    """Executed; the answer breaks off in its body."""


@dataclass
class Fault:
    """One order of a test.

    Args:
        deed: what happens.
        on: requests whose SQL contains this; empty: all.
        times: how often; None: until the order is taken back.
        share: of those requests, 0-1.
        code: the error code, or the HTTP status.
        delay_s: before the request is looked at; also with `nothing`.
    """

    deed: Deed
    on: str = ""
    times: int | None = None
    share: float = 1.0
    seed: int = 0
    code: int = 0
    delay_s: float = 0.0
    done_count: int = 0
    dice: random.Random = field(init=False)

    def __post_init__(self):
        self.deed = Deed(self.deed)
        self.dice = random.Random(self.seed)

    def strikes(self, sql):
        """Say whether it strikes this request, and count it."""
        is_over = self.times is not None and self.done_count >= self.times
        if is_over or self.on not in sql or self.dice.random() >= self.share:
            return False
        self.done_count += 1
        return True


HARMLESS = Fault(Deed.NOTHING)


def first_striking(faults, sql):
    return next((fault for fault in faults if fault.strikes(sql)), HARMLESS)
