"""When a partition is not heard while others are, by brute force: its devices do not count (C5)."""

from collections.abc import Iterator

from tests.oracle.alerts_oracle import OfflineRules, PartitionLog


def away_spans(
    partition: int, partitions: dict[int, PartitionLog], rules: OfflineRules
) -> Iterator[tuple[int, int]]:
    """Yield when a partition is blind while others speak; the end is the record that ends it.

    While every partition is silent nobody's clock moves: the first that speaks again makes the
    others blind until they do.
    """
    others = [log for p, log in partitions.items() if p != partition]
    own = partitions[partition]
    newest_ms = max((log.clock_ms for log in others), default=0)
    stretches = [*own.blind, (own.clock_ms, newest_ms + 1)]
    for start_ms, end_ms in stretches:
        from_ms = start_ms + rules.blind_after_ms
        heard = [_speaks_from_ms(log, from_ms) for log in others]
        spoken = [at_ms for at_ms in heard if at_ms is not None and at_ms < end_ms]
        if spoken and from_ms < end_ms:
            yield min(spoken), end_ms


def _speaks_from_ms(log: PartitionLog, at_ms: int) -> int | None:
    """Return the first instant from `at_ms` on at which a partition is not blind itself."""
    if at_ms > log.clock_ms:
        return None
    for start_ms, end_ms in log.blind:
        if start_ms < at_ms < end_ms:
            return end_ms
    return max(at_ms, log.first_ms)


def known_until_ms(partitions: dict[int, PartitionLog], rules: OfflineRules) -> int:
    """Return the clock of the slowest partition that has not fallen silent."""
    newest_ms = max(log.clock_ms for log in partitions.values())
    clocks = (log.clock_ms for log in partitions.values())
    return min(clock for clock in clocks if newest_ms - clock <= rules.blind_after_ms)
