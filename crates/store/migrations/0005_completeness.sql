-- What ingest acknowledged, counted by whoever did it: one row per source, minute of `received_at` and cell. A cell is
-- one process's count of one minute, from when it was opened; it only grows, so the copy with the greatest count
-- stands, and copies that are late or repeated change nothing. Cells of several processes add up.
CREATE TABLE IF NOT EXISTS {database}.acknowledged_stored
(
    minute        DateTime('UTC') CODEC(Delta(4), ZSTD(1)),
    source        LowCardinality(String) CODEC(ZSTD(1)),
    cell          UUID CODEC(ZSTD(1)),
    instance      LowCardinality(String) CODEC(ZSTD(1)),
    acknowledged  UInt64 CODEC(ZSTD(1)),
    -- The sum, modulo 2^64, of the last eight bytes of the ids of the acknowledged ones: 62 bits of them are random.
    fingerprint   UInt64 CODEC(ZSTD(1)),
    -- How many were handed to the queue and not acknowledged; they may be stored. The first of them are named.
    uncertain     UInt64 CODEC(ZSTD(1)),
    uncertain_ids Array(UUID) CODEC(ZSTD(1)),
    stored_at     DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    counted       UInt64 MATERIALIZED acknowledged + uncertain CODEC(ZSTD(1)),
    -- From here its age is counted: half a day before its webhooks', so that it is gone before they are.
    aged_from     DateTime('UTC') MATERIALIZED minute - INTERVAL 12 HOUR CODEC(Delta(4), ZSTD(1))
)
ENGINE = ReplacingMergeTree(counted)
PARTITION BY toDate(minute)
ORDER BY (minute, source, cell)
SETTINGS
    non_replicated_deduplication_window = 1000,
    ttl_only_drop_parts = 1,
    materialize_ttl_recalculate_only = 1;

CREATE VIEW IF NOT EXISTS {database}.acknowledged AS
SELECT minute, source, cell, instance, acknowledged, fingerprint, uncertain, uncertain_ids, stored_at
FROM {database}.acknowledged_stored FINAL;

-- Whether what was acknowledged is what is stored, minute by minute: what is too much in one minute hides nothing that
-- is missing in another. Of the uncertain ones those that are named stand aside, whether they are stored or not; of
-- what is left, equal counts and equal sums of ids say that it is the same webhooks.
CREATE VIEW IF NOT EXISTS {database}.completeness_minutes AS
SELECT
    minute, source,
    sum(cell_acknowledged) AS acknowledged,
    sum(cell_uncertain) AS uncertain,
    sum(rows_stored) AS stored,
    sum(rows_parked) AS parked,
    sum(rows_expected) AS expected,
    sum(cell_unnamed) AS unnamed,
    sumWithOverflow(cell_fingerprint) = sumWithOverflow(rows_fingerprint) AS same,
    toUInt64(multiIf(acknowledged > expected, acknowledged - expected, acknowledged = expected AND NOT same, 1, 0))
        AS missing,
    toUInt64(multiIf(expected > acknowledged + unnamed, expected - acknowledged - unnamed,
        acknowledged = expected AND NOT same AND unnamed = 0, 1, 0)) AS unaccounted,
    acknowledged = expected AND same AS exact
FROM
(
    SELECT
        minute, source,
        sum(acknowledged) AS cell_acknowledged,
        sum(uncertain) AS cell_uncertain,
        toUInt64(greatest(sum(uncertain) - sum(length(uncertain_ids)), 0)) AS cell_unnamed,
        sumWithOverflow(fingerprint) AS cell_fingerprint,
        toUInt64(0) AS rows_stored,
        toUInt64(0) AS rows_parked,
        toUInt64(0) AS rows_expected,
        toUInt64(0) AS rows_fingerprint
    FROM {database}.acknowledged_stored FINAL
    GROUP BY minute, source
    UNION ALL
    SELECT
        toStartOfMinute(received_at) AS minute, source,
        toUInt64(0) AS cell_acknowledged,
        toUInt64(0) AS cell_uncertain,
        toUInt64(0) AS cell_unnamed,
        toUInt64(0) AS cell_fingerprint,
        countIf(outcome != 'parked') AS rows_stored,
        countIf(outcome = 'parked') AS rows_parked,
        countIf(is_expected) AS rows_expected,
        sumWithOverflowIf(toUInt64(bitShiftRight(reinterpretAsUInt128(webhook_id), 64)), is_expected) AS rows_fingerprint
    FROM
    (
        SELECT
            received_at, source, outcome, webhook_id,
            webhook_id GLOBAL NOT IN
                (SELECT arrayJoin(uncertain_ids) FROM {database}.acknowledged_stored WHERE uncertain > 0) AS is_expected
        FROM {database}.webhooks_stored FINAL
    )
    GROUP BY minute, source
)
GROUP BY minute, source;

-- The same by hour, for people and audits.
CREATE VIEW IF NOT EXISTS {database}.completeness AS
SELECT
    toStartOfHour(minute) AS hour, source,
    sum(acknowledged) AS acknowledged,
    sum(uncertain) AS uncertain,
    sum(stored) AS stored,
    sum(parked) AS parked,
    sum(missing) AS missing,
    sum(unaccounted) AS unaccounted,
    min(exact) AS exact
FROM {database}.completeness_minutes
GROUP BY hour, source;
