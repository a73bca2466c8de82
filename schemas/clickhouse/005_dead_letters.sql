-- What a replay needs to know of a dead letter. Rows from before have the defaults. A replay itself
-- is a receipt in the topic, not a row: `fleetpulse dead-letters list` says what was sent again.

ALTER TABLE dead_letters
    ADD COLUMN IF NOT EXISTS attempt UInt32 COMMENT 'How often the message had been sent again before',
    ADD COLUMN IF NOT EXISTS schema_id Int64 DEFAULT -1 COMMENT 'Schema id that the value claims; -1 without a wire header',
    ADD COLUMN IF NOT EXISTS tenant_claimed String COMMENT 'Tenant that the key claims; empty when none',
    ADD COLUMN IF NOT EXISTS first_failed_at DateTime64(3, 'UTC') DEFAULT timestamp COMMENT 'Append time of the message when it was refused first, UTC',
    ADD COLUMN IF NOT EXISTS replay_of String COMMENT 'TOPIC/PARTITION/OFFSET of the earlier letter of a message that was sent again; else empty';
