"""At which steps the loader is killed, and how often.

A chain is a row of processes, each of which dies while it works on what the one before it left:

    load:begun ─> recover:inserting ─> recover:finish ─> the next chain
"""

from dataclasses import dataclass

ANY = "start"
INSTANT_MAX_S = 0.06
"""An insert of these runs takes 5-60 ms."""
LIFE_MAX_S = 2.5
"""From its fork until a loader has loaded all, with some of its idle time."""


@dataclass(frozen=True)
class Group:
    """A row of the table.

    Args:
        text: what happens.
        chain: the steps at which one process after another dies; `*` after a step: at a drawn
            instant after it, `!`: and a part of what was inserted is lost.
        times: how often the chain runs.
        max_nth: the step is passed so often at most before it kills.
        odd: whether alerts come that the table refuses.
        new_topic: whether a tenant's topic comes once the loader is ready.
        new_partitions: whether topics get a partition more then.
    """

    text: str
    chain: tuple[str, ...]
    times: int
    max_nth: int = 1
    odd: bool = False
    new_topic: bool = False
    new_partitions: bool = False


GROUPS = (
    Group("before the ledger's begun", ("load:begin",), 6),
    Group("after begun", ("load:begun",), 6),
    Group("letters of unreadable messages sent", ("load:letter-sent",), 6),
    Group("before an insert", ("load:insert",), 6, max_nth=5),
    Group("within an insert, at any instant", ("load:inserting*",), 24, max_nth=5),
    Group("after an insert", ("load:inserted",), 8, max_nth=5),
    Group("after an insert; a part is lost, not its token", ("load:inserted!",), 6),
    Group("before done", ("load:finish",), 6),
    Group("after done", ("load:done",), 6),
    Group("recovery: ledger read", ("load:begun", "recover:ledger-read"), 3),
    Group("recovery: messages read again", ("load:inserted", "recover:read-again"), 4),
    Group("recovery: within an insert", ("load:begun", "recover:inserting*"), 6),
    Group("recovery: a table alone gets what it lacks", ("load:inserted!", "recover:repairing"), 6),
    Group("recovery: the same, within its insert", ("load:inserted!", "recover:repairing*"), 3),
    Group("recovery: batch completed", ("load:inserted", "recover:completed"), 4),
    Group("recovery: before and after done", ("load:begun", "recover:finish", "recover:done"), 4),
    Group(
        "recovery of a recovery of a recovery",
        ("load:inserting*", "recover:ledger-read", "recover:read-again", "recover:completed"),
        3,
    ),
    Group("refused batch: looked whether it landed", ("load:looked",), 4, odd=True),
    Group("refused batch: a share begun", ("share:begun",), 6, max_nth=3, odd=True),
    Group("refused batch: within a share's insert", ("share:inserting*",), 6, max_nth=3, odd=True),
    Group("refused batch: a share inserted", ("share:inserted",), 6, max_nth=2, odd=True),
    Group("refused batch: a letter sent", ("share:letter-sent",), 6, odd=True),
    Group("refused batch: a share done", ("share:done",), 6, max_nth=2, odd=True),
    Group("new topic: before what was read is flushed", ("follow:flush",), 3, new_topic=True),
    Group("new topic: ledger read", ("follow:ledger-read",), 3, new_topic=True),
    Group("new topic: reading it", ("follow:recovered",), 4, new_topic=True),
    Group("new partitions: before the flush", ("follow:flush",), 4, new_partitions=True),
    Group("new partitions: ledger read", ("follow:ledger-read",), 4, new_partitions=True),
    Group("new partitions: reading them", ("follow:recovered",), 4, new_partitions=True),
    Group("stop: before the last flush", ("stop:flush",), 3),
    Group("stop: begun", ("stop:begun",), 3),
    Group("stop: within an insert", ("stop:inserting*",), 4, max_nth=2),
    Group("stop: done", ("stop:done",), 3),
    Group("stop: closing", ("stop:closing",), 3),
    Group("any instant of its life", ("load:start*",), 30),
)
