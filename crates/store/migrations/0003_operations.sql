-- Signs of life. A stored heartbeat says that everything accepted before it was sent is stored too, and the first copy
-- says it: the earliest `stored_at` is kept.
CREATE TABLE IF NOT EXISTS {database}.heartbeats_stored
(
    instance  LowCardinality(String) CODEC(ZSTD(1)),
    sent_at   DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    stored_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')) CODEC(Delta(8), ZSTD(1))
)
ENGINE = AggregatingMergeTree
PARTITION BY toDate(sent_at)
ORDER BY (sent_at, instance)
SETTINGS
    non_replicated_deduplication_window = 1000,
    ttl_only_drop_parts = 1,
    materialize_ttl_recalculate_only = 1;

CREATE VIEW IF NOT EXISTS {database}.heartbeats AS
SELECT instance, sent_at, CAST(stored_at, 'DateTime64(3, \'UTC\')') AS stored_at
FROM {database}.heartbeats_stored FINAL;

-- What alerting decided. Rows are added, never changed.
CREATE TABLE IF NOT EXISTS {database}.alert_transitions_stored
(
    id         String CODEC(ZSTD(1)),
    rule       LowCardinality(String) CODEC(ZSTD(1)),
    slice      String CODEC(ZSTD(1)),
    incident   String CODEC(ZSTD(1)),
    from_state LowCardinality(String) CODEC(ZSTD(1)),
    to_state   LowCardinality(String) CODEC(ZSTD(1)),
    at         DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1)),
    severity   LowCardinality(String) CODEC(ZSTD(1)),
    details    String CODEC(ZSTD(1)),
    stored_at  DateTime64(3, 'UTC') CODEC(Delta(8), ZSTD(1))
)
ENGINE = ReplacingMergeTree(stored_at)
PARTITION BY toYYYYMM(at)
ORDER BY (at, id)
SETTINGS
    non_replicated_deduplication_window = 1000,
    ttl_only_drop_parts = 1,
    materialize_ttl_recalculate_only = 1;

CREATE VIEW IF NOT EXISTS {database}.alert_transitions AS
SELECT id, rule, slice, incident, from_state, to_state, at, severity, details, stored_at
FROM {database}.alert_transitions_stored FINAL;
