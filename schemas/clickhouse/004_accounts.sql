-- The account of every message and point. All sides of it leave the job in one transaction, so after
-- each of them what was read is the sum of what became of it.

CREATE TABLE IF NOT EXISTS accounts
(
    topic LowCardinality(String) COMMENT 'Topic that was read, full name',
    partition Int32 COMMENT 'Partition of the topic',
    unit LowCardinality(String) COMMENT 'message or point',
    outcome LowCardinality(String) COMMENT 'read, tick, accepted, duplicate or rejected; read is the sum of the others',
    reason LowCardinality(String) COMMENT 'Why rejected: the reason of the dead letters, or of a point nan or out_of_range; else empty',
    count SimpleAggregateFunction(sum, UInt64) COMMENT 'How many',
    load_batch SimpleAggregateFunction(max, UInt64) COMMENT 'Number of the last load batch that added to the row'
)
ENGINE = AggregatingMergeTree
ORDER BY (topic, partition, unit, outcome, reason)
SETTINGS non_replicated_deduplication_window = 1000
COMMENT 'What became of every message and point: rows of one key add up; read it through v_accounts';

-- `missing` is what was read and is told nowhere, or told twice: it must be 0. While a transaction
-- is half loaded it may differ for a moment.
CREATE OR REPLACE VIEW v_accounts AS
SELECT
    topic,
    partition,
    sumIf(count, unit = 'message' AND outcome = 'read') AS messages_read,
    sumIf(count, unit = 'message' AND outcome = 'tick') AS ticks,
    sumIf(count, unit = 'message' AND outcome = 'accepted') AS messages_accepted,
    sumIf(count, unit = 'message' AND outcome = 'duplicate') AS messages_duplicate,
    sumIf(count, unit = 'message' AND outcome = 'rejected') AS messages_rejected,
    sumIf(count, unit = 'point' AND outcome = 'read') AS points_read,
    sumIf(count, unit = 'point' AND outcome = 'accepted') AS points_accepted,
    sumIf(count, unit = 'point' AND outcome = 'duplicate') AS points_duplicate,
    sumIf(count, unit = 'point' AND outcome = 'rejected') AS points_rejected,
    toInt64(messages_read) - toInt64(ticks + messages_accepted + messages_duplicate + messages_rejected)
        AS messages_missing,
    toInt64(points_read) - toInt64(points_accepted + points_duplicate + points_rejected) AS points_missing,
    abs(messages_missing) + abs(points_missing) AS missing
FROM accounts
GROUP BY topic, partition;

CREATE OR REPLACE VIEW v_rejected AS
SELECT topic, unit, reason, sum(count) AS rejected
FROM accounts
WHERE outcome = 'rejected'
GROUP BY topic, unit, reason;
