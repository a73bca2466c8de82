"""Brings batches into their tables: begun -> insert -> letters -> done, as often as it takes.

A batch that was cut stays as it is until it has landed: its range is in the ledger, and its insert
may be under way. `land` may fail at any step because ClickHouse is away; called again with the same
batches it goes on where it was. A batch that is refused for its rows is cut anew
(`sinks/refused_batch.py`), so that one bad message costs one message.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from jobs.loader_parts import LoaderParts
from schemas.codec import RejectedMessage
from schemas.dead_letter import Origin, Original, Refusal, dead_letter
from schemas.errors import Reason, SettingsError
from schemas.metrics import LOADER_REJECTED
from schemas.tables import TableSpec
from sinks.clickhouse_errors import RowsRefused
from sinks.load_ledger import LedgerEntry
from sinks.messages import Message
from sinks.refused_batch import Share, check_refused, halves, waiting, whole
from sinks.table_rows import Rows

COMPONENT = "fleetpulse-loader"
STAGE_DECODE, STAGE_INSERT = "VALUE_CONVERTER", "TASK_PUT"
"""As Kafka Connect calls them."""

log = structlog.get_logger()


@dataclass
class CutBatch:
    """A batch with fixed ranges, and how far it has come.

    Args:
        entry: of the ledger.
        rows: its columns, and messages that could not be decoded.
    """

    entry: LedgerEntry
    rows: Rows
    is_begun: bool = False
    are_letters_sent: bool = False
    is_tried: bool = False
    """An insert of it may have reached the engine."""
    is_settled: bool = False
    """It has landed, or lies in the dead letters."""
    refused: "RefusedBatch | None" = None
    landed: list[Rows] = field(default_factory=list)

    @property
    def row_count(self) -> int:
        """Return the rows that have landed."""
        return sum(rows.table.num_rows for rows in self.landed)


@dataclass
class RefusedBatch:
    """What is left of a batch that was refused.

    Args:
        shares: to be settled yet, the next one last.
        current: the next one as a batch of its own, once it was cut.
        refused_count: messages that went to the dead letters.
        judged_count: those, and the messages that have landed.
    """

    shares: list[Share]
    current: CutBatch | None = None
    refused_count: int = 0
    judged_count: int = 0


@dataclass(frozen=True)
class LoadedTopics:
    """What landing asks of a topic, by its full name."""

    spec: Callable[[str], TableSpec]
    take_number: Callable[[str], int]
    read_again: Callable[[LedgerEntry], list[Message]]
    decode: Callable[[str, Sequence[Message]], Rows]


class BatchLanding:
    """Lands batches.

    Args:
        parts: of the loader.
        topics: what there is to know of them.
    """

    def __init__(self, parts: LoaderParts, topics: LoadedTopics) -> None:
        self._parts = parts
        self._topics = topics

    def land(self, batches: Sequence[CutBatch]) -> None:
        """Return when all of some batches have landed, under one pair of ledger entries.

        Raises:
            CircuitOpen: ClickHouse is away; call again later with the same batches.
            SettingsError: a table is not as we made it.
            RejectLimitExceeded: it refuses so many messages that it must be the table.
        """
        fresh = [batch for batch in batches if not batch.is_begun]
        if fresh:
            self._parts.ledger.write([batch.entry for batch in fresh], is_done=False)
            for batch in fresh:
                batch.is_begun = True
        for batch in batches:
            if not batch.is_settled:
                self._settle(batch)
        plain = [batch for batch in batches if batch.refused is None]
        # Last of all: what the ledger calls done sends none again, and an insert that ends the
        # process, at each start anew, has sent none yet.
        for batch in plain:
            self._send_letters(batch)
        if plain:
            self._parts.ledger.write([batch.entry for batch in plain], is_done=True)

    def _settle(self, batch: CutBatch) -> None:
        if batch.refused is None:
            try:
                self._insert(batch)
            except RowsRefused as error:
                batch.refused = self._cut_up(batch, error)
        if batch.refused is not None:
            while batch.refused.shares:
                self._settle_share(batch, batch.refused)
        batch.is_settled = True

    def _insert(self, batch: CutBatch) -> None:
        """Insert a batch; if an insert may have come through before, what is missing of it."""
        spec = self._topics.spec(batch.entry.topic)
        if batch.is_tried:
            self._parts.writer.complete(spec, batch.entry, batch.rows.table)
        else:
            batch.is_tried = True
            self._parts.writer.load(spec, batch.entry, batch.rows.table)
        batch.landed.append(batch.rows)

    def _cut_up(self, batch: CutBatch, error: RowsRefused) -> RefusedBatch:
        self._require_nothing_landed(batch, error)
        log.warning("a batch is refused and is cut", token=batch.entry.token, cause=str(error))
        messages = self._topics.read_again(batch.entry)
        return RefusedBatch(_parts_of(whole(batch.entry, messages)))

    def _settle_share(self, batch: CutBatch, refused: RefusedBatch) -> None:
        """Bring the next share to its end, or cut it."""
        share, topic = refused.shares[-1], batch.entry.topic
        current = refused.current = refused.current or self._own_batch(topic, share)
        if not current.is_begun:
            self._parts.ledger.begin_share(current.entry, waiting(share, refused.shares[:-1]))
            current.is_begun = True
        if not current.is_settled:
            try:
                self._insert(current)
                batch.landed.append(current.rows)
                refused.judged_count += len(share.messages)
            except RowsRefused as error:
                self._require_nothing_landed(current, error)
                if len(share.messages) > 1:
                    refused.shares[-1:] = _parts_of(share)
                    refused.current = None
                    return
                self._refuse(topic, share.messages[0], error, refused)
                current.entry = replace(current.entry, row_count=0)
            current.is_settled = True
        self._send_letters(current)
        self._parts.ledger.write([current.entry], is_done=True)
        refused.shares.pop()
        refused.current = None

    def _own_batch(self, topic: str, share: Share) -> CutBatch:
        rows = self._topics.decode(topic, share.messages)
        entry = share.entry(topic, self._topics.take_number(topic), rows.table.num_rows)
        return CutBatch(entry, rows)

    def _require_nothing_landed(self, batch: CutBatch, error: RowsRefused) -> None:
        """Stop when a refused batch is in a table in part: cut anew, that part would land twice.

        Raises:
            SettingsError: it is.
        """
        spec = self._topics.spec(batch.entry.topic)
        if self._parts.writer.has_landed(spec, batch.entry):
            raise SettingsError(
                f"clickhouse (batch {batch.entry.token} of {spec.name})",
                value=f"stored in part, and the rest is refused: {error.found}",
                allowed="tables that take all of it",
                cure="undo the change of the table or its views and start again",
            ) from error

    def _refuse(
        self, topic: str, message: Message, error: RowsRefused, refused: RefusedBatch
    ) -> None:
        refused.refused_count += 1
        refused.judged_count += 1
        check_refused(topic, refused.refused_count, refused.judged_count, error.found)
        rejected = RejectedMessage(0, Reason.ROW_REFUSED, error.found)
        self._send(topic, [(message, rejected)], STAGE_INSERT)

    def _send_letters(self, batch: CutBatch) -> None:
        if not batch.are_letters_sent:
            self._send(batch.entry.topic, batch.rows.rejected, STAGE_DECODE)
            batch.are_letters_sent = True

    def _send(
        self, topic: str, refused: Sequence[tuple[Message, RejectedMessage]], stage: str
    ) -> None:
        if not refused:
            return
        letters = [
            dead_letter(
                Origin(topic, message.partition, message.offset),
                Refusal(COMPONENT, stage, rejected.reason, rejected.detail),
                Original(message.key, message.value, message.headers, message.timestamp_ms),
            )
            for message, rejected in refused
        ]
        self._parts.retry(lambda: self._parts.dead_letters.send(letters))
        for _, rejected in refused:
            self._parts.metrics.add(LOADER_REJECTED, topic=topic, reason=rejected.reason.value)
        log.warning("messages went to the dead letters", topic=topic, count=len(letters))


def _parts_of(share: Share) -> list[Share]:
    """Return the shares to settle instead of a refused one, the next one last."""
    return [share] if len(share.messages) == 1 else list(reversed(halves(share)))
